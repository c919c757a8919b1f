"""Internal. Send HTTP requests: sessions, timeouts and streamed bodies.

Knows the pitfalls of requests, nothing about DocRaptor's API; never retries.

Sessions have no credentials, cookies or environment settings, so all clients share one session per
thread. A forked process gets its own: a socket shared with the parent would mix up responses.
"""

import logging
import os
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from importlib.util import find_spec
from typing import Any, Final
from urllib.parse import urlsplit

import requests
import urllib3.exceptions
from requests.auth import AuthBase
from requests.utils import select_proxy

from django_docraptor import __version__
from django_docraptor.client import failures
from django_docraptor.client.exchanges import note_bytes, note_response
from django_docraptor.client.time_limits import LimitedAdapter, Phase, TimeLimit
from django_docraptor.client.timeouts import Timeouts
from django_docraptor.client.tls import shared_context
from django_docraptor.exceptions import CallError

logger = logging.getLogger(__name__)

CHUNK_BYTES: Final = 64 * 1024
MAX_ERROR_BODY_BYTES: Final = 64 * 1024
# Time limit for reading an error's body, whose status is already known.
ERROR_BODY_SECONDS: Final = 10.0
USER_AGENT: Final = f"django-docraptor/{__version__} (+python-requests/{requests.__version__})"

# ValueError: requests and urllib3 raise it for some malformed URLs and headers.
NETWORK_ERRORS: Final = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    OSError,
    ValueError,
)

_local: Final = threading.local()

# A process and a TLS context, and their session.
_Entry = tuple[tuple[int, ssl.SSLContext | None], requests.Session]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One API call.

    Args:
        log_path: the path without IDs, for logs.
        read_timeout: seconds for each read of the socket.
        total: seconds for the whole call.
        redact: removes this call's secrets from messages.
        is_create: the call may be billed, so it matters whether it was sent.
        new_connection: do not reuse a connection. A kept-alive connection may close as the request
            arrives, which looks like a lost response.
    """

    method: str
    path: str = field(repr=False)
    log_path: str
    read_timeout: float
    total: float
    redact: failures.Redactor
    is_create: bool = False
    new_connection: bool = False
    body: bytes | None = field(default=None, repr=False)
    params: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiResponse:
    """A successful response whose body is not yet read.

    Args:
        limit: the call's time limit, which is running.
    """

    raw_response: requests.Response
    limit: TimeLimit
    call: Call

    def chunks(self) -> Iterator[bytes]:
        """Yield the decoded body in chunks of at most 64 KiB.

        Raises:
            UnknownOutcomeError: the body was truncated, stalled or exceeded the total timeout.
        """
        while chunk := self._read():
            yield chunk

    def read(self, limit: int) -> bytes:
        """Return the whole body.

        Raises:
            UnknownOutcomeError: as for `chunks`, or the body exceeds the limit in bytes.
        """
        body = bytearray()
        for chunk in self.chunks():
            body += chunk
            if len(body) > limit:
                raise self.unusable_error(f"it is larger than {limit:,} bytes")
        return bytes(body)

    def unusable_error(self, reason: str) -> CallError:
        """Return the error for a response that cannot be used."""
        return failures.unusable_error(
            reason,
            url=self.raw_response.url,
            status=self.raw_response.status_code,
            request_id=self.raw_response.headers.get("X-Request-Id", ""),
            is_create=self.call.is_create,
            redact=self.call.redact,
        )

    def _read(self) -> bytes:
        # read1 instead of iter_content, which waits for a whole chunk.
        try:
            chunk: bytes = self.raw_response.raw.read1(CHUNK_BYTES, decode_content=True)
        except NETWORK_ERRORS as failure:
            reason = failures.describe(failure)
        else:
            # A connection that was shut down looks like the end of a body without a length.
            if not self.limit.has_passed:
                return chunk
            reason = ""
        raise self.unusable_error(self.limit.reason if self.limit.has_passed else reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transport:
    """Sends calls to one host with one key.

    Args:
        base_url: scheme, host and perhaps a path, without a trailing slash.
        auth: overrides any other Authorization header.
        ca_bundle: path of CA certificates; blank for certifi's.
    """

    base_url: str
    auth: AuthBase = field(repr=False)
    timeouts: Timeouts
    proxies: dict[str, str] = field(repr=False)
    ca_bundle: str

    @contextmanager
    def call(self, call: Call) -> Iterator[ApiResponse]:
        """Send the call; read the body inside the ``with`` block.

        Raises:
            CallError: see `failures`. Never chained to the library's exception, whose text and
                attributes contain URLs and headers.
        """
        started = time.monotonic()
        outcome = "-"
        purpose = "new" if call.new_connection else "pooled"
        try:
            with TimeLimit(call.total) as limit, self._send(purpose, call, limit) as response:
                outcome = str(response.status_code)
                request_id = response.headers.get("X-Request-Id", "")
                note_response(response.status_code, call.redact(request_id))
                try:
                    self._check(response, call)
                    yield ApiResponse(raw_response=response, limit=limit, call=call)
                finally:
                    note_bytes(response.raw.tell())
        except CallError as error:
            outcome = f"{outcome} {error.code}"
            raise
        finally:
            if call.new_connection:
                close_connections(purpose)
            seconds = time.monotonic() - started
            logger.debug("%s %s: %s in %.3f s", call.method, call.log_path, outcome, seconds)

    def _send(self, purpose: str, call: Call, limit: TimeLimit) -> requests.Response:
        failure: BaseException | None = None
        try:
            response = self._request(thread_session(purpose, self._tls_context()), call)
        except NETWORK_ERRORS as caught:
            failure = caught
        if limit.has_passed:
            if failure is None:  # headers that were cut look like whole ones
                response.close()
            raise failures.overdue_error(
                limit.reason,
                url=self.base_url,
                is_sent=limit.phase is not Phase.CONNECTING,
                is_create=call.is_create,
            )
        if failure is not None:
            raise failures.network_error(
                failure,
                url=self.base_url,
                is_create=call.is_create,
                redact=call.redact,
            )
        limit.phase = Phase.RECEIVING
        return response

    def _request(self, session: requests.Session, call: Call) -> requests.Response:
        try:
            return self._send_with_key(session, call)
        except NETWORK_ERRORS:
            raise
        except BaseException as error:  # noqa: BLE001 - raised again
            # Such as the time limit of a queue. The frames below have the key in their variables.
            raise failures.without_frames(error)  # noqa: B904 - the same error

    def _send_with_key(self, session: requests.Session, call: Call) -> requests.Response:
        connect, read = self.timeouts.connect, call.read_timeout
        return session.request(
            call.method,
            self.base_url + call.path,
            params=dict(call.params) or None,
            data=call.body,
            headers=_headers(call),
            auth=self.auth,
            timeout=(min(connect, call.total), min(read, call.total)),
            allow_redirects=False,
            stream=True,
            # Per request: requests lets the environment override the session's settings.
            verify=True,
            proxies=self.proxies,
        )

    def _tls_context(self) -> ssl.SSLContext | None:
        """Return the context for the server or a proxy, if one of them speaks TLS.

        Raises:
            OSError: the CA bundle cannot be read.
        """
        urls = (self.base_url, *self.proxies.values())
        needs_tls = any(url.lower().startswith("https:") for url in urls)
        return shared_context(self.ca_bundle) if needs_tls else None

    def _check(self, response: requests.Response, call: Call) -> None:
        if 200 <= response.status_code < 300:
            return
        if response.status_code < 200:  # no response of HTTP follows, also not to another call
            response.close()
        failed = failures.FailedResponse(
            status=response.status_code,
            headers=response.headers,
            body=_read_error_body(response),
        )
        raise failures.response_error(
            failed, url=self.base_url, is_create=call.is_create, redact=call.redact
        )


def proxy_problem(url: str, proxies: Mapping[str, str]) -> str:
    """Return why calls to a URL cannot use their proxy, or "": it may need a missing package."""
    proxy = select_proxy(url, proxies) or ""
    is_socks = urlsplit(proxy).scheme.startswith("socks")
    return f"{failures.NO_SOCKS}." if is_socks and find_spec("socks") is None else ""


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Disable redirects completely.

        Even with ``allow_redirects=False``, requests resolves the next URL: it loads the whole
        body, and a malformed Location raises InvalidURL, which looks like an error before sending.
        """


