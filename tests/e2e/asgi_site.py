"""A site under ASGI with one large document, for ``uvicorn tests.e2e.asgi_site:application``.

``/`` is the document in ``LARGE_FILE``, ``/state/`` the process's peak memory and open files.
"""

import os
from pathlib import Path

import django
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django_docraptor",
    ],
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="only for tests",
    USE_TZ=True,
)
django.setup()

from django.core.asgi import get_asgi_application  # noqa: E402 - needs the settings

from django_docraptor.responses import DocumentResponse  # noqa: E402

LARGE_FILE = Path(os.environ["LARGE_FILE"])


def document(request: HttpRequest) -> HttpResponseBase:
    """Return the document."""
    return DocumentResponse(LARGE_FILE.open("rb"), name="large", document_type="pdf")


def state(request: HttpRequest) -> HttpResponseBase:
    """Return the peak memory in bytes, and how often the document is open."""
    status = Path("/proc/self/status").read_text()
    peak = status.partition("VmHWM:")[2].split()[0]
    links = [entry for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    opened = [link for link in links if os.path.realpath(link) == str(LARGE_FILE)]
    return JsonResponse({"peak": int(peak) * 1024, "open": len(opened)})


urlpatterns = [path("", document), path("state/", state)]
application = get_asgi_application()
