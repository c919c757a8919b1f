"""Internal. Make one request to any URL, without a key, to see what answers there.

For ``docraptor_check``: no part of DocRaptor's API. It follows no redirect, has one time limit for
everything, and reads a bounded part of the body.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from django_docraptor.client import failures
from django_docraptor.client.time_limits import Phase, TimeLimit
from django_docraptor.client.tls import shared_context
from django_docraptor.client.transport import NETWORK_ERRORS, new_session
from django_docraptor.exceptions import CallError

MAX_BODY_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A response, whatever its status is."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def redirect(self) -> str:
        """The URL to which it redirects, without a query and without tokens of this site."""
        return failures.Redactor(())(self.headers.get("Location", "").partition("?")[0])


def visit(
    url: str,
    *,
    method: str = "GET",
    seconds: float = 5,
    proxies: Mapping[str, str] | None = None,
    ca_bundle: str = "",
) -> Visit:
    """Make a request with an empty body, and return the response.

    Args:
        url: where; it may contain a secret, which no error repeats.
        method: GET or POST.
        seconds: for the whole call.
        proxies: as for requests.
        ca_bundle: path of CA certificates; blank for certifi's.

    Raises:
        CallError: there was no response. It names the server.
    """
    limit = TimeLimit(seconds)
    failure: BaseException | None = None
    try:
        with limit:
            return _request(url, method, seconds, proxies or {}, ca_bundle)
    except CallError:
        raise
    except NETWORK_ERRORS as caught:
        failure = caught
    # Outside of the handler, so that the error is not chained to one that quotes the URL.
    raise _error(failure, limit, url)


def _request(
    url: str, method: str, seconds: float, proxies: Mapping[str, str], ca_bundle: str
) -> Visit:
    uses_tls = any(each.lower().startswith("https:") for each in (url, *proxies.values()))
    session = new_session(shared_context(ca_bundle) if uses_tls else None)
    try:
        with session.request(
            method,
            url,
            timeout=seconds,
            allow_redirects=False,
            stream=True,
            verify=True,
            proxies=dict(proxies),
        ) as response:
            body = response.raw.read(MAX_BODY_BYTES, decode_content=True)
            return Visit(status=response.status_code, headers=response.headers, body=body)
    finally:
        session.close()


def _error(failure: BaseException, limit: TimeLimit, url: str) -> CallError:
    if limit.has_passed:
        return failures.overdue_error(
            limit.reason, url=url, is_sent=limit.phase is not Phase.CONNECTING, is_create=False
        )
    return failures.network_error(
        failure, url=url, is_create=False, redact=failures.Redactor((url,))
    )
