"""Documents of a project's own objects, in the project's own admin."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME, AdminForm
from django.contrib.admin.utils import quote, unquote
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.checks import CheckMessage
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model, QuerySet
from django.forms import Media
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import select_template
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.functional import lazy
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_docraptor.admin.checks import check_models
from django_docraptor.admin.newest import attach_newest, column, job_url, lines, may_view_jobs
from django_docraptor.admin.orders import (
    DocumentClass,
    Wanted,
    fits,
    form_of,
    is_billed,
    is_report,
    params_from,
    title_of,
)
from django_docraptor.admin.selections import search_of
from django_docraptor.documents.reports import Search
from django_docraptor.models import RenderJob

COLUMN = "latest_documents"
TEMPLATES = "admin/django_docraptor/documents/"

if TYPE_CHECKING:
    AnyModelAdmin = admin.ModelAdmin[Any]
else:
    AnyModelAdmin = object


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """What makes a document on the page of an object: a form, or a link to a page that asks."""

    title: str
    url: str
    asks: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a page asks before anything is ordered."""

    document: DocumentClass
    sources: QuerySet[Any] | list[Any]
    count: int
    form: forms.Form | None
    seen: str
    back: str

    @property
    def billed(self) -> int:
        """How many documents are billed."""
        if not is_billed(self.document):
            return 0
        return 1 if is_report(self.document) else self.count

    @property
    def consent(self) -> str:
        """What somebody agrees to by going on: this bill, and that it is public; blank: nothing."""
        billed = str(self.billed or "")
        return f"{billed} public".strip() if self.document.hosted else billed

    @property
    def is_answered(self) -> bool:
        """Whether nothing is left to ask: neither options, nor consent to this very order."""
        if self.form is not None and not self.form.is_valid():
            return False
        return self.seen == self.consent


