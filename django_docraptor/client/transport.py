"""How a call travels: sessions, time limits, and bodies that are read piece by piece.

Knows requests and its traps. Knows nothing of DocRaptor's calls, and never retries.

A session holds no credentials, no cookies and nothing of the environment, so one session a thread
serves every client. A process that was forked gets its own: a socket shared with the parent would
mix up their answers.
"""

import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final

import requests
import urllib3.exceptions
from requests.auth import AuthBase

from django_docraptor import __version__
from django_docraptor.client import failures
from django_docraptor.exceptions import CallError

logger: Final = logging.getLogger("django_docraptor.client")

CHUNK: Final = 64 * 1024
MAX_ERROR_BODY: Final = 64 * 1024
# An error's body is worth a little waiting: its status is known already.
ERROR_BODY_SECONDS: Final = 10.0
USER_AGENT: Final = f"django-docraptor/{__version__} (+python-requests/{requests.__version__})"

# ValueError: requests and urllib3 let some of them through for odd addresses and headers.
NETWORK_ERRORS: Final = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    OSError,
    ValueError,
)

_local: Final = threading.local()


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds to wait.

    Args:
        connect: for the connection.
        create_read: for each piece of the answer to a create; also for sending its whole body.
        sync_read: the same for a synchronous document. DocRaptor takes 60 s at most; a shorter
            limit here would render, and bill, for nothing.
        status_read: the same for status, listings and expiry.
        download_read: the same for a download.
        total: from the start of a call to the end of its body. What comes before the body is
            bounded by the other limits only, for each read of the socket.
    """

    connect: float = 5
    create_read: float = 30
    sync_read: float = 65
    status_read: float = 15
    download_read: float = 60
    total: float = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call: what is sent, where, and how careful to be.

    Args:
        template: the path without ids, for logs.
        read: seconds for each read of the socket.
        creates: may be billed, hence "was it sent?" matters.
        fresh: on a connection of its own. A kept connection may die just as the request arrives,
            which looks like a lost answer.
        redact: takes this call's secrets out of messages.
    """

    method: str
    path: str = field(repr=False)
    template: str
    read: float
    redact: failures.Redactor
    creates: bool = False
    fresh: bool = False
    body: bytes | None = field(default=None, repr=False)
    params: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A success whose body is still to be read.

    Args:
        deadline: when reading ends, on the monotonic clock.
    """

    response: requests.Response
    deadline: float
    call: Call

    def chunks(self) -> Iterator[bytes]:
        """The body, decoded, in pieces of 64 KiB at most.

        Raises:
            UnknownOutcomeError: it was cut, stalled, or took longer than the total time.
        """
        while chunk := self._read():
            yield chunk

    def read(self, limit: int) -> bytes:
        """The whole body. Raises UnknownOutcomeError as `chunks`, or if it is above the limit."""
        body = bytearray()
        for chunk in self.chunks():
            body += chunk
            if len(body) > limit:
                raise self.unusable(f"it is larger than {limit:,} bytes")
        return bytes(body)

    def unusable(self, why: str) -> CallError:
        """The error for an answer that cannot be used."""
        return failures.from_unusable(
            why,
            status=self.response.status_code,
            request_id=self.response.headers.get("X-Request-Id", ""),
            creates=self.call.creates,
            redact=self.call.redact,
        )

    def _read(self) -> bytes:
        # read1, not iter_content: the latter waits until a whole chunk has come, so that a body
        # that drips would never let us look at the clock.
        try:
            chunk: bytes = self.response.raw.read1(CHUNK, decode_content=True)
        except NETWORK_ERRORS as failure:
            why = failures.describe(failure)
        else:
            if time.monotonic() < self.deadline:
                return chunk
            why = "it took longer than the time allowed"
        raise self.unusable(why)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transport:
    """Makes calls to one host with one key.

    Args:
        base_url: scheme, host and perhaps a path, without a slash at the end.
        auth: wins over everything that could set the Authorization header.
        verify: path of a CA bundle, or True for certifi's.
    """

    base_url: str
    auth: AuthBase = field(repr=False)
    timeouts: Timeouts
    proxies: dict[str, str] = field(repr=False)
    verify: bool | str

    @contextmanager
    def call(self, call: Call) -> Iterator[Answer]:
        """Make the call; the body is read inside the ``with``.

        Raises:
            CallError: see `failures`. Never chained to the error of the library underneath, whose
                text and attributes hold addresses and headers.
        """
        started = time.monotonic()
        outcome = "-"
        session = session_for("fresh" if call.fresh else "pooled")
        try:
            response = self._send(session, call)
            outcome = str(response.status_code)
            with response:
                self._check(response, call)
                deadline = started + self.timeouts.total
                yield Answer(response=response, deadline=deadline, call=call)
        except CallError as error:
            outcome = f"{outcome} {error.code}"
            raise
        finally:
            if call.fresh:
                session.close()  # its connections; the session itself can be used again
            seconds = time.monotonic() - started
            logger.debug("%s %s: %s in %.3f s", call.method, call.template, outcome, seconds)

    def _send(self, session: requests.Session, call: Call) -> requests.Response:
        url = self.base_url + call.path
        try:
            return session.request(
                call.method,
                url,
                params=dict(call.params) or None,
                data=call.body,
                headers=_headers(call),
                auth=self.auth,
                timeout=(self.timeouts.connect, min(call.read, self.timeouts.total)),
                allow_redirects=False,
                stream=True,
                # Per request: the session's own is overridden by the environment in requests.
                verify=self.verify,
                proxies=self.proxies,
            )
        except NETWORK_ERRORS as failure:
            error = failures.from_network(
                failure, url=url, creates=call.creates, redact=call.redact
            )
        raise error

    def _check(self, response: requests.Response, call: Call) -> None:
        if 200 <= response.status_code < 300:
            return
        refusal = failures.Refusal(
            status=response.status_code,
            headers=response.headers,
            body=_error_body(response),
        )
        raise failures.from_answer(refusal, creates=call.creates, redact=call.redact)


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """No redirect, ever.

        Even with ``allow_redirects=False`` requests looks where the next request would go: it
        loads the whole body for that, and a bad Location raises InvalidURL, which would pass for
        an error from before sending.
        """


def new_session() -> requests.Session:
    """A session that takes nothing from the environment, keeps no cookies and never retries."""
    session = _Session()
    session.trust_env = False  # netrc would replace our credentials
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers.update({"User-Agent": USER_AGENT, "Accept-Encoding": "identity"})
    return session


def session_for(use: str) -> requests.Session:
    """This thread's session in this process, for a use of connections."""
    held: tuple[int, requests.Session] | None = getattr(_local, use, None)
    if held is None or held[0] != os.getpid():
        held = (os.getpid(), new_session())
        setattr(_local, use, held)
    return held[1]


def _headers(call: Call) -> dict[str, str]:
    headers = {"Content-Type": "application/json"} if call.body is not None else {}
    return headers | ({"Connection": "close"} if call.fresh else {})


def _error_body(response: requests.Response) -> bytes:
    """What can be had of an error's body, soon: reading it never hides the status."""
    body = bytearray()
    end = time.monotonic() + ERROR_BODY_SECONDS
    try:
        while len(body) < MAX_ERROR_BODY and time.monotonic() < end:
            chunk = response.raw.read1(CHUNK, decode_content=True)
            if not chunk:
                break
            body += chunk
    except NETWORK_ERRORS:
        pass
    return bytes(body[:MAX_ERROR_BODY])


class DownloadIdFilter(logging.Filter):
    """Takes download ids out of urllib3's own log lines, which show every path at DEBUG."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(_without_download_id(value) for value in record.args)
        return True


def _without_download_id(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return failures.DOWNLOAD_ID.sub(rf"\1{failures.REDACTED}", value)


_filter: Final = DownloadIdFilter()


def quiet_urllib3() -> None:
    """Keep download ids out of urllib3's log. Calling it again changes nothing."""
    logging.getLogger("urllib3.connectionpool").addFilter(_filter)
