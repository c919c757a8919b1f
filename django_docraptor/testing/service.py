"""Internal. DocRaptor in memory: accepted documents, their files, and the log.

It refuses what DocRaptor refuses, in its words: both come from the sandbox, whose plain functions
it uses. Calls may come from several threads. No HTTP, no database.
"""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from django_docraptor.client import LogEntry
from django_docraptor.exceptions import ForbiddenError, RejectedError, Sent, UnknownOutcomeError
from django_docraptor.payloads import DocumentRequest
from django_docraptor.sandbox import recorded
from django_docraptor.sandbox.canned import canned_document
from django_docraptor.sandbox.options import options_from_json, validation_errors
from django_docraptor.testing.sent_documents import SentDocument

LOST_ANSWER = (
    "No response was received, and DocRaptor may have accepted the request: the test has lost it "
    "(lose_answer)."
)


class InMemoryService:
    """The documents that one test has sent, and what is to go wrong with the next ones."""

    def __init__(self) -> None:
        """Begin without documents."""
        self._lock = threading.Lock()
        self.documents: list[SentDocument] = []
        self.lost_answers = 0

    def create(self, request: DocumentRequest, *, asynchronous: bool, hosted: bool) -> SentDocument:
        """Accept a document and render it.

        Raises:
            RejectedError: it is synchronous and invalid; an asynchronous one fails later.
            UnknownOutcomeError: its answer is lost.
        """
        options = options_from_json(request.to_json())
        reasons = validation_errors(options)
        sent = SentDocument(
            request=request,
            asynchronous=asynchronous,
            hosted=hosted,
            error="\n".join(reasons),
            output=canned_document(options),
        )
        with self._lock:
            self.documents.append(sent)
            is_lost = self.lost_answers > 0
            self.lost_answers -= is_lost
        if is_lost:
            raise UnknownOutcomeError(LOST_ANSWER)
        if reasons and not asynchronous:
            raise RejectedError(sent.error, status=422)
        return sent

    def status_of(self, status_id: str) -> SentDocument:
        """Return the asynchronous document with this status ID.

        Raises:
            ForbiddenError: there is none.
        """
        found = self._find(lambda sent: sent.asynchronous and sent.status_id == status_id)
        if found is None:
            raise ForbiddenError(recorded.FOREIGN_STATUS, status=403, sent=Sent.YES)
        return found

    def finished(self, download_id: str, *, is_hosted: bool = False) -> SentDocument:
        """Return the finished document with this download ID.

        Args:
            download_id: as in its status.
            is_hosted: whether only a hosted one will do.

        Raises:
            RejectedError: there is none, or it has expired.
        """
        found = self._find(
            lambda sent: (
                sent.download_id == download_id
                and not (sent.error or sent.is_expired)
                and (sent.hosted or not is_hosted)
            )
        )
        if found is None:
            raise RejectedError(recorded.BAD_DOWNLOAD_KEY, status=400)
        return found

    def log(self, start: datetime | None, end: datetime | None) -> list[LogEntry]:
        """Return the log of all documents between two times, newest first."""
        with self._lock:
            found = [
                sent
                for sent in reversed(self.documents)
                if (start is None or sent.created_at >= start)
                and (end is None or sent.created_at <= end)
            ]
        return [_log_entry(sent) for sent in found]

    def age(self, seconds: float) -> None:
        """Make all documents older."""
        with self._lock:
            for sent in self.documents:
                sent.created_at -= timedelta(seconds=seconds)

    def _find(self, condition: Callable[[SentDocument], bool]) -> SentDocument | None:
        with self._lock:
            return next((sent for sent in self.documents if condition(sent)), None)


def _log_entry(sent: SentDocument) -> LogEntry:
    return LogEntry(
        id=sent.download_id,
        tag=sent.request.tag or "",
        status_id=sent.status_id,
        success=not sent.error,
        name=sent.name,
        created_at=sent.created_at,
        document_type=sent.document_type,
        test=sent.test,
        validation_errors=sent.error,
        warnings=0,
    )