class DocumentAdminMixin(AnyModelAdmin):
    """Documents of a model in its admin: actions, buttons, a column and a history.

    ::

        class InvoiceAdmin(DocumentAdminMixin, admin.ModelAdmin):
            documents = [InvoicePDF, InvoiceReport]
    """

    #: What can be made: a :class:`QuerysetDocument` over a selection, any other of an object.
    documents: ClassVar[Sequence[DocumentClass]] = []
    #: What a user needs besides the permission to change the object.
    document_permission: ClassVar[str] = "django_docraptor.add_renderjob"

    change_form_template = f"{TEMPLATES}change_form.html"

    def __init__(self, model: type[Model], admin_site: admin.AdminSite) -> None:
        super().__init__(model, admin_site)
        if self.actions is not None:
            self.actions = [*self.actions, *(_action(document) for document in self.documents)]

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        """The admin's own checks, and whether the documents are of its model."""
        return [*super().check(**kwargs), *check_models(self, self.documents)]

    @property
    def media(self) -> Media:
        """The admin's, and how badges and buttons look."""
        ours = ["django_docraptor/admin.css", "django_docraptor/documents.css"]
        return super().media + Media(css={"all": ours})

    # Who may do what.

    def has_document_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether the user may order documents, of that object if there is one."""
        user = cast(Any, request.user)
        allowed: bool = user.has_perm(self.document_permission)
        return allowed and self.has_change_permission(request, obj)

    @property
    def _own(self) -> list[DocumentClass]:
        """The documents that are made of one object."""
        return [document for document in self.documents if not is_report(document)]

    # The list.

    def get_list_display(self, request: HttpRequest) -> Any:
        """The project's columns, and the documents' if the project has not placed it itself."""
        columns = super().get_list_display(request)
        return columns if COLUMN in columns or not self._own else [*columns, COLUMN]

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """The list, whose objects carry their newest jobs: one query."""
        changelist = super().get_changelist_instance(request)
        if self._own:
            attach_newest(changelist.result_list, self._own, request)
        return changelist

    @admin.display(description=gettext_lazy("documents"))
    def latest_documents(self, obj: Any) -> str:
        """How the newest document stands, and the file there is."""
        return column(obj, self._own)

    def order_selected(
        self, request: HttpRequest, queryset: QuerySet[Any], document: DocumentClass
    ) -> HttpResponse:
        """Order a document of each selected object, or one over all of them."""
        return self._order(request, document, queryset, back=request.get_full_path())

    # The page of an object.

    def get_urls(self) -> list[URLPattern]:
        """The admin's URLs, and that of the buttons."""
        view = self.admin_site.admin_view(self.document_view)
        name = f"{self.opts.app_label}_{self.opts.model_name}_document"
        ours = path("<path:object_id>/documents/<str:label>/", view, name=name)
        return [ours, *super().get_urls()]

    def document_view(self, request: HttpRequest, object_id: str, label: str) -> HttpResponse:
        """Ask what is to be asked (GET), or order a document of an object (POST).

        Raises:
            PermissionDenied: the user may not order it.
            Http404: there is no such object, or no such document of it.
        """
        obj = self.get_object(request, unquote(object_id))
        if not self.has_document_permission(request, obj):
            raise PermissionDenied
        document = next((known for known in self._own if known.label == label), None)
        if obj is None or document is None:
            raise Http404
        return self._order(request, document, [obj], back=self._url("change", obj))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """The page, with buttons and the object's latest jobs."""
        obj = kwargs.get("obj")
        context["docraptor_parent"] = self._parent_template()
        if obj is not None:
            shown = lines(self.admin_site, request, obj, self._own)
            context |= {
                "document_buttons": self._buttons(request, obj),
                "document_lines": shown,
                "document_once": uuid.uuid4().hex,
            }
        return super().render_change_form(request, context, *args, **kwargs)

    def _parent_template(self) -> Any:
        """What the page would be without this mixin."""
        theirs: Any = super().change_form_template
        app, model = self.opts.app_label, self.opts.model_name
        names = [f"admin/{app}/{model}/", f"admin/{app}/", "admin/"]
        return select_template(
            [theirs] if theirs else [f"{name}change_form.html" for name in names]
        )

    def _buttons(self, request: HttpRequest, obj: Model) -> list[Button]:
        if not self.has_document_permission(request, obj):
            return []
        return [
            Button(
                title=title_of(document),
                url=self._url("document", obj, document.label),
                asks=is_billed(document) or document.hosted or form_of(document) is not None,
            )
            for document in self._own
        ]

    def _url(self, name: str, obj: Model, *more: str) -> str:
        view = f"admin:{self.opts.app_label}_{self.opts.model_name}_{name}"
        return reverse(view, args=[quote(obj.pk), *more], current_app=self.admin_site.name)

    # Ordering.

    def _order(
        self,
        request: HttpRequest,
        document: DocumentClass,
        sources: QuerySet[Any] | list[Any],
        *,
        back: str,
    ) -> HttpResponse:
        question = Question(
            document=document,
            sources=sources,
            count=len(sources) if isinstance(sources, list) else sources.count(),
            # The list's own form has no mark: then nobody has filled in ours yet.
            form=form_of(document, request.POST if "_once" in request.POST else None),
            seen=request.POST.get("_seen", ""),
            back=back,
        )
        if request.method != "POST" or not question.is_answered:
            return self._ask(request, question)
        self._place(request, question)
        return HttpResponseRedirect(back)

    def _place(self, request: HttpRequest, question: Question) -> None:
        """Order, and say what came of it."""
        wanted = Wanted(
            document=question.document,
            owner=cast(AbstractBaseUser, request.user),
            once=request.POST.get("_once", ""),
            most=question.billed,
            params=params_from(question.form.cleaned_data) if question.form else {},
        )
        try:
            count, job = wanted.place(
                self._sources(request, question),
                lambda source: self.has_document_permission(request, source),
            )
        except ValidationError as error:
            said = _("Nothing was ordered: %(why)s") % {"why": " ".join(error.messages)}
            self.message_user(request, said, messages.ERROR)
            return
        if job is not None:
            self.message_user(request, self._done(request, count, job), messages.SUCCESS)
        left_out = 0 if is_report(question.document) else question.count - count
        if job is None and not left_out:
            self.message_user(request, _("There was nothing to order."), messages.WARNING)
        if left_out > 0:
            said = _("Left out, since you may not order them: %(count)d.") % {"count": left_out}
            self.message_user(request, said, messages.WARNING)

    def _sources(
        self, request: HttpRequest, question: Question
    ) -> QuerySet[Any] | list[Any] | Search:
        """What it is made of; for a report over all pages, not the keys but how to find them."""
        sources = question.sources
        can_search = is_report(question.document) and fits(question.document, self.model)
        across = can_search and request.POST.get("select_across") == "1"
        if not across or isinstance(sources, list):
            return sources
        return search_of(self, request, sources) or sources

    def _done(self, request: HttpRequest, count: int, job: RenderJob) -> str:
        """How many were ordered, with a link for who may follow it."""
        many = ngettext("%(count)d document", "%(count)d documents", count) % {"count": count}
        text = job.name if count == 1 else many
        if may_view_jobs(self.admin_site, request):
            text = format_html('<a href="{}">{}</a>', self._jobs_url(count, job), text)
        return format_html(_("Ordered: {}."), text)

    def _jobs_url(self, count: int, job: RenderJob) -> str:
        if count == 1:
            return job_url(self.admin_site, job)
        page = "admin:django_docraptor_renderjob_changelist"
        chosen = {"document": job.document, "owner__id__exact": job.owner_id}
        return f"{reverse(page, current_app=self.admin_site.name)}?{urlencode(chosen)}"

    def _ask(self, request: HttpRequest, question: Question) -> HttpResponse:
        form = question.form
        context = {
            **self.admin_site.each_context(request),
            "title": _("Make %(document)s") % {"document": title_of(question.document)},
            "opts": self.opts,
            "media": self.media + (form.media if form else Media()),
            "question": question,
            "is_report": is_report(question.document),
            "has_changed": bool(question.seen) and question.seen != question.consent,
            "original": question.sources[0] if isinstance(question.sources, list) else None,
            "adminform": _fieldsets(form) if form else [],
            "errors": form.errors if form else None,
            "once": request.POST.get("_once") or uuid.uuid4().hex,
            "action": request.POST.get("action", ""),
            "select_across": request.POST.get("select_across", "0"),
            "selected": self._selected(request),
            "action_checkbox_name": ACTION_CHECKBOX_NAME,
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, f"{TEMPLATES}order.html", context)

    def _selected(self, request: HttpRequest) -> list[str]:
        """The keys to send again; of all pages, one is enough for Django to see an action."""
        keys = request.POST.getlist(ACTION_CHECKBOX_NAME)
        return keys[:1] if request.POST.get("select_across") == "1" else keys


def _fieldsets(form: forms.Form) -> AdminForm:
    """The form as the admin shows one."""
    shown: Any = form  # it need not be a ModelForm
    return AdminForm(shown, [(None, {"fields": list(form.fields)})], {})


def _action(document: DocumentClass) -> Callable[..., HttpResponse]:
    """An action of the list, under a name of its own."""

    @admin.action(permissions=["document"], description=_lazy_description(document))
    def order(
        modeladmin: DocumentAdminMixin, request: HttpRequest, queryset: QuerySet[Any]
    ) -> HttpResponse:
        return modeladmin.order_selected(request, queryset, document)

    order.__name__ = f"docraptor_{document.label.replace('.', '_')}"
    return cast("Callable[..., HttpResponse]", order)


def _description(document: DocumentClass) -> str:
    """What an action is called: a format, since Django puts the model's names in."""
    title = title_of(document).replace("%", "%%")
    if is_report(document):
        text = _("Make %(document)s over selected %%(verbose_name_plural)s")
    else:
        text = _("Make %(document)s of selected %%(verbose_name_plural)s")
    return text % {"document": title}


# In the language of whoever looks, not in that of the start.
_lazy_description = lazy(_description, str)
