"""Internal. The registry of document classes: workers look up by label what to render for a job.

A registered document renders a job's content. It knows nothing about queueing.
"""

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any, BinaryIO, Protocol, cast

from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import Model

from django_docraptor.exceptions import ConfigurationError
from django_docraptor.models import RenderInput, RenderJob


class RegisteredDocument(Protocol):
    """The interface that the lifecycle needs from a document class."""

    @property
    def retention(self) -> timedelta | None:
        """How long finished jobs are kept; ``None``: as configured in ``RETENTION``."""

    def render(self, job: RenderJob, job_input: RenderInput) -> str:
        """Return the HTML to send. May raise anything; ``job.errors`` gets the traceback."""

    def renew(self, job: RenderJob, job_input: RenderInput) -> bool:
        """Decide again about a claimed job whose input has a `Recheck`.

        May raise anything, as ``render()``.

        Returns:
            Whether the claim is still there, and the job is to be sent.
        """

    def may_download(self, user: AbstractBaseUser, job: RenderJob) -> bool:
        """Return whether an authenticated, active user may download the document."""

    def complete(self, job: RenderJob) -> None:
        """Call the class's hook for a finished job. May raise anything."""

    def deliver(self, job: RenderJob) -> None:
        """Copy the completed document to its source's file field, if the document names one."""


class PostProcessor(Protocol):
    """The interface of a document whose class has a ``post_process()``."""

    @property
    def verify_post_processed(self) -> bool:
        """Whether the result must be a whole document of the job's type."""

    def post_process(self, job: RenderJob, file: BinaryIO) -> object:
        """Return what is to be stored instead of the downloaded file. May raise anything."""


_documents: dict[str, RegisteredDocument] = {}
# Where the documents of each label were declared; more than one place is a mistake.
_origins: dict[str, list[str]] = {}


def register(label: str, document: RegisteredDocument, origin: str = "") -> None:
    """Register a document under its label.

    A later registration replaces an earlier one, as on a code reload.

    Args:
        label: the label.
        document: the document.
        origin: module and name of its class, for messages.
    """
    _documents[label] = document
    others = [place for place in _origins.get(label, []) if place != origin]
    _origins[label] = [*others, origin] if origin else others


def unregister(label: str) -> None:
    """Remove a document from the registry."""
    _documents.pop(label, None)
    _origins.pop(label, None)


def get(label: str) -> RegisteredDocument:
    """Return the document registered under a label.

    Raises:
        ConfigurationError: there is none.
    """
    try:
        return _documents[label]
    except KeyError:
        raise ConfigurationError(
            f"No document is registered as {label!r}. Check that its app is in INSTALLED_APPS "
            "and its class in that app's documents.py."
        ) from None


def find(label: str) -> RegisteredDocument | None:
    """Return the document registered under a label, or ``None``."""
    return _documents.get(label)


def origins(label: str) -> list[str]:
    """Return where the documents of a label were declared, the one in use last.

    There is more than one place if two classes have the same label.
    """
    return list(_origins.get(label, []))


def all_documents() -> Mapping[str, RegisteredDocument]:
    """Return all registered documents by label."""
    return dict(_documents)


def has_download_rule(label: str) -> bool:
    """Return whether the document of a label decides by more than owner and permissions."""
    document = _documents.get(label)
    return document is not None and getattr(document, "has_download_rule", True)


def budget(label: str) -> Mapping[str, int] | None:
    """Return the budget of the document of a label; ``None`` without one."""
    own: Mapping[str, int] | None = getattr(_documents.get(label), "budget", None)
    return own


def preflight_ignore(label: str) -> Collection[str]:
    """Return the rules of the preflight that the document of a label turns off; none without one.

    Args:
        label: of a registered document; blank, or unknown, for none.
    """
    rules: Collection[str] = getattr(_documents.get(label), "preflight_ignore", ())
    return rules


def options(label: str) -> Mapping[str, Any]:
    """Return the options that the class of a label declares; none without one."""
    declared: Mapping[str, Any] = getattr(_documents.get(label), "options", {})
    return declared


def secret_options(job: RenderJob, job_input: RenderInput) -> Mapping[str, Any]:
    """Return the options that the document of a job computes for each attempt; none without one."""
    compute = getattr(_documents.get(job.document), "secret_options", None)
    options: Mapping[str, Any] = compute(job, job_input) if compute else {}
    return options


def secret_options_without_job(
    label: str, source: Model | None, params: Mapping[str, Any], document_type: str
) -> Mapping[str, Any]:
    """Return the same for a synchronous call.

    Args:
        label: of a registered document; blank, or unknown, for none.
        source: the object it is generated from.
        params: of the document.
        document_type: the requested one.
    """
    compute = getattr(_documents.get(label), "secret_options_without_job", None)
    options: Mapping[str, Any] = compute(source, params, document_type) if compute else {}
    return options


def post_processor(label: str) -> PostProcessor | None:
    """Return the document of a label if its class processes what was downloaded."""
    document = _documents.get(label)
    return cast(PostProcessor, document) if getattr(document, "is_post_processed", False) else None


def has_page(label: str) -> bool:
    """Return whether the document of a label is made of a page instead of a template."""
    is_page: bool = getattr(_documents.get(label), "has_page", False)
    return is_page
