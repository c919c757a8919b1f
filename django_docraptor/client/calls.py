"""Internal. One method for each call of DocRaptor's API.

Knows paths, limits and required response fields. `transport` sends the calls, `failures` interprets
errors, `parsing` reads responses.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO, Final, TypeVar
from urllib.parse import quote

from requests.auth import HTTPBasicAuth

from django_docraptor.client import parsing
from django_docraptor.client.failures import Redactor
from django_docraptor.client.parsing import (
    MAX_ID_LENGTH,
    LogPage,
    RemoteStatus,
    SavedDocument,
)
from django_docraptor.client.timeouts import Timeouts
from django_docraptor.client.transport import (
    ApiResponse,
    Call,
    Transport,
    redact_urllib3_logs,
)
from django_docraptor.exceptions import DocumentTooLargeError, RejectedError, Sent
from django_docraptor.payloads import DocumentRequest
from django_docraptor.payloads.json_text import json_bytes
from django_docraptor.secret_text import SecretText

MEBIBYTE: Final = 1024 * 1024
MAX_RESPONSE_BYTES: Final = MEBIBYTE
# Each entry of the log has the whole log of its document's generation.
MAX_LISTING_BYTES: Final = 16 * MEBIBYTE
MAX_PER_PAGE: Final = 100
PARTIAL_CONTENT: Final = 206

T = TypeVar("T")


class Client:
    """DocRaptor's HTTP API. Safe to share between threads and across a fork.

    Args:
        api_key: sent only as the user name of HTTP basic authentication.
        base_url: URL of DocRaptor or a sandbox.
        timeouts: in seconds.
        max_document_bytes: the largest document that is accepted.
        proxies: as for requests, such as ``{"https": "http://proxy:3128"}``.
        ca_bundle: path of CA certificates, read again when it changes; ``None`` means certifi's.

    The environment (proxy variables, netrc, CA bundles) is ignored. Every method makes one call and
    raises `CallError` on failure; ``sent`` tells whether a create may be repeated. After an error,
    discard the contents of ``target``.
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
        """Create a client; this sends nothing."""
        api_key = SecretText(api_key)
        self.base_url = base_url.rstrip("/")
        self.timeouts = timeouts
        self.max_document_bytes = max_document_bytes
        self._redact = Redactor.for_key(api_key)
        self._transport = Transport(
            base_url=self.base_url,
            # As bytes: requests encodes a str as Latin-1.
            auth=HTTPBasicAuth(api_key.encode(), b""),
            timeouts=timeouts,
            proxies=dict(proxies or {}),
            ca_bundle=str(ca_bundle or ""),
        )
        redact_urllib3_logs()

    def __repr__(self) -> str:
        """Return the URL, without secrets."""
        return f"{type(self).__name__}(base_url={self.base_url!r})"

    def redact(self, text: str, *secrets: str) -> str:
        """Remove the API key in every encoding, and other secrets, from received text."""
        return self._redactor_with(*secrets)(text)

    def create_doc(self, request: DocumentRequest, target: BinaryIO) -> SavedDocument:
        """Create a document synchronously and write it to the target.

        DocRaptor's limit is 60 s.

        Raises:
            CallError: see the class.
            DocumentTooLargeError: it exceeds ``max_document_bytes``; it was created nevertheless.
        """
        call = self._create_call("/docs", request, read_timeout=self.timeouts.sync_read)
        with self._transport.call(call) as response:
            return self._save(response, target)

    def create_async_doc(self, request: DocumentRequest) -> str:
        """Create a document asynchronously and return its status ID.

        DocRaptor's limit is 600 s.
        """
        call = self._create_call("/async_docs", request, read_timeout=self.timeouts.create_read)
        return self._get_object(call, _parse_status_id)

    def create_hosted_doc(self, request: DocumentRequest) -> RemoteStatus:
        """Create a hosted (public) document synchronously and return its status with the URL."""
        call = self._create_call("/hosted_docs", request, read_timeout=self.timeouts.sync_read)
        return self._get_object(call, _parse_hosted)

    def create_hosted_async_doc(self, request: DocumentRequest) -> str:
        """Create a hosted document asynchronously and return its status ID."""
        call = self._create_call(
            "/hosted_async_docs", request, read_timeout=self.timeouts.create_read
        )
        return self._get_object(call, _parse_status_id)

    def get_status(self, status_id: str) -> RemoteStatus:
        """Return the status of a document."""
        path = f"/status/{_quote_id(status_id, 'status ID')}"
        call = self._status_call("GET", path, log_path="/status/…")
        remote = self._get_object(call, RemoteStatus.from_json)
        return replace(
            remote,
            message=self._redact(remote.message),
            validation_errors=self._redact(remote.validation_errors),
        )

    def download(self, download_id: str, target: BinaryIO) -> SavedDocument:
        """Write a finished document to the target.

        DocRaptor may allow only one download: a call that was started may have used it up.

        Raises:
            CallError: RejectedError (400) also means "not finished yet".
            DocumentTooLargeError: it exceeds ``max_document_bytes``.
        """
        quoted = _quote_id(download_id, "download ID")
        call = Call(
            method="GET",
            path=f"/download/{quoted}",
            log_path="/download/…",
            read_timeout=self.timeouts.download_read,
            total=self.timeouts.total,
            new_connection=True,
            redact=self._redactor_with(download_id, quoted),
        )
        with self._transport.call(call) as response:
            return self._save(response, target)

    def expire(self, download_id: str) -> None:
        """Expire a hosted document.

        Raises:
            CallError: NotFoundError if it has already expired.
        """
        quoted = _quote_id(download_id, "download ID")
        call = Call(
            method="PATCH",
            path=f"/expire/{quoted}",
            log_path="/expire/…",
            read_timeout=self.timeouts.status_read,
            total=self.timeouts.status_total,
            redact=self._redactor_with(download_id, quoted),
        )
        with self._transport.call(call):
            pass

    def list_docs(self, *, page: int = 1, per_page: int = MAX_PER_PAGE) -> LogPage:
        """List created documents, newest first. Paginated like `list_doc_logs`."""
        return self._get_listing("/docs.json", _page_params(page, per_page))

    def list_doc_logs(
        self,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        page: int = 1,
        per_page: int = MAX_PER_PAGE,
    ) -> LogPage:
        """List all attempts, including failed ones, newest first.

        Args:
            start: aware datetime of the earliest attempt, rounded down to full seconds. A service
                that misreads it, or ``end``, lists other attempts without an error: such a listing
                never proves that an attempt is missing.
            end: aware datetime of the latest attempt, rounded up to full seconds.
            page: 1 or more. The listing ends at the first **empty** page; a short page is not
                necessarily the last, because the service may return fewer entries than requested.
            per_page: 1 to 100.

        Raises:
            CallError: also if the response cannot be parsed completely, so that an entry missing
                from a listing really does not exist.
        """
        params = _page_params(page, per_page)
        if start is not None:
            params["search[start]"] = _to_utc(start)
        if end is not None:
            params["search[end]"] = _to_utc(end + timedelta(seconds=1))
        return self._get_listing("/doc_logs.json", params)

    def _status_call(self, method: str, path: str, *, log_path: str, **options: Any) -> Call:
        return Call(
            method=method,
            path=path,
            log_path=log_path,
            read_timeout=self.timeouts.status_read,
            total=self.timeouts.status_total,
            redact=self._redact,
            **options,
        )

    def _create_call(self, path: str, request: DocumentRequest, *, read_timeout: float) -> Call:
        body = json_bytes(request.to_json(), ensure_ascii=False, allow_nan=False)
        return Call(
            method="POST",
            path=path,
            log_path=path,
            read_timeout=read_timeout,
            total=self.timeouts.total,
            redact=self._redact,
            is_create=True,
            new_connection=True,
            body=body,
        )

    def _get_object(self, call: Call, parse: Callable[[dict[str, Any]], T]) -> T:
        with self._transport.call(call) as response:
            return _parse_body(
                response, MAX_RESPONSE_BYTES, lambda body: parse(parsing.parse_object(body))
            )

    def _get_listing(self, path: str, params: Mapping[str, str]) -> LogPage:
        call = self._status_call("GET", path, log_path=path, params=params)
        with self._transport.call(call) as response:
            entries = _parse_body(response, MAX_LISTING_BYTES, parsing.parse_listing)
            served_at = parsing.parse_time(response.raw_response.headers.get("Date"))
        redacted = (
            replace(entry, validation_errors=self._redact(entry.validation_errors))
            for entry in entries
        )
        return LogPage(redacted, served_at=served_at)

    def _save(self, response: ApiResponse, target: BinaryIO) -> SavedDocument:
        headers = response.raw_response.headers
        if response.raw_response.status_code == PARTIAL_CONTENT:
            raise response.unusable_error("it has only a part of the document")
        expected = _expected_size(headers)
        self._check_size(expected or 0)
        # A file of ours checks that there is room for the document.
        announce = getattr(target, "announce", None)
        if announce and expected:
            announce(expected)
        digest = hashlib.sha256()
        size = 0
        for chunk in response.chunks():
            size += len(chunk)
            self._check_size(size)
            digest.update(chunk)
            target.write(chunk)
        if expected is not None and size != expected:
            raise response.unusable_error(f"it has {size:,} bytes, not the announced {expected:,}")
        return SavedDocument(
            size=size,
            sha256=digest.hexdigest(),
            content_type=headers.get("Content-Type", ""),
            number_of_pages=parsing.parse_count(headers.get("X-DocRaptor-Num-Pages")),
        )

    def _check_size(self, size: int) -> None:
        if size > self.max_document_bytes:
            raise DocumentTooLargeError(
                f"The document exceeds the limit of {self.max_document_bytes:,} bytes "
                "(DOCRAPTOR['MAX_DOCUMENT_BYTES'])."
            )

    def _redactor_with(self, *secrets: str) -> Redactor:
        return Redactor((*secrets, *self._redact.secrets))


