"""Internal. Name the server of a call, for people: never a password, a path or a query."""

from typing import Final
from urllib.parse import urlsplit

LOOPBACK_HOSTS: Final = ("localhost", "127.0.0.1", "::1")


def server_of(url: str) -> str:
    """Return scheme, host and port of a URL; the URL of a proxy may contain a password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an invalid URL"
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}" if parts.scheme and host else "an invalid URL"


def is_loopback(url: str) -> bool:
    """Return whether a URL is of this machine: of the sandbox, or of the site itself."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return host in LOOPBACK_HOSTS or host.endswith(".localhost")


def sandbox_hint(url: str) -> str:
    """Return what to do if nothing listens at a URL of this machine."""
    port = urlsplit(url).port or 80
    return (
        f"Is the sandbox running? Start it: python -m django_docraptor.sandbox --port {port}. To "
        "use DocRaptor itself, remove DOCRAPTOR['BASE_URL']."
    )


def other_site_hint(url: str) -> str:
    """Return what to do if something else than DocRaptor's API has answered."""
    if is_loopback(url):
        return (
            f"Is DOCRAPTOR['BASE_URL'], {server_of(url)}, this very site? Set it to the URL of the "
            "sandbox, or remove it to use DocRaptor itself."
        )
    return (
        "This is not DocRaptor's own response: either something between this site and DocRaptor "
        f"sent it, or DOCRAPTOR['BASE_URL'] = {server_of(url)!r} is wrong."
    )
