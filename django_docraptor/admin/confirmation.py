"""Internal. Confirm a document that a user requests in the admin, then enqueue it."""

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME, AdminForm
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.forms import Media
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_docraptor.admin.changelist_queries import store_query
from django_docraptor.admin.enqueue import (
    ConfirmedRequest,
    DocumentClass,
    accepts_model,
    bind_form,
    is_billed,
    is_report,
)
from django_docraptor.admin.latest import count_completed, job_url, may_view_jobs
from django_docraptor.documents.presentation import document_title, form_params
from django_docraptor.documents.reports import StoredQuery
from django_docraptor.exceptions import DocRaptorError
from django_docraptor.health import failing_reason, waiting_reasons
from django_docraptor.health_reports import format_count
from django_docraptor.models import RenderJob

if TYPE_CHECKING:
    from django_docraptor.admin.documents import DocumentAdminMixin

# Objects of which is said whether they have a document already.
MAX_COMPARED = 1000
TEMPLATE = "admin/django_docraptor/documents/confirm.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """What the user must confirm before anything is enqueued."""

    document: DocumentClass
    sources: QuerySet[Any] | list[Any]
    count: int
    form: forms.Form | None
    confirmed_terms: str
    return_url: str

    @property
    def billed_count(self) -> int:
        """The number of billed documents."""
        if not is_billed(self.document):
            return 0
        return 1 if is_report(self.document) else self.count

    @property
    def terms(self) -> str:
        """The terms to confirm: the number of billed documents, and whether they are public.

        They are blank if there are none.
        """
        billed = str(self.billed_count or "")
        return f"{billed} public".strip() if self.document.hosted else billed

    @property
    def existing_text(self) -> str:
        """How many of the objects have a completed document of this class; "" if none has.

        At most ``MAX_COMPARED`` objects are looked at.
        """
        if is_report(self.document) or not self.count:
            return ""
        existing = count_completed(self.document, list(self.sources[:MAX_COMPARED]))
        if not existing:
            return ""
        if self.count == 1:
            return _("This object has such a document already.")
        text = ngettext(
            "%(existing)s of the %(count)s objects has such a document already.",
            "%(existing)s of the %(count)s objects have such a document already.",
            existing,
        )
        is_truncated = self.count > MAX_COMPARED
        return text % {
            "existing": format_count(existing, is_truncated=is_truncated),
            "count": self.count,
        }

    @property
    def is_confirmed(self) -> bool:
        """Whether the form is valid and exactly these terms were confirmed."""
        if self.form is not None and not self.form.is_valid():
            return False
        return self.confirmed_terms == self.terms


def confirm_or_enqueue(
    model_admin: "DocumentAdminMixin",
    request: HttpRequest,
    document: DocumentClass,
    sources: QuerySet[Any] | list[Any],
    return_url: str,
) -> HttpResponse:
    """Show the confirmation page, or enqueue the documents if its form was submitted."""
    confirmation = Confirmation(
        document=document,
        sources=sources,
        count=len(sources) if isinstance(sources, list) else sources.count(),
        # The changelist's form has no token: the document's form has not been shown yet.
        form=bind_form(document, request.POST if "_form_token" in request.POST else None),
        confirmed_terms=request.POST.get("_terms", ""),
        return_url=return_url,
    )
    if request.method != "POST" or not confirmation.is_confirmed:
        return _render_confirmation(model_admin, request, confirmation)
    _enqueue(model_admin, request, confirmation)
    return HttpResponseRedirect(return_url)


def _enqueue(
    model_admin: "DocumentAdminMixin", request: HttpRequest, confirmation: Confirmation
) -> None:
    """Enqueue, and report the result to the user."""
    confirmed = ConfirmedRequest(
        document=confirmation.document,
        owner=cast(AbstractBaseUser, request.user),
        form_token=request.POST.get("_form_token", ""),
        max_documents=confirmation.billed_count,
        params=form_params(confirmation.form.cleaned_data) if confirmation.form else {},
    )
    try:
        count, job = confirmed.enqueue(
            _rows_to_render(model_admin, request, confirmation),
            lambda source: model_admin.has_document_permission(request, source),
        )
    except (ValidationError, DocRaptorError) as error:
        reason = " ".join(getattr(error, "messages", None) or [str(error)])
        message = _("No documents were queued. %(reason)s") % {"reason": reason}
        model_admin.message_user(request, message, messages.ERROR)
        return
    if job is not None:
        message = _success_message(model_admin, request, count, job)
        model_admin.message_user(request, message, messages.SUCCESS)
        _tell_why_it_waits(model_admin, request, job)
    skipped = 0 if is_report(confirmation.document) else confirmation.count - count
    if job is None and not skipped:
        model_admin.message_user(request, _("There was nothing to generate."), messages.WARNING)
    if skipped > 0:
        message = ngettext(
            "%(count)d object was skipped because you do not have permission to generate its "
            "document.",
            "%(count)d objects were skipped because you do not have permission to generate their "
            "documents.",
            skipped,
        )
        model_admin.message_user(request, message % {"count": skipped}, messages.WARNING)


def _tell_why_it_waits(
    model_admin: "DocumentAdminMixin", request: HttpRequest, job: RenderJob
) -> None:
    """Tell users who may view jobs why nothing will happen, instead of letting them wait."""
    if may_view_jobs(model_admin.admin_site, request):
        for reason in (*waiting_reasons(job.account), failing_reason(job.account)):
            if reason:
                model_admin.message_user(request, reason, messages.WARNING)


def _rows_to_render(
    model_admin: "DocumentAdminMixin", request: HttpRequest, confirmation: Confirmation
) -> QuerySet[Any] | list[Any] | StoredQuery:
    """Return the sources.

    For a report on all pages of the list, this is a query to run in the worker instead of the keys.
    """
    document, sources = confirmation.document, confirmation.sources
    if isinstance(sources, list) or request.POST.get("select_across") != "1":
        return sources
    if not is_report(document) or not accepts_model(document, model_admin.model):
        return sources
    return store_query(model_admin, request, sources) or sources


def _success_message(
    model_admin: "DocumentAdminMixin", request: HttpRequest, count: int, job: RenderJob
) -> str:
    """Return a message with the number of documents, linked if the user may view jobs."""
    count_text = ngettext("%(count)d document", "%(count)d documents", count) % {"count": count}
    text = job.name if count == 1 else count_text
    site = model_admin.admin_site
    if may_view_jobs(site, request):
        url = job_url(site, job) if count == 1 else _jobs_url(site.name, job)
        text = format_html('<a href="{}">{}</a>', url, text)
    return format_html(_("Queued: {}."), text)


def _jobs_url(site_name: str, job: RenderJob) -> str:
    """Return the URL of the list of jobs with the job's document and owner."""
    url = reverse("admin:django_docraptor_renderjob_changelist", current_app=site_name)
    filters = {"document": job.document, "owner__id__exact": job.owner_id}
    return f"{url}?{urlencode(filters)}"


