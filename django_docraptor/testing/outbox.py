"""Internal. DocRaptor in memory: what the fixture ``docraptor`` and the mixin give to a test."""

import uuid
from contextlib import ExitStack
from typing import Any, Self

from asgiref.sync import sync_to_async
from django.test import Client as Browser
from django.urls import reverse

from django_docraptor.callback_urls import make_token
from django_docraptor.documents import Document
from django_docraptor.models import RenderJob
from django_docraptor.testing import engine
from django_docraptor.testing.assertions import Assertions, label_of
from django_docraptor.testing.client import in_memory
from django_docraptor.testing.commit_hooks import once_each
from django_docraptor.testing.sent_documents import SentDocument
from django_docraptor.testing.service import InMemoryService
from django_docraptor.testing.settings import settings_for_test

CLIENT = "django_docraptor.testing.InMemoryClient"

AnyDocument = type[Document[Any]]


class InMemoryDocRaptor(Assertions):
    """DocRaptor in memory, and the engine that your jobs need. Nothing is sent.

    The fixture ``docraptor`` and `DocRaptorTestMixin` provide one for each test; elsewhere use it
    as a context manager. Meanwhile ``DOCRAPTOR`` has another client and no runner, and files are
    stored in memory.
    """

    def __init__(self) -> None:
        """Create one; it is not used before the ``with`` block."""
        self._service = InMemoryService()
        # What is to fail: a job's ID or a document's label, and the reason.
        self._failures: list[tuple[uuid.UUID | str, str]] = []
        # IDs of jobs for which DocRaptor is to call back, and how often.
        self._callbacks: list[tuple[uuid.UUID, int]] = []

    def __enter__(self) -> Self:
        """Exchange the client, the runner, and the storages."""
        with ExitStack() as stack:
            stack.enter_context(once_each())
            stack.enter_context(in_memory(self._service))
            stack.enter_context(settings_for_test(CLIENT=CLIENT, API_KEY="in-memory"))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Undo it."""
        self._stack.close()

    @property
    def outbox(self) -> list[SentDocument]:
        """What would have been sent, oldest first."""
        return list(self._service.documents)

    def render(self) -> list[RenderJob]:
        """Run the engine until nothing is due: send, render, store, deliver, call receivers.

        In a test's own transaction, functions of ``transaction.on_commit()`` run, too. What waits
        for a later time, such as a retry, needs :meth:`advance` first.

        Returns:
            The jobs that were finished, oldest first.

        Raises:
            RuntimeError: called inside ``transaction.atomic()``.
        """
        jobs = engine.run(self._before_round)
        self._refresh()
        return jobs

    async def arender(self) -> list[RenderJob]:
        """Do the same in an async test."""
        return await sync_to_async(self.render)()

    def fail(self, what: RenderJob | AnyDocument, reason: str) -> None:
        """Let DocRaptor fail one document.

        Args:
            what: a job, or a document class: its next document.
            reason: in DocRaptor's words; ``django_docraptor.sandbox.recorded`` has some.
        """
        key = what.pk if isinstance(what, RenderJob) else label_of(what)
        self._failures.append((key, reason))

    def lose_answer(self, times: int = 1) -> None:
        """Lose the answer to the next create call: DocRaptor accepts the document.

        :meth:`advance` by a minute, and the engine finds it in DocRaptor's log.
        """
        self._service.lost_answers += times

    def call_back(self, job: RenderJob, times: int = 1) -> None:
        """Let DocRaptor call back: now, or when the job has been sent.

        The callback arrives at your URLconf, through your middleware.
        """
        self._callbacks.append((job.pk, times))
        self._call_back()

    def advance(self, seconds: float) -> None:
        """Let time pass for the package: for retries, delays, pauses, and what ages.

        The clock itself stands still: all times in the package's tables move into the past.
        """
        engine.advance(seconds)
        self._service.age(seconds)

    async def aadvance(self, seconds: float) -> None:
        """Do the same in an async test."""
        await sync_to_async(self.advance)(seconds)

    def _before_round(self) -> None:
        self._call_back()
        for sent in self.outbox if self._failures else ():
            if not sent.is_asked_for:
                self._judge(sent)

    def _judge(self, sent: SentDocument) -> None:
        """Let a document that was accepted fail, if the test has asked for that."""
        for failure in self._failures:
            key, reason = failure
            if key in (sent.job_id, sent.document):
                sent.error = sent.error or reason
                self._failures.remove(failure)
                break

    def _call_back(self) -> None:
        """Send the callbacks of jobs that have been sent."""
        for callback in list(self._callbacks):
            key, times = callback
            job = RenderJob.objects.get(pk=key)
            if not job.attempt:
                continue
            self._callbacks.remove(callback)
            url = reverse("django_docraptor:callback", args=[make_token(job.pk, job.attempt)])
            for _ in range(times):
                response = Browser().post(url, secure=True)
                if response.status_code != 204:
                    raise AssertionError(
                        f"DocRaptor's callback was answered with HTTP {response.status_code}, not "
                        "204: what stands before the view of django_docraptor.urls?"
                    )

    def _refresh(self) -> None:
        """Load the jobs of the outbox, and their sources, as they are now."""
        ids = {sent.job_id for sent in self.outbox if sent.job_id}
        found = RenderJob.objects.filter(pk__in=ids)
        jobs = {job.pk: job for job in found.prefetch_related("source")}
        for sent in self.outbox:
            if sent.job_id in jobs:
                sent.job = jobs[sent.job_id]
