"""The documents of one sandbox: their life, their downloads, and what is counted.

Every change of a document happens here, under one lock. No HTTP, no rendering.
"""

import threading
import uuid
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from django_docraptor.sandbox.ledger import ApiCall, Ledger, LedgerEntry
from django_docraptor.sandbox.options import Options
from django_docraptor.sandbox.output import Output

QUEUED = "queued"
WORKING = "working"
COMPLETED = "completed"
FAILED = "failed"

# A sandbox that runs for weeks must not keep every byte it ever made.
MAX_KEPT_BYTES = 256 * 1024 * 1024
MAX_CALLS = 100_000


@dataclass(slots=True, eq=False, kw_only=True)
class Document:
    """One create, accepted or refused; changed by the Store only."""

    options: Options
    asynchronous: bool = False
    hosted: bool = False
    # Where the caller reached us, for the download URL.
    base_url: str = ""
    accepted: bool = True
    # Two opaque strings that have nothing in common.
    status_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    download_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    state: str = QUEUED
    reasons: tuple[str, ...] = ()
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
    finished: threading.Event = field(default_factory=threading.Event)

    @property
    def download_url(self) -> str:
        """Where the bytes are; for a document that is not hosted it is a secret."""
        return f"{self.base_url}/{'hosted' if self.hosted else 'download'}/{self.download_id}"

    @property
    def failed(self) -> bool:
        """Whether the document ended without bytes, under whatever word."""
        return self.finished_at is not None and self.state != COMPLETED

    def entry(self) -> LedgerEntry:
        """Return the document's line in the ledger."""
        return LedgerEntry(
            tag=self.options.tag,
            name=self.options.name,
            document_type=self.options.document_type,
            test=self.options.test,
            asynchronous=self.asynchronous,
            hosted=self.hosted,
            status_id=self.status_id,
            billed=self.accepted and not self.options.test and not self.failed,
            state=self.state,
            created_at=self.created_at,
            finished_at=self.finished_at,
            downloads=self.downloads,
            callbacks=self.callbacks,
            sha256=self.sha256,
        )


class Store:
    """All documents of one sandbox; safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.reset()

    def reset(self) -> None:
        """Forget everything; who waits for a document is released."""
        with self._lock:
            self.release()
            self._documents: list[Document] = []
            self._by_id: dict[str, Document] = {}
            self._active: set[Document] = set()
            self._kept: deque[Document] = deque()
            self._kept_bytes = 0
            self._calls: deque[ApiCall] = deque(maxlen=MAX_CALLS)
            self._counters: Counter[str] = Counter()

    def release(self) -> None:
        """Let everybody go who waits for an unfinished document."""
        with self._lock:
            for document in getattr(self, "_active", ()):
                document.finished.set()

    def count(self, name: str) -> None:
        """Add one to a counter."""
        with self._lock:
            self._counters[name] += 1

    def record(self, call: ApiCall) -> None:
        """Remember a request."""
        with self._lock:
            self._calls.append(call)

    def calls(self) -> list[ApiCall]:
        """Return the remembered requests, oldest first."""
        with self._lock:
            return list(self._calls)

    def ledger(self) -> Ledger:
        """Return a snapshot of the accepted creates and of the counters."""
        with self._lock:
            entries = tuple(one.entry() for one in self._documents if one.accepted)
            return Ledger(entries=entries, counters=dict(self._counters))

    def latest_first(self) -> list[Document]:
        """Return all attempts, the newest first."""
        with self._lock:
            return self._documents[::-1]

    def find(self, an_id: str) -> Document | None:
        """Return the document with this status id or download id."""
        with self._lock:
            return self._by_id.get(an_id)

    def accept(self, document: Document, limit: int) -> bool:
        """Add a document unless `limit` are in the making; say whether it was added."""
        with self._lock:
            if len(self._active) >= limit:
                return False
            self._add(document)
            self._active.add(document)
            self._counters["accepted"] += 1
            self._counters["peak_concurrency"] = max(
                self._counters["peak_concurrency"], len(self._active)
            )
            return True

    def refuse(self, document: Document, reasons: list[str]) -> None:
        """Add an attempt that was refused at once, for the logs only."""
        with self._lock:
            document.accepted = False
            self._add(document)
            self._finish(document, FAILED, tuple(reasons))

    def _add(self, document: Document) -> None:
        document.input_size = len(document.options.content)
        self._documents.append(document)
        self._by_id[document.status_id] = document
        self._by_id[document.download_id] = document

    def start(self, document: Document) -> None:
        """queued -> working."""
        with self._lock:
            if document in self._active:
                document.state = WORKING
                document.started_at = datetime.now(UTC)

    def fail(self, document: Document, reasons: tuple[str, ...], word: str = FAILED) -> None:
        """working -> failed, or another word for it."""
        with self._lock:
            if document in self._active:
                self._finish(document, word, reasons)

    def complete(self, document: Document, output: Output) -> None:
        """working -> completed."""
        digest = output.sha256()
        with self._lock:
            # A document from before a reset is nobody's any more, and must call nobody back.
            if document in self._active:
                document.output = output
                document.output_size = output.size
                document.pages = output.pages
                document.sha256 = digest
                self._keep(document, output)
                self._finish(document, COMPLETED, ())

    def _finish(self, document: Document, state: str, reasons: tuple[str, ...]) -> None:
        document.state = state
        document.reasons = reasons
        document.finished_at = datetime.now(UTC)
        # The source is not needed any more, and can be large.
        document.options = replace(document.options, content="")
        self._active.discard(document)
        document.finished.set()

    def _keep(self, document: Document, output: Output) -> None:
        self._kept.append(document)
        self._kept_bytes += len(output.head) + len(output.tail)
        while self._kept_bytes > MAX_KEPT_BYTES and len(self._kept) > 1:
            oldest = self._kept.popleft()
            if oldest.output is not None:
                self._kept_bytes -= len(oldest.output.head) + len(oldest.output.tail)
                oldest.output = None

    def take_download(self, document: Document, limit: int) -> Output | None:
        """Count one download and return the bytes; None if there are none to be had."""
        with self._lock:
            if document.expired or document.downloads >= limit or document.output is None:
                return None
            document.downloads += 1
            return document.output

    def expire(self, document: Document) -> None:
        """End a hosted document."""
        with self._lock:
            document.expired = True

    def called_back(self, document: Document) -> None:
        """Count one callback."""
        with self._lock:
            document.callbacks += 1
            self._counters["callback_calls"] += 1