def _parse_body(response: ApiResponse, limit: int, parse: Callable[[bytes], T]) -> T:
    """Read and parse the body. A body that cannot be parsed counts as an unknown outcome."""
    body = response.read(limit)
    try:
        return parse(body)
    except ValueError as error:
        reason = str(error)
    # Outside of the handler, so that the error is not chained to one that quotes the body.
    raise response.unusable_error(reason)


def _parse_status_id(data: dict[str, Any]) -> str:
    return parsing.require_id(data, "status_id")


def _parse_hosted(data: dict[str, Any]) -> RemoteStatus:
    # The response to a synchronous create has no status: it implies "completed".
    status = RemoteStatus.from_json(data, status="completed")
    if not status.download_id:
        raise ValueError("it has no download_id")
    return status


def _quote_id(identifier: str, label: str) -> str:
    """Quote an ID as one path segment.

    Raises:
        RejectedError: the ID cannot be valid; nothing was sent.
    """
    if not isinstance(identifier, str) or not parsing.is_usable_id(identifier):
        raise RejectedError(
            f"Invalid {label}: it is blank, longer than {MAX_ID_LENGTH} characters or not "
            "printable. Nothing was sent.",
            sent=Sent.NO,
        )
    return quote(identifier, safe="")


def _page_params(page: int, per_page: int) -> dict[str, str]:
    if page < 1 or not 1 <= per_page <= MAX_PER_PAGE:
        raise ValueError(f"page must be at least 1, and per_page between 1 and {MAX_PER_PAGE}")
    return {"page": str(page), "per_page": str(per_page)}


def _to_utc(value: datetime) -> str:
    if value.utcoffset() is None:
        raise ValueError(f"{value!r} must be an aware datetime")
    # The documented form. What the service makes of another one is unknown.
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _expected_size(headers: Mapping[str, str]) -> int | None:
    """Return the announced length, if it is that of the decoded body."""
    if headers.get("Content-Encoding") or headers.get("Transfer-Encoding"):
        return None
    return parsing.parse_count(headers.get("Content-Length"))
