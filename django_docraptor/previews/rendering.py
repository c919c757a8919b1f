"""Internal. The HTML of a sample, rendered as a worker would, and its problems."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import DEFAULT_DB_ALIAS, router, transaction
from django.template.autoreload import reset_loaders

from django_docraptor.callback_urls import build_absolute_url
from django_docraptor.documents import QuerysetDocument
from django_docraptor.documents.inspection import (
    Finding,
    inspect_request,
    request_for,
    undefined_variables,
)
from django_docraptor.documents.undefined_variables import trace_variables
from django_docraptor.job_specs import JobSpec
from django_docraptor.models import RenderJob
from django_docraptor.page_urls import is_page, page_error
from django_docraptor.payloads import DocumentRequest, merge_options
from django_docraptor.preflight import Severity
from django_docraptor.preflight.inspection import check_url
from django_docraptor.previews.failures import Failure, describe_failure
from django_docraptor.previews.samples import DocumentClass, Sample

# Returns the HTML of a page of this site.
FetchPage = Callable[[str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The document of one sample.

    Args:
        spec: of the document, with its HTML as content; ``None`` after a failure.
        request: what would be sent; ``None`` after a failure.
        page: URL of the page that the document is made of; blank for a template.
        findings: what the preflight reports.
        failure: why there is no HTML.
    """

    spec: JobSpec | None = None
    request: DocumentRequest | None = None
    page: str = ""
    findings: tuple[Finding, ...] = ()
    failure: Failure | None = None

    @property
    def html(self) -> str:
        """The HTML; blank after a failure, and for a page of another site."""
        return self.request.content if self.request else ""


def refresh_templates() -> None:
    """While debugging, forget compiled templates, so that a change of a file is seen.

    ``runserver`` does that as well, unless it is started with ``--noreload``.
    """
    if settings.DEBUG:
        reset_loaders()


@contextmanager
def discarded_changes(document: DocumentClass) -> Iterator[None]:
    """Roll back what templates and hooks write, such as the next number of an invoice."""
    aliases = {DEFAULT_DB_ALIAS, router.db_for_write(RenderJob)}
    if document.model is not None:
        aliases.add(router.db_for_write(document.model))
    with ExitStack() as stack:
        for alias in sorted(aliases):
            stack.enter_context(_rolled_back(alias))
        yield


@contextmanager
def _rolled_back(alias: str) -> Iterator[None]:
    with transaction.atomic(using=alias):
        try:
            yield
        finally:
            transaction.set_rollback(True, using=alias)


def render_preview(
    document: DocumentClass, sample: Sample, params: Mapping[str, Any], fetch_page: FetchPage
) -> Preview:
    """Render the document of a sample, in its language and time zone. Raises nothing of it."""
    try:
        with discarded_changes(document), trace_variables() as undefined:
            spec = document.spec(
                sample.source, snapshot=True, params=params, test=True, hosted=False
            )
            page = spec.url
            findings = list(_page_findings(document, page))
            if is_page(page):
                spec = _with_page(spec, fetch_page(page))
            request = request_for(spec)
            findings += undefined_variables(document, undefined, source=sample.key)
            findings += inspect_request(document, request, source=sample.key)
    except Exception as error:  # noqa: BLE001 - whatever the project's code raises
        hint = _hint(document, sample, params, error)
        return Preview(failure=describe_failure(error, hint=hint))
    return Preview(spec=spec, request=request, page=page, findings=tuple(findings))


def _with_page(spec: JobSpec, html: str) -> JobSpec:
    """Return the spec with the page's HTML, whose relative URLs are relative to the page."""
    base = build_absolute_url(spec.url)
    baseurl = {"prince_options": {"baseurl": base}} if base else {}
    return replace(spec, content=html, url="", options=merge_options(baseurl, spec.options))


def _page_findings(document: DocumentClass, url: str) -> Iterator[Finding]:
    """Yield why DocRaptor could not fetch the page of a document."""
    absolute = build_absolute_url(url) if is_page(url) else url
    if is_page(url) and (error := page_error(url)):
        yield _url_finding(error)
    elif url:
        try:
            check_url(absolute, test=True, ignore=document.preflight_ignore, is_signed=is_page(url))
        except ValidationError as error:
            yield from map(_url_finding, error.messages)


def _url_finding(message: str) -> Finding:
    return Finding(source="", severity=Severity.ERROR, message=message, locations=())


def _hint(
    document: DocumentClass, sample: Sample, params: Mapping[str, Any], error: Exception
) -> str:
    """Return what a preview may lack that a job would have."""
    if isinstance(error, KeyError) and not params:
        return (
            "The preview has no parameters. If the document needs some, return them from "
            f"{document.__name__}.get_preview_params(), or declare a form_class, which is shown "
            "here."
        )
    if sample.source is None and not issubclass(document, QuerysetDocument):
        return (
            f"The document was rendered without an object. If it needs one, set "
            f"{document.__name__}.model, or return sample objects from "
            f"{document.__name__}.get_preview_sources()."
        )
    return ""
