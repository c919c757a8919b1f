"""Internal. Where the *Back* link of the status page leads: to a page of this site, or nowhere."""

from django.http import HttpRequest
from django.utils.http import url_has_allowed_host_and_scheme


def referring_page(request: HttpRequest) -> str:
    """Return the referring page if it is on this site, else a blank string."""
    return safe_return_url(request, request.headers.get("Referer", ""))


def safe_return_url(request: HttpRequest, url: str) -> str:
    """Return the URL if it is on this site, else a blank string."""
    is_safe = url_has_allowed_host_and_scheme(
        url, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return url if is_safe else ""