def new_session(context: ssl.SSLContext | None) -> requests.Session:
    """Create a session that ignores the environment, stores no cookies and never retries."""
    session = _Session()
    session.trust_env = False  # netrc would replace our credentials
    for scheme in ("https://", "http://"):
        session.mount(scheme, LimitedAdapter(context))
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers.update({"User-Agent": USER_AGENT, "Accept-Encoding": "identity"})
    return session


def thread_session(purpose: str, context: ssl.SSLContext | None = None) -> requests.Session:
    """Return this thread's session in this process for a purpose: "pooled" or "new" connections.

    Another context, such as that of a CA bundle that was replaced, has a new session.
    """
    key = (os.getpid(), context)
    entry = _entry(purpose)
    if entry is None or entry[0] != key:
        close_connections(purpose)
        entry = (key, new_session(context))
        setattr(_local, purpose, entry)
    return entry[1]


def close_connections(purpose: str) -> None:
    """Close the connections of this thread's session; the session remains usable."""
    entry = _entry(purpose)
    if entry is not None and entry[0][0] == os.getpid():  # not those of the parent process
        entry[1].close()


def _entry(purpose: str) -> _Entry | None:
    entry: _Entry | None = getattr(_local, purpose, None)
    return entry


def _headers(call: Call) -> dict[str, str]:
    headers = {"Content-Type": "application/json"} if call.body is not None else {}
    return headers | ({"Connection": "close"} if call.new_connection else {})


def _read_error_body(response: requests.Response) -> bytes:
    """Read an error's body within limits. A failure to read it never hides the status."""
    body = bytearray()
    deadline = time.monotonic() + ERROR_BODY_SECONDS
    try:
        while len(body) < MAX_ERROR_BODY_BYTES and time.monotonic() < deadline:
            chunk = response.raw.read1(CHUNK_BYTES, decode_content=True)
            if not chunk:
                break
            body += chunk
    except NETWORK_ERRORS:
        pass
    return bytes(body[:MAX_ERROR_BODY_BYTES])


class DownloadIdFilter(logging.Filter):
    """Redacts download IDs in urllib3's log records, which contain every path at DEBUG level."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record; always keep it."""
        if isinstance(record.args, tuple):
            record.args = tuple(_redact_download_id(value) for value in record.args)
        return True


def _redact_download_id(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return failures.DOWNLOAD_ID.sub(rf"\1{failures.REDACTED}", value)


_filter: Final = DownloadIdFilter()


def redact_urllib3_logs() -> None:
    """Install the log filter; idempotent."""
    logging.getLogger("urllib3.connectionpool").addFilter(_filter)