def _render_confirmation(
    model_admin: "DocumentAdminMixin", request: HttpRequest, confirmation: Confirmation
) -> HttpResponse:
    form, sources = confirmation.form, confirmation.sources
    confirmed_terms, select_across = confirmation.confirmed_terms, request.POST.get("select_across")
    keys = request.POST.getlist(ACTION_CHECKBOX_NAME)
    context = {
        **model_admin.admin_site.each_context(request),
        "title": _("Generate %(document)s") % {"document": document_title(confirmation.document)},
        "opts": model_admin.opts,
        "media": model_admin.media + (form.media if form else Media()),
        "confirmation": confirmation,
        "is_report": is_report(confirmation.document),
        "has_changed": bool(confirmed_terms) and confirmed_terms != confirmation.terms,
        "original": sources[0] if isinstance(sources, list) else None,
        "adminform": _admin_form(form) if form else [],
        "errors": form.errors if form else None,
        "form_token": request.POST.get("_form_token") or uuid.uuid4().hex,
        "action": request.POST.get("action", ""),
        "select_across": select_across or "0",
        # With "select across", Django needs only one key to recognise an action.
        "selected": keys[:1] if select_across == "1" else keys,
        "action_checkbox_name": ACTION_CHECKBOX_NAME,
    }
    request.current_app = model_admin.admin_site.name
    return TemplateResponse(request, TEMPLATE, context)


def _admin_form(form: forms.Form) -> AdminForm:
    """Wrap a form so that the admin's templates can render it."""
    any_form: Any = form  # it need not be a ModelForm
    return AdminForm(any_form, [(None, {"fields": list(form.fields)})], {})
