"""Internal. Assertions about what was rendered, with messages that say what was sent instead."""

from collections.abc import Collection, Mapping
from typing import Any

from django.core.exceptions import SynchronousOnlyOperation
from django.db.models import Model

from django_docraptor import registry
from django_docraptor.documents import Document
from django_docraptor.models import RenderJob
from django_docraptor.preflight import find_problems, options_of
from django_docraptor.states import FINAL_STATES, State
from django_docraptor.testing.sent_documents import SentDocument

MAX_TEXT = 300
MAX_LISTED = 20


class Assertions:
    """The assertions of an outbox."""

    @property
    def outbox(self) -> list[SentDocument]:
        """What would have been sent, oldest first."""
        raise NotImplementedError

    def assert_rendered(
        self,
        document: type[Document[Any]] | None = None,
        *,
        source: Model | None = None,
        contains: str = "",
        count: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> list[SentDocument]:
        """Assert that documents were rendered.

        Args:
            document: of this class.
            source: from this object.
            contains: with this in its HTML, or in its visible text.
            count: exactly so many; by default at least one.
            options: sent with these of DocRaptor's options, at least.

        Returns:
            The documents.

        Raises:
            AssertionError: there are none, or another number.
        """
        __tracebackhide__ = True
        found = [
            sent
            for sent in self.outbox
            if _is_of(sent, document, source)
            and (contains in sent.html or contains in sent.text)
            and _includes(sent.options, options or {})
        ]
        if len(found) == count or (count is None and found):
            return found
        wanted = _describe(document, source, contains, options)
        number = "No document was" if not found else f"{len(found)} document(s) were"
        limit = "" if count is None else f", not {count}"
        raise AssertionError(f"{number} rendered{wanted}{limit}.\n{self._report()}")

    def assert_not_rendered(
        self, document: type[Document[Any]] | None = None, *, source: Model | None = None
    ) -> None:
        """Assert that nothing was rendered, of a class or from an object if given."""
        __tracebackhide__ = True
        if any(_is_of(sent, document, source) for sent in self.outbox):
            wanted = _describe(document, source, "", None)
            raise AssertionError(f"A document was rendered{wanted}.\n{self._report()}")

    def assert_no_problems(self) -> None:
        """Assert that no job has failed, and that the preflight warns of nothing in the HTML."""
        __tracebackhide__ = True
        failed = RenderJob.objects.filter(state=State.FAILED).order_by("created_at")
        problems = [f"{_title(job)} failed ({job.error_code}): {job.errors}" for job in failed]
        for sent in self.outbox:
            ignore = registry.preflight_ignore(sent.document)
            found = find_problems(sent.html, **options_of(sent.request), ignore=ignore)
            problems += [f"{sent.name}: {problem.message}" for problem in found]
        if problems:
            raise AssertionError("\n".join(problems))

    def _report(self) -> str:
        lines = [_line(sent) for sent in self.outbox]
        try:
            sent_ids = {sent.job_id for sent in self.outbox if sent.job_id}
            others = RenderJob.objects.exclude(pk__in=sent_ids).order_by("created_at")
            lines += [_unsent_line(job) for job in others[:MAX_LISTED]]
        except SynchronousOnlyOperation:  # in an async test, only what was sent is told
            pass
        return _listed("In the outbox:", lines) if lines else "Nothing was enqueued."


def label_of(document: type[Document[Any]]) -> str:
    """Return a class's label.

    Raises:
        TypeError: it is not a document class, or has no template.
    """
    label = getattr(document, "label", "")
    if not label:
        raise TypeError(f"{document!r} is not a document class with a template_name.")
    return str(label)


def _is_of(sent: SentDocument, document: type[Document[Any]] | None, source: Model | None) -> bool:
    if sent.error:
        return False
    is_class = document is None or sent.document == label_of(document)
    return is_class and (source is None or sent.source == source)


def _includes(value: Any, wanted: Any) -> bool:
    """Return whether a value is the wanted one; a dict may have more keys."""
    if isinstance(wanted, Mapping) and isinstance(value, Mapping):
        return all(key in value and _includes(value[key], wanted[key]) for key in wanted)
    return bool(value == wanted)


def _describe(
    document: type[Document[Any]] | None,
    source: Model | None,
    contains: str,
    options: Mapping[str, Any] | None,
) -> str:
    parts = [
        f" of the class {document.__name__}" if document else "",
        f" from {source!r}" if source is not None else "",
        f" that contains {contains!r}" if contains else "",
        f" with the options {dict(options)!r}" if options else "",
    ]
    return "".join(parts)


def _line(sent: SentDocument) -> str:
    title = _title(sent.job) if sent.job else f"{sent.name} (without a job)"
    state = f"failed: {sent.error}" if sent.error else "rendered"
    text = sent.text or sent.url
    shown = text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"
    return f"{title}, {state}, options {sent.options!r}\n    {shown}"


def _unsent_line(job: RenderJob) -> str:
    if job.state not in FINAL_STATES:
        reason = job.errors or "call docraptor.render(); before a later time, docraptor.advance()"
        return f"{_title(job)}, not sent yet ({job.state}): {reason}"
    return f"{_title(job)}, not sent ({job.state} {job.error_code}): {job.errors.strip()}"


def _title(job: RenderJob) -> str:
    origin = f", from {job.source!r}" if job.source else ""
    return f"{job.name} ({job.document or 'without a class'}{origin})"


def _listed(heading: str, lines: Collection[str]) -> str:
    return "\n".join([heading, *(f"  {line}" for line in lines)])
