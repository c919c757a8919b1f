"""Internal. A document as it would have been sent: what the outbox holds."""

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.db.models import Model

from django_docraptor.docraptor_api import RESERVED_OPTIONS
from django_docraptor.lifecycle.account_log import ATTEMPT_TAG
from django_docraptor.models import RenderJob
from django_docraptor.payloads import DocumentRequest
from django_docraptor.sandbox.output import Output
from django_docraptor.testing.text import html_text

# What an item has as attributes of its own, or the engine sets.
NOT_OPTIONS = {*RESERVED_OPTIONS, "tag", "callback_url"}


def _new_id() -> str:
    return str(uuid.uuid4())


@dataclass(eq=False, kw_only=True)
class SentDocument:
    """One create call that would have been sent.

    Args:
        request: what would have been sent.
        asynchronous: whether a job has sent it, and not :func:`render_now`.
        hosted: whether DocRaptor hosts the document.
        error: why it was not rendered; "" if it was.
        output: the file, as long as there is no error.
    """

    request: DocumentRequest = field(repr=False)
    output: Output = field(repr=False)
    asynchronous: bool = True
    hosted: bool = False
    error: str = ""
    status_id: str = field(default_factory=_new_id, repr=False)
    download_id: str = field(default_factory=_new_id, repr=False)
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC), repr=False)
    is_expired: bool = field(default=False, repr=False)
    # Whether its status was asked for, so that it cannot fail any more.
    is_asked_for: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        self._job: RenderJob | None = None

    def __repr__(self) -> str:
        """Return the name, and the reason if it was not rendered."""
        error = f" error={self.error!r}" if self.error else ""
        return f"<SentDocument {self.name}{error}>"

    @property
    def name(self) -> str:
        """The document's name."""
        return self.request.name

    @property
    def html(self) -> str:
        """The HTML; "" if DocRaptor fetches it from ``url``."""
        return self.request.content

    @property
    def text(self) -> str:
        """The HTML's visible text, with single spaces."""
        return html_text(self.html)

    @property
    def url(self) -> str:
        """The URL from which DocRaptor fetches the HTML; "" if it is sent."""
        return self.request.url

    @property
    def test(self) -> bool:
        """Whether the document is free and watermarked."""
        return self.request.test

    @property
    def document_type(self) -> str:
        """``"pdf"``, ``"xlsx"`` or ``"xls"``."""
        return str(self.request.document_type)

    @property
    def options(self) -> dict[str, Any]:
        """DocRaptor's options, such as ``{"javascript": True, "prince_options": {…}}``."""
        body = self.request.to_json()
        return {name: value for name, value in body.items() if name not in NOT_OPTIONS}

    @property
    def job_id(self) -> uuid.UUID | None:
        """The ID of its job, from the tag; ``None`` without a job."""
        match = ATTEMPT_TAG.match(self.request.tag or "")
        return uuid.UUID(match[1]) if match else None

    @property
    def job(self) -> RenderJob | None:
        """Its job, as after the latest ``render()``; ``None`` without one."""
        if self._job is None and self.job_id is not None:
            self._job = RenderJob.objects.filter(pk=self.job_id).first()
        return self._job

    @job.setter
    def job(self, job: RenderJob) -> None:
        self._job = job

    @property
    def source(self) -> Model | None:
        """The object from which it was generated; ``None`` without one, or if it is deleted."""
        source: Model | None = self.job.source if self.job else None
        return source

    @property
    def document(self) -> str:
        """The label of its document class, such as ``"shop.InvoicePDF"``; "" without one."""
        return self.job.document if self.job else ""
