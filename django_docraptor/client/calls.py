"""One method for each call of DocRaptor's API.

Knows paths, limits and what each answer must have. How a call travels is `transport`'s, what a
failure means `failures`', what an answer says `answers`'.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO, Final, TypeVar
from urllib.parse import quote

from requests.auth import HTTPBasicAuth

from django_docraptor.client import answers
from django_docraptor.client.answers import Download, LogEntry, RemoteStatus
from django_docraptor.client.failures import Redactor
from django_docraptor.client.transport import Answer, Call, Timeouts, Transport, quiet_urllib3
from django_docraptor.exceptions import RejectedError, Sent, TooLargeError
from django_docraptor.payloads import DocumentRequest

MEBIBYTE: Final = 1024 * 1024
MAX_ANSWER: Final = MEBIBYTE
MAX_LISTING: Final = 10 * MEBIBYTE
MAX_ID: Final = 200
MAX_PER_PAGE: Final = 100

T = TypeVar("T")


class Client:
    """DocRaptor's HTTP API. Safe to share between threads and across a fork.

    Args:
        api_key: sent as the user name of basic authentication, nowhere else.
        base_url: DocRaptor, or a sandbox.
        timeouts: seconds.
        max_document_bytes: the largest document that is accepted.
        proxies: as requests takes them, such as ``{"https": "http://proxy:3128"}``.
        ca_bundle: path of a file with CA certificates; ``None`` means certifi's.

    The environment (proxy variables, netrc, CA bundles) is not looked at. Every method makes one
    call and raises a `CallError` when it fails; its ``sent`` tells whether a create may be made
    again. After an error, what a ``target`` holds is worth nothing: discard it.
    """

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str = "https://api.docraptor.com",
        timeouts: Timeouts = Timeouts(),  # noqa: B008 - frozen
        max_document_bytes: int = 200 * MEBIBYTE,
        proxies: Mapping[str, str] | None = None,
        ca_bundle: str | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.timeouts = timeouts
        self.max_document_bytes = max_document_bytes
        self._redact = Redactor.for_key(api_key)
        self._transport = Transport(
            base_url=self.base_url,
            # As bytes: requests would take a str for Latin-1.
            auth=HTTPBasicAuth(api_key.encode(), b""),
            timeouts=timeouts,
            proxies=dict(proxies or {}),
            verify=str(ca_bundle) if ca_bundle else True,
        )
        quiet_urllib3()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self.base_url!r})"

    def redact(self, text: str, *secrets: str) -> str:
        """Text that came, without the API key in any of its forms, and without other secrets."""
        return self._redact_also(*secrets)(text)

    def create_doc(self, request: DocumentRequest, target: BinaryIO) -> Download:
        """Make a document and write it to the target. DocRaptor allows it 60 s.

        Raises:
            CallError: see the class.
            TooLargeError: it is above ``max_document_bytes``; it has been made all the same.
        """
        call = self._create("/docs", request, read=self.timeouts.sync_read)
        with self._transport.call(call) as answer:
            return self._save(answer, target)

    def create_async_doc(self, request: DocumentRequest) -> str:
        """Have a document made; returns its status id. DocRaptor allows it 600 s."""
        call = self._create("/async_docs", request, read=self.timeouts.create_read)
        return self._object(call, _status_id)

    def create_hosted_doc(self, request: DocumentRequest) -> RemoteStatus:
        """Make a hosted document, which is public; returns where it is."""
        call = self._create("/hosted_docs", request, read=self.timeouts.sync_read)
        return self._object(call, _hosted)

    def create_hosted_async_doc(self, request: DocumentRequest) -> str:
        """Have a hosted document made; returns its status id."""
        call = self._create("/hosted_async_docs", request, read=self.timeouts.create_read)
        return self._object(call, _status_id)

    def get_status(self, status_id: str) -> RemoteStatus:
        """How far the document is. Raises CallError."""
        path = f"/status/{_quoted(status_id, 'status id')}"
        call = self._call("GET", path, template="/status/…")
        remote = self._object(call, RemoteStatus.from_answer)
        return replace(
            remote,
            message=self._redact(remote.message),
            validation_errors=self._redact(remote.validation_errors),
        )

    def download(self, download_id: str, target: BinaryIO) -> Download:
        """Write a finished document to the target.

        DocRaptor may give it out only once: a call that began may have been the last.

        Raises:
            CallError: RejectedError (400) also means "not finished yet".
            TooLargeError: it is above ``max_document_bytes``.
        """
        quoted = _quoted(download_id, "download id")
        call = Call(
            method="GET",
            path=f"/download/{quoted}",
            template="/download/…",
            read=self.timeouts.download_read,
            fresh=True,
            redact=self._redact_also(download_id, quoted),
        )
        with self._transport.call(call) as answer:
            return self._save(answer, target)

    def expire(self, download_id: str) -> None:
        """End a hosted document. Raises CallError; NotFoundError if it has ended."""
        quoted = _quoted(download_id, "download id")
        call = Call(
            method="PATCH",
            path=f"/expire/{quoted}",
            template="/expire/…",
            read=self.timeouts.status_read,
            redact=self._redact_also(download_id, quoted),
        )
        with self._transport.call(call):
            pass

    def list_docs(self, *, page: int = 1, per_page: int = MAX_PER_PAGE) -> list[LogEntry]:
        """Documents that were made, newest first. Pages as in `list_doc_logs`."""
        return self._listing("/docs.json", _page(page, per_page))

    def list_doc_logs(
        self,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        page: int = 1,
        per_page: int = MAX_PER_PAGE,
    ) -> list[LogEntry]:
        """Every attempt, failed ones included, newest first.

        Args:
            start, end: aware times between which the attempts were made, widened to full seconds.
            page: from 1. The listing ends at the first **empty** page. A page that is merely
                short proves nothing: the service may give fewer than it was asked for.
            per_page: 1 to 100.

        Raises:
            CallError: also if the answer is not entirely understood, so that what is not in a
                listing is really not there.
        """
        params = _page(page, per_page)
        if start is not None:
            params["search[start]"] = _moment(start)
        if end is not None:
            params["search[end]"] = _moment(end + timedelta(seconds=1))
        return self._listing("/doc_logs.json", params)

    def _call(self, method: str, path: str, *, template: str, **facts: Any) -> Call:
        read = self.timeouts.status_read
        return Call(
            method=method, path=path, template=template, read=read, redact=self._redact, **facts
        )

    def _create(self, path: str, request: DocumentRequest, *, read: float) -> Call:
        body = json.dumps(request.to_json(), ensure_ascii=False, allow_nan=False).encode()
        return Call(
            method="POST",
            path=path,
            template=path,
            read=read,
            redact=self._redact,
            creates=True,
            fresh=True,
            body=body,
        )

    def _object(self, call: Call, read: Callable[[dict[str, Any]], T]) -> T:
        with self._transport.call(call) as answer:
            return _understood(answer, MAX_ANSWER, lambda body: read(answers.read_object(body)))

    def _listing(self, path: str, params: Mapping[str, str]) -> list[LogEntry]:
        call = self._call("GET", path, template=path, params=params)
        with self._transport.call(call) as answer:
            return _understood(answer, MAX_LISTING, answers.read_listing)

    def _save(self, answer: Answer, target: BinaryIO) -> Download:
        headers = answer.response.headers
        expected = _expected_size(headers)
        self._check_size(expected or 0)
        digest = hashlib.sha256()
        size = 0
        for chunk in answer.chunks():
            size += len(chunk)
            self._check_size(size)
            digest.update(chunk)
            target.write(chunk)
        if expected is not None and size != expected:
            raise answer.unusable(f"it has {size:,} bytes instead of {expected:,}")
        return Download(
            size=size,
            sha256=digest.hexdigest(),
            content_type=headers.get("Content-Type", ""),
            number_of_pages=answers.whole_number(headers.get("X-DocRaptor-Num-Pages")),
        )

    def _check_size(self, size: int) -> None:
        if size > self.max_document_bytes:
            raise TooLargeError(
                f"The document has more than the {self.max_document_bytes:,} bytes allowed "
                "(DOCRAPTOR['MAX_DOCUMENT_BYTES'])."
            )

    def _redact_also(self, *secrets: str) -> Redactor:
        return Redactor((*secrets, *self._redact.secrets))


def _understood(answer: Answer, limit: int, read: Callable[[bytes], T]) -> T:
    """Read the body. What cannot be understood is an answer whose meaning is lost."""
    body = answer.read(limit)
    try:
        return read(body)
    except ValueError as error:
        why = str(error)
    raise answer.unusable(why)


def _status_id(answer: dict[str, Any]) -> str:
    return answers.read_id(answer, "status_id")


def _hosted(answer: dict[str, Any]) -> RemoteStatus:
    # The answer to a synchronous create has no status: that it came says "completed".
    status = RemoteStatus.from_answer(answer, status="completed")
    if not status.download_id:
        raise ValueError("it has no download_id")
    return status


def _quoted(identifier: str, label: str) -> str:
    """An id as one part of a path, whatever it holds.

    Raises:
        RejectedError: nobody could have given out such an id; nothing is sent.
    """
    sane = isinstance(identifier, str) and identifier.isprintable() and identifier.strip()
    # "." and ".." survive quoting, and would be taken for a step in the path.
    if not sane or len(identifier) > MAX_ID or identifier in (".", ".."):
        raise RejectedError(
            f"This is no {label} of DocRaptor's: blank, longer than {MAX_ID} characters, or not "
            "printable. Nothing was sent.",
            sent=Sent.NO,
        )
    return quote(identifier, safe="")


def _page(page: int, per_page: int) -> dict[str, str]:
    if page < 1 or not 1 <= per_page <= MAX_PER_PAGE:
        raise ValueError(f"page must be at least 1 and per_page from 1 to {MAX_PER_PAGE}")
    return {"page": str(page), "per_page": str(per_page)}


def _moment(value: datetime) -> str:
    if value.utcoffset() is None:
        raise ValueError(f"{value!r} has no time zone")
    return value.astimezone(UTC).isoformat(timespec="seconds")


def _expected_size(headers: Mapping[str, str]) -> int | None:
    """The length of the body as announced, where it is that of the decoded body."""
    if headers.get("Content-Encoding") or headers.get("Transfer-Encoding"):
        return None
    return answers.whole_number(headers.get("Content-Length"))
