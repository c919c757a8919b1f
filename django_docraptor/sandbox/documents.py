"""The documents of one sandbox: states, downloads and counters.

All changes happen here, under one lock. No HTTP, no rendering.
"""

import threading
import uuid
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from django_docraptor.sandbox.ledger import ApiCall, Ledger, LedgerEntry
from django_docraptor.sandbox.options import Options
from django_docraptor.sandbox.output import Output

QUEUED = "queued"
WORKING = "working"
COMPLETED = "completed"
FAILED = "failed"

# Bound the memory of a sandbox that runs for weeks.
MAX_KEPT_BYTES = 256 * 1024 * 1024
MAX_CALLS = 100_000


@dataclass(slots=True, eq=False, kw_only=True)
class Document:
    """A document created by one call, accepted or rejected. Only `DocumentStore` changes it."""

    options: Options
    asynchronous: bool = False
    hosted: bool = False
    # URL by which the client reached the sandbox, for the download URL.
    base_url: str = ""
    # Key of the create call, which says whose document it is.
    api_key: str = field(default="", repr=False)
    # By which the service's clock was ahead of this machine's when it made the document.
    clock_offset: timedelta = timedelta()
    # Address that the create call came from.
    ip_address: str = ""
    accepted: bool = True
    # Two unrelated opaque strings, as at DocRaptor.
    status_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    download_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    state: str = QUEUED
    reasons: tuple[str, ...] = ()
    # What rendering complained of without failing.
    warnings: tuple[str, ...] = ()
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    started_at: datetime | None = None
    finished_at: datetime | None = None
    input_size: int = 0
    output: Output | None = None
    output_size: int = 0
    pages: int | None = None
    sha256: str = ""
    downloads: int = 0
    callbacks: int = 0
    expired: bool = False
    finished_event: threading.Event = field(default_factory=threading.Event)

    @property
    def download_url(self) -> str:
        """URL of the file. Unless the document is hosted, it is secret."""
        return f"{self.base_url}/{'hosted' if self.hosted else 'download'}/{self.download_id}"

    @property
    def logged_at(self) -> datetime:
        """When the document was created, by the service's clock."""
        return self.created_at + self.clock_offset

    @property
    def has_failed(self) -> bool:
        """Whether the document finished without a file, in whatever state."""
        return self.finished_at is not None and self.state != COMPLETED

    @property
    def billed(self) -> bool:
        """Whether DocRaptor bills the document: accepted, no test, and not failed."""
        return self.accepted and not self.options.test and not self.has_failed

    def ledger_entry(self) -> LedgerEntry:
        """Return the document's ledger entry."""
        return LedgerEntry(
            tag=self.options.tag,
            name=self.options.name,
            document_type=self.options.document_type,
            test=self.options.test,
            asynchronous=self.asynchronous,
            hosted=self.hosted,
            status_id=self.status_id,
            billed=self.billed,
            state=self.state,
            created_at=self.created_at,
            finished_at=self.finished_at,
            downloads=self.downloads,
            callbacks=self.callbacks,
            sha256=self.sha256,
        )


