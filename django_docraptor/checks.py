"""System checks: a mistake in the set-up has an id, a sentence and a remedy.

Errors stop ``manage.py``; warnings are printed. Ids are listed in docs/reference/checks.md.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from celery import current_app
from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.files.storage import FileSystemStorage
from django.db import connections, router
from django.urls import NoReverseMatch, get_script_prefix, reverse
from django.utils.module_loading import import_string

from django_docraptor.broker import broker_of, takes_messages
from django_docraptor.conf import DOCRAPTOR_URL, Conf, conf, known
from django_docraptor.models import RenderJob
from django_docraptor.storage import get_document_storage

Apps = Sequence[AppConfig] | None
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def _error(number: int, message: str, hint: str) -> Error:
    return Error(message, hint=hint, id=f"django_docraptor.E{number:03}")


def _warning(number: int, message: str, hint: str) -> Warning:
    return Warning(message, hint=hint, id=f"django_docraptor.W{number:03}")


@register
def check_settings(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    """The ``DOCRAPTOR`` dict: its keys, its types, and values that cannot work."""
    given = getattr(settings, "DOCRAPTOR", None)
    if given is not None and not isinstance(given, Mapping):
        return [_error(1, "DOCRAPTOR must be a dict.", 'Write DOCRAPTOR = {"API_KEY": "…"}.')]
    wrong = [*_unknown_keys(), *_wrong_types()]
    values = (_missing_key, _callback_url, _wrong_options, _client, _plain_http, _assets_base_url)
    return wrong or [message for check in values for message in check()]


def _unknown_keys() -> Iterator[CheckMessage]:
    names = [setting.key for setting in known()]
    for key in conf.given:
        if key not in names:
            close = difflib.get_close_matches(str(key).upper(), names, n=1)
            hint = f"Did you mean {close[0]!r}?" if close else f"Known are: {', '.join(names)}."
            yield _error(2, f"DOCRAPTOR has the unknown key {key!r}.", hint)


def _wrong_types() -> Iterator[CheckMessage]:
    for setting in known():
        if setting.key in conf.given:
            problem = setting.problem(conf.given[setting.key])
            if problem:
                hint = f"The default is {setting.default!r}; leave the key out to have it."
                yield _error(3, f"DOCRAPTOR[{setting.key!r}] {problem}.", hint)


def _missing_key() -> Iterator[CheckMessage]:
    if not conf.api_key or (isinstance(conf.api_key, str) and not conf.api_key.strip()):
        yield _error(
            4,
            "DOCRAPTOR['API_KEY'] is missing.",
            "Set it from the environment. DocRaptor's public key YOUR_API_KEY_HERE works for test "
            "documents, but the whole world shares it: send nothing confidential with it.",
        )


def _callback_url() -> Iterator[CheckMessage]:
    base = conf.callback_base_url
    if base and not base.startswith("https://") and not settings.DEBUG:
        yield _error(
            5,
            f"DOCRAPTOR['CALLBACK_BASE_URL'] is {base!r}, which is not https.",
            "Give this site's public https address, or leave it out: then results are polled for.",
        )


def _wrong_options() -> Iterator[CheckMessage]:
    if not conf.defaults:  # spare every start the import
        return
    from django_docraptor.payloads import DocumentRequest, unknown_options

    try:
        request = DocumentRequest.from_options(
            name="check", document_type="pdf", content="-", url="", test=True, options=conf.defaults
        )
    except (ValidationError, TypeError) as error:
        yield _error(
            6,
            f"DOCRAPTOR['DEFAULTS'] has an option that cannot be sent: {error}",
            "Correct it: the names are DocRaptor's own, as in its API documentation.",
        )
        return
    for name, hint in unknown_options(request):
        text = f"DOCRAPTOR['DEFAULTS'] has {name}, which this version does not know."
        yield _warning(5, text, hint)


def _client() -> Iterator[CheckMessage]:
    if conf.client == Conf.client.default:  # ours can be imported: spare every start that time
        return
    try:
        import_string(conf.client)
    except ImportError as error:
        yield _error(
            7,
            f"DOCRAPTOR['CLIENT'] cannot be imported: {error}",
            f"Leave it out, or give a class like {Conf.client.default}.",
        )


def _plain_http() -> Iterator[CheckMessage]:
    url = conf.base_url
    is_local = urlsplit(url).hostname in LOOPBACK
    if url.startswith("http://") and not is_local and not settings.DEBUG:
        yield _warning(
            1,
            f"DOCRAPTOR['BASE_URL'] is {url!r}: API key and documents travel unencrypted.",
            f"Use https, or leave it out for {DOCRAPTOR_URL}.",
        )


def _assets_base_url() -> Iterator[CheckMessage]:
    is_full = str(settings.STATIC_URL or "").startswith(("https://", "http://"))
    if conf.assets == "absolute" and not conf.assets_base_url and not is_full:
        yield _error(
            20,
            "DOCRAPTOR['ASSETS'] is \"absolute\" and there is no DOCRAPTOR['ASSETS_BASE_URL'].",
            "Give this site's public address, such as https://shop.example, or set ASSETS to "
            '"inline".',
        )


@register
def check_urls(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    """The URLs must be included, for callbacks and downloads."""
    if not getattr(settings, "ROOT_URLCONF", None):
        return []
    try:
        reverse("django_docraptor:callback", args=["token"])
    except (NoReverseMatch, ImproperlyConfigured):
        hint = 'Add path("docraptor/", include("django_docraptor.urls")) to the root URLconf.'
        return [_error(8, "The URLs of django_docraptor are not included.", hint)]
    return []


@register
def check_celery(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    """Celery needs a broker, and Redis a socket timeout, or a publish may wait for ever."""
    if not takes_messages(current_app):
        return [_no_broker()] if conf.ring_on_commit else []
    options = current_app.conf.broker_transport_options or {}
    is_redis = broker_of(current_app).startswith(("redis", "sentinel"))
    if is_redis and not options.get("socket_timeout"):
        return [
            _warning(
                3,
                "A Redis broker that stops answering would block requests for ever.",
                'Set CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_timeout": 5, '
                '"socket_connect_timeout": 5}.',
            )
        ]
    return []


def _no_broker() -> CheckMessage:
    return _warning(
        2,
        "Celery has no broker: jobs move only when manage.py docraptor_tick runs.",
        "Set CELERY_BROKER_URL and import your Celery app in the project's package, or set "
        "DOCRAPTOR['RING_ON_COMMIT'] = False and run docraptor_tick from cron.",
    )


@register
def check_time_zones(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    """Times are aware."""
    if settings.USE_TZ:
        return []
    return [_error(22, "USE_TZ is off: nothing would ever be sent.", "Set USE_TZ = True.")]


@register
def check_sqlite(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    """SQLite's default transactions fail at once when two processes write."""
    connection = connections[router.db_for_write(RenderJob)]
    mode = str(connection.settings_dict.get("OPTIONS", {}).get("transaction_mode", "")).upper()
    if connection.vendor != "sqlite" or mode == "IMMEDIATE":
        return []
    return [
        _warning(
            4,
            "SQLite without transaction_mode IMMEDIATE gives “database is locked” errors.",
            'Set OPTIONS = {"transaction_mode": "IMMEDIATE", "timeout": 20, '
            '"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"}.',
        )
    ]


@register
def check_storage(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    """Documents must not lie where the web server serves files."""
    try:
        is_public = _is_served()
    except Exception:  # noqa: BLE001 - a storage that cannot be made says so when it is used
        return []
    if not is_public:
        return []
    return [
        _warning(
            6,
            "Documents are stored below MEDIA_ROOT: whoever knows a file's name, or works it out "
            "from a job's key, can read it without a login.",
            'Give STORAGES the alias "docraptor", with a directory that no web server serves or a '
            "private bucket, as in the README.",
        )
    ]


def _is_served() -> bool:
    """Whether documents without a storage of their own go below MEDIA_ROOT, with an address."""
    storage = get_document_storage()
    if not settings.MEDIA_ROOT or not isinstance(storage, FileSystemStorage):
        return False
    root = Path(settings.MEDIA_ROOT).resolve()
    # Without MEDIA_URL an address is "/", or where the site begins.
    has_address = storage.base_url not in (None, "/", get_script_prefix())
    return has_address and Path(storage.location).resolve().is_relative_to(root)
