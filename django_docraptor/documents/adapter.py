"""Internal. A document class as the lifecycle sees it."""

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, BinaryIO

from django.apps import apps
from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import Model

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
    def options(self) -> Mapping[str, Any]:
        """Return the options of the class, without those that an object adds."""
        return self.document.options

    @property
    def has_page(self) -> bool:
        """Return whether the class is made of a page instead of a template."""
        return self.document._docraptor_has_page()

    @property
    def has_download_rule(self) -> bool:
        """Return whether the class decides by more than the job's owner and permissions."""
        from django_docraptor.documents.declaration import Document

        rules: list[Any] = [self.document.may_download, Document.may_download]
        return rules[0].__func__ is not rules[1].__func__

    @property
    def budget(self) -> Mapping[str, int] | None:
        """Return the class's budget."""
        return self.document.budget

    @property
    def retention(self) -> timedelta | None:
        """Return the class's retention."""
        return self.document.retention

    def render(self, job: RenderJob, job_input: RenderInput) -> str:
        """Return the HTML for a job.

        Raises:
            SourceGoneError: the source no longer exists. A template may raise anything.
        """
        return self.load(job, job_input).render()

    def secret_options(self, job: RenderJob, job_input: RenderInput) -> Mapping[str, Any]:
        """Return options that are computed for each attempt and never stored.

        Raises:
            SourceGoneError: the source no longer exists.
        """
        if not self.document._docraptor_has_secret_options():  # the source need not be loaded
            return {}
        return self.load(job, job_input).get_secret_options()

    def secret_options_without_job(
        self, source: Model | None, params: Mapping[str, Any], document_type: str
    ) -> Mapping[str, Any]:
        """Return the same for a synchronous call."""
        document = self.document(source, params, requested_type=document_type)
        return document.get_secret_options()

    @property
    def is_post_processed(self) -> bool:
        """Return whether the class overrides ``post_process()``."""
        return self.document._docraptor_is_post_processed()

    @property
    def verify_post_processed(self) -> bool:
        """Return whether the result must be a whole document of the job's type."""
        return self.document.verify_post_processed

    def post_process(self, job: RenderJob, file: BinaryIO) -> object:
        """Return what the class makes of the downloaded file.

        Raises:
            SourceGoneError: the source no longer exists. The class may raise anything.
        """
        with self.document._docraptor_loaded(job) as document:
            return document.post_process(file)

    def _load_source(self, job: RenderJob, label: str) -> Model | None:
        """Return the source as an object of the class that the document declares.

        Args:
            label: of the source's class if it is a proxy.
        """
        from django_docraptor.documents.delivery import load_source, source_model

        model = apps.get_model(label) if label else source_model(job)
        declared = self.document._docraptor_model_as_declared(model) if model else None
        return load_source(job, declared)

    def renew(self, job: RenderJob, job_input: RenderInput) -> bool:
        """Decide again about a job, with its source as it is now.

        Returns:
            Whether the job is to be sent.
        """
        from django_docraptor.documents.renewal import renew_claimed

        return renew_claimed(job, job_input, self._load_source(job, job_input.source_model))

    def may_download(self, user: AbstractBaseUser, job: RenderJob) -> bool:
        """Return whether the class lets the user download the job."""
        return self.document.may_download(user, job)

    def complete(self, job: RenderJob) -> None:
        """Call the hook, if the class has one."""
        self.document.complete(job)

    def load(self, job: RenderJob, job_input: RenderInput | None) -> "Document[Any]":
        """Return the document of a job, with the source as it is now.

        Raises:
            SourceGoneError: the source no longer exists.
        """
        label = job_input.source_model if job_input else ""
        source = self._load_source(job, label)
        if job.object_id and source is None:
            raise SourceGoneError(
                f"The source {job.content_type} {job.object_id} no longer exists."
            )
        params = job_input.params if job_input else {}
        return self.document(source, params, requested_type=job.document_type)

    def deliver(self, job: RenderJob) -> None:
        """Copy the file to the source's field, if ``deliver_to`` is set."""
        self.document.deliver(job)
