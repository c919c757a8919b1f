"""Internal. A document class as the lifecycle sees it."""

from collections.abc import Collection
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import Model

from django_docraptor.documents.delivery import load_source, source_model
from django_docraptor.documents.renewal import renew_claimed
from django_docraptor.models import RenderInput, RenderJob

if TYPE_CHECKING:
    from django_docraptor.documents.declaration import Document


class SourceGoneError(LookupError):
    """The object that a document is generated from no longer exists."""


class DocumentAdapter:
    """Adapts a document class to what the lifecycle needs of a registered document."""

    def __init__(self, document: "type[Document[Any]]") -> None:
        self.document = document

    @property
    def template_name(self) -> str:
        """Return the name of the class's template, for messages."""
        return self.document.template_name

    @property
    def preflight_ignore(self) -> Collection[str]:
        """Return the rules of the preflight that the class turns off."""
        return self.document.preflight_ignore

    @property
    def retention(self) -> timedelta | None:
        """Return the class's retention."""
        return self.document.retention

    def render(self, job: RenderJob, job_input: RenderInput) -> str:
        """Return the HTML for a job.

        Raises:
            SourceGoneError: the source no longer exists. A template may raise anything.
        """
        source = self._load_source(job, job_input)
        if job.object_id and source is None:
            raise SourceGoneError(
                f"The source {job.content_type} {job.object_id} no longer exists."
            )
        document = self.document(source, job_input.params, requested_type=job.document_type)
        return document.render()

    def _load_source(self, job: RenderJob, job_input: RenderInput) -> Model | None:
        """Return the source as an object of the class that the document declares."""
        model = apps.get_model(label) if (label := job_input.source_model) else source_model(job)
        return load_source(
            job, self.document._docraptor_model_as_declared(model) if model else None
        )

    def renew(self, job: RenderJob, job_input: RenderInput) -> bool:
        """Decide again about a job, with its source as it is now.

        Returns:
            Whether the job is to be sent.
        """
        return renew_claimed(job, job_input, self._load_source(job, job_input))

    def may_download(self, user: AbstractBaseUser, job: RenderJob) -> bool:
        """Return whether the class lets the user download the job."""
        return self.document.may_download(user, job)

    def deliver(self, job: RenderJob) -> None:
        """Copy the file to the source's field, if ``deliver_to`` is set."""
        self.document.deliver(job)