class DocumentStore:
    """All documents of one sandbox; safe to use from many threads."""

    def __init__(self) -> None:
        """Begin without documents."""
        self._lock = threading.RLock()
        self.reset()

    def reset(self) -> None:
        """Delete everything and release requests that wait for a document."""
        with self._lock:
            self.release_waiters()
            self._documents: list[Document] = []
            self._by_id: dict[str, Document] = {}
            self._active: set[Document] = set()
            self._kept: deque[Document] = deque()
            self._kept_bytes = 0
            self._calls: deque[ApiCall] = deque(maxlen=MAX_CALLS)
            self._counters: Counter[str] = Counter()

    def release_waiters(self) -> None:
        """Release requests that wait for an unfinished document."""
        with self._lock:
            for document in getattr(self, "_active", ()):
                document.finished_event.set()

    def increment(self, counter: str) -> None:
        """Add one to a counter."""
        with self._lock:
            self._counters[counter] += 1

    def record_call(self, call: ApiCall) -> None:
        """Remember a call."""
        with self._lock:
            self._calls.append(call)

    def calls(self) -> list[ApiCall]:
        """Return the remembered calls, oldest first."""
        with self._lock:
            return list(self._calls)

    def ledger(self) -> Ledger:
        """Return a snapshot of the accepted documents and of the counters."""
        with self._lock:
            entries = tuple(
                document.ledger_entry() for document in self._documents if document.accepted
            )
            return Ledger(entries=entries, counters=dict(self._counters))

    def latest_first(self) -> list[Document]:
        """Return all documents, latest first."""
        with self._lock:
            return self._documents[::-1]

    def find(self, document_id: str) -> Document | None:
        """Return the document with this status ID or download ID."""
        with self._lock:
            return self._by_id.get(document_id)

    def status_id_before(self, document: Document) -> str:
        """Return the status ID of the asynchronous document accepted before; empty if none."""
        with self._lock:
            earlier = self._documents[: self._documents.index(document)]
            found = (other for other in reversed(earlier) if other.accepted and other.asynchronous)
            return next((other.status_id for other in found), "")

    def accept(self, document: Document, limit: int) -> bool:
        """Add a document unless `limit` documents are in progress.

        Returns:
            whether it was added.
        """
        with self._lock:
            if len(self._active) >= limit:
                return False
            self._add(document)
            self._active.add(document)
            peak = max(self._counters["peak_concurrency"], len(self._active))
            self._counters["peak_concurrency"] = peak
            return True

    def add_rejected(self, document: Document, reasons: list[str]) -> None:
        """Add a document that was rejected immediately; only the logs list it."""
        with self._lock:
            document.accepted = False
            self._add(document)
            # The log says so: nothing was read and nothing was made of it.
            document.input_size = 0
            self._finish(document, FAILED, tuple(reasons))

    def _add(self, document: Document) -> None:
        document.input_size = len(document.options.content)
        self._documents.append(document)
        self._by_id[document.status_id] = document
        self._by_id[document.download_id] = document

    def start(self, document: Document) -> None:
        """Mark a document as working."""
        with self._lock:
            if document in self._active:
                document.state = WORKING
                document.started_at = datetime.now(UTC)

    def is_beyond(self, document: Document, limit: int) -> bool:
        """Return whether `limit` billed documents were accepted before this production document."""
        with self._lock:
            if document.options.test or document not in self._active:
                return False
            earlier = self._documents[: self._documents.index(document)]
            return sum(other.billed for other in earlier) >= limit

    def warn(self, document: Document, warnings: tuple[str, ...]) -> None:
        """Remember what rendering complained of."""
        with self._lock:
            document.warnings = warnings

    def fail(self, document: Document, reasons: tuple[str, ...], state: str = FAILED) -> None:
        """Mark a document as failed, or as another final state that stands for a failure."""
        with self._lock:
            if document in self._active:
                self._finish(document, state, reasons)

    def complete(self, document: Document, output: Output) -> None:
        """Mark a document as completed."""
        digest = output.sha256()
        with self._lock:
            # A document created before a reset no longer exists and must not call back.
            if document in self._active:
                document.output = output
                document.output_size = output.size
                document.pages = output.pages
                document.sha256 = digest
                self._limit_kept_bytes(document, output)
                self._finish(document, COMPLETED, ())

    def _finish(self, document: Document, state: str, reasons: tuple[str, ...]) -> None:
        document.state = state
        document.reasons = reasons
        document.finished_at = datetime.now(UTC)
        # Release the source, which may be large.
        document.options = replace(document.options, content="")
        self._active.discard(document)
        document.finished_event.set()

    def _limit_kept_bytes(self, document: Document, output: Output) -> None:
        self._kept.append(document)
        self._kept_bytes += len(output.head) + len(output.tail)
        while self._kept_bytes > MAX_KEPT_BYTES and len(self._kept) > 1:
            oldest = self._kept.popleft()
            if oldest.output is not None:
                self._kept_bytes -= len(oldest.output.head) + len(oldest.output.tail)
                oldest.output = None

    def take_download(self, document: Document, limit: int) -> Output | None:
        """Count a download.

        Returns:
            the output, or None if it is no longer available.
        """
        with self._lock:
            if document.expired or document.downloads >= limit or document.output is None:
                return None
            document.downloads += 1
            return document.output

    def expire(self, document: Document) -> None:
        """Expire a hosted document."""
        with self._lock:
            document.expired = True

    def count_callback(self, document: Document) -> None:
        """Count a callback."""
        with self._lock:
            document.callbacks += 1
            self._counters["callback_calls"] += 1
