"""Internal. Sentences that say why nothing happens, and what to do: one table for every place.

``docraptor_check``, ``docraptor_status``, ``docraptor_tick``, the admin and the status page use the
same ones. Reads nothing: the caller knows which is true. The client has its own, without Django
(``client.servers``).
"""

from collections.abc import Mapping
from typing import Final

from django.utils.translation import gettext_lazy as _

START_ENGINE: Final = _(
    "Start a Celery worker and Celery beat, or run docraptor_tick: every minute by cron, or with "
    "--loop as a service, such as by systemd."
)
START_TICK: Final = _(
    "Start Celery beat, or run docraptor_tick every minute by cron: ticks find what a lost message "
    "or a killed worker has left behind."
)
CHOOSE_RUNNER: Final = (
    "Set CELERY_BROKER_URL and import your Celery app in the project's package, set TASKS to a "
    "backend with workers, or set DOCRAPTOR['RUNNER'] = \"none\" and run docraptor_tick."
)
NEVER_RAN: Final = _("Nothing generates documents: no worker and no tick has been seen so far.")
NOT_SEEN: Final = _(
    "Nothing seems to generate documents: the last worker or tick was seen %(duration)s ago."
)
NO_TICK: Final = _("No tick has been seen so far.")
LATE_TICK: Final = _("The last tick was seen %(duration)s ago.")
RESUME: Final = _(
    "Correct the cause. After a corrected key, the jobs go on at once; otherwise run "
    "docraptor_resume, or press Resume now on the accounts' page of the admin."
)
RESUME_PAUSED: Final = _(
    "A person has paused it. To go on earlier, run docraptor_resume, or press Resume now on the "
    "accounts' page of the admin."
)
MIGRATE: Final = "Run manage.py migrate%(option)s."
NOT_MIGRATED: Final = "The tables of django_docraptor are missing or old%(place)s."

# What a site's response to a callback means, by the status.
CALLBACK_REDIRECTED: Final = _(
    "SECURE_SSL_REDIRECT or PREPEND_WWW redirects the callback: behind a proxy, set "
    "SECURE_PROXY_SSL_HEADER."
)
CALLBACK_BAD_HOST: Final = _("ALLOWED_HOSTS lacks the host.")
CALLBACK_REFUSED: Final = _("A login or firewall is in the way.")
CALLBACK_NOT_FOUND: Final = _(
    "Another site responds there, django_docraptor.urls is at another path of the site, or the "
    "site has another SECRET_KEY."
)
CALLBACK_FAILED: Final = _("The site itself fails; its log has the error.")
CALLBACK_REMEDIES: Final[Mapping[int, object]] = {
    **dict.fromkeys((301, 302, 303, 307, 308), CALLBACK_REDIRECTED),
    400: CALLBACK_BAD_HOST,
    **dict.fromkeys((401, 403, 407), CALLBACK_REFUSED),
    404: CALLBACK_NOT_FOUND,
}


def callback_remedy(status: int) -> str:
    """Return what the response to a callback means, if it is not 204."""
    default = CALLBACK_FAILED if status >= 500 else CALLBACK_NOT_FOUND
    return str(CALLBACK_REMEDIES.get(status, default))
