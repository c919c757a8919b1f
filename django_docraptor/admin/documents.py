"""Internal. Documents of a project's own objects, in the project's own admin."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

from django.contrib import admin
from django.contrib.admin.utils import quote, unquote
from django.contrib.admin.views.main import ChangeList
from django.core.checks import CheckMessage
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.forms import Media
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import select_template
from django.urls import URLPattern, path, reverse
from django.utils.functional import lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_docraptor.admin.checks import check_document_models
from django_docraptor.admin.confirmation import confirm_or_enqueue
from django_docraptor.admin.enqueue import (
    DocumentClass,
    bind_form,
    is_billed,
    is_report,
)
from django_docraptor.admin.latest import attach_latest_jobs, documents_cell, job_rows
from django_docraptor.documents.presentation import document_title

DOCUMENTS_COLUMN = "latest_documents"

if TYPE_CHECKING:
    AnyModelAdmin = admin.ModelAdmin[Any]
else:
    AnyModelAdmin = object


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """A button on an object's page.

    It is a form that enqueues at once, or a link to a confirmation page.
    """

    title: str
    url: str
    needs_confirmation: bool


class DocumentAdminMixin(AnyModelAdmin):
    """Add documents to a model's admin: actions, buttons, a column and a history.

    ::

        class InvoiceAdmin(DocumentAdminMixin, admin.ModelAdmin):
            documents = [InvoicePDF, InvoiceReport]
    """

    #: Documents to offer: a :class:`QuerysetDocument` for a selection of rows, any other for one
    #: object.
    documents: ClassVar[Sequence[DocumentClass]] = []
    #: Permission required in addition to the change permission for the object.
    document_permission: ClassVar[str] = "django_docraptor.add_renderjob"

    change_form_template = "admin/django_docraptor/documents/change_form.html"

    def __init__(self, model: type[Model], admin_site: admin.AdminSite) -> None:
        super().__init__(model, admin_site)
        if self.actions is not None:
            self.actions = [*self.actions, *(_make_action(each) for each in self.documents)]

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        """Run the admin's checks, and check the models of the documents."""
        return [*super().check(**kwargs), *check_document_models(self, self.documents)]

    @property
    def media(self) -> Media:
        """The admin's media plus the styles of badges and buttons."""
        css = ["django_docraptor/admin.css", "django_docraptor/documents.css"]
        return super().media + Media(css={"all": css})

    # Permissions.

    def has_document_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the user may generate documents (of this object, if given)."""
        user = cast(Any, request.user)
        allowed: bool = user.has_perm(self.document_permission)
        return allowed and self.has_change_permission(request, obj)

    # The list.

    def get_list_display(self, request: HttpRequest) -> Any:
        """Return the project's columns, plus the documents column unless it is already there."""
        columns = super().get_list_display(request)
        if DOCUMENTS_COLUMN in columns or not _object_documents(self):
            return columns
        return [*columns, DOCUMENTS_COLUMN]

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """Return the changelist with the latest jobs attached to its objects, in one query."""
        changelist = super().get_changelist_instance(request)
        if documents := _object_documents(self):
            attach_latest_jobs(changelist.result_list, documents, request)
        return changelist

    @admin.display(description=gettext_lazy("documents"))
    def latest_documents(self, obj: Any) -> str:
        """Show the state of the latest document and a link to the last finished file."""
        return documents_cell(obj, _object_documents(self))

    def _docraptor_generate(
        self, request: HttpRequest, queryset: QuerySet[Any], document: DocumentClass
    ) -> HttpResponse:
        """Enqueue a document for each selected object, or one for all of them."""
        return confirm_or_enqueue(self, request, document, queryset, request.get_full_path())

    # The page of an object.

    def get_urls(self) -> list[URLPattern]:
        """Add the URL of the buttons."""
        view = self.admin_site.admin_view(self._docraptor_document_view)
        name = f"{self.opts.app_label}_{self.opts.model_name}_document"
        url = path("<path:object_id>/documents/<str:label>/", view, name=name)
        return [url, *super().get_urls()]

    def _docraptor_document_view(
        self, request: HttpRequest, object_id: str, label: str
    ) -> HttpResponse:
        """Show the confirmation page (GET), or enqueue a document for an object (POST).

        Raises:
            PermissionDenied: the user may not generate it.
            Http404: there is no such object, or no such document of it.
        """
        obj = self.get_object(request, unquote(object_id))
        if not self.has_document_permission(request, obj):
            raise PermissionDenied
        documents = {document.label: document for document in _object_documents(self)}
        if obj is None or label not in documents:
            raise Http404
        url = _object_url(self, "change", obj)
        return confirm_or_enqueue(self, request, documents[label], [obj], url)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Render the page with buttons and the object's latest jobs."""
        obj = kwargs.get("obj")
        context["docraptor_parent_template"] = self._docraptor_parent_template()
        if obj is not None:
            documents = _object_documents(self)
            context |= {
                "document_buttons": _buttons(self, request, obj),
                "document_jobs": job_rows(self.admin_site, request, obj, documents),
                "form_token": uuid.uuid4().hex,
            }
        return super().render_change_form(request, context, *args, **kwargs)

    def _docraptor_parent_template(self) -> Any:
        """Return the change form template that would be used without this mixin."""
        template_name: Any = super().change_form_template
        app, model = self.opts.app_label, self.opts.model_name
        folders = [f"admin/{app}/{model}/", f"admin/{app}/", "admin/"]
        return select_template(
            [template_name]
            if template_name
            else [f"{folder}change_form.html" for folder in folders]
        )


# Functions instead of methods, whose names could collide with those of a project's admin.


def _object_documents(model_admin: DocumentAdminMixin) -> list[DocumentClass]:
    """Return the documents that are generated from one object."""
    return [document for document in model_admin.documents if not is_report(document)]


def _buttons(model_admin: DocumentAdminMixin, request: HttpRequest, obj: Model) -> list[Button]:
    if not model_admin.has_document_permission(request, obj):
        return []
    return [
        Button(
            title=document_title(document),
            url=_object_url(model_admin, "document", obj, document.label),
            needs_confirmation=is_billed(document)
            or document.hosted
            or bind_form(document) is not None,
        )
        for document in _object_documents(model_admin)
    ]


def _object_url(model_admin: DocumentAdminMixin, name: str, obj: Model, *args: str) -> str:
    view = f"admin:{model_admin.opts.app_label}_{model_admin.opts.model_name}_{name}"
    return reverse(view, args=[quote(obj.pk), *args], current_app=model_admin.admin_site.name)


def _make_action(document: DocumentClass) -> Callable[..., HttpResponse]:
    """Return a uniquely named changelist action for a document."""

    @admin.action(permissions=["document"], description=_lazy_description(document))
    def generate(
        modeladmin: DocumentAdminMixin, request: HttpRequest, queryset: QuerySet[Any]
    ) -> HttpResponse:
        return modeladmin._docraptor_generate(request, queryset, document)

    generate.__name__ = f"docraptor_{document.label.replace('.', '_')}"
    return cast("Callable[..., HttpResponse]", generate)


def _description(document: DocumentClass) -> str:
    """Return the action's description, a format string that Django fills with the model's names."""
    title = document_title(document).replace("%", "%%")
    if is_report(document):
        text = _("Generate %(document)s from selected %%(verbose_name_plural)s")
    else:
        text = _("Generate %(document)s for each selected %%(verbose_name)s")
    return text % {"document": title}


# Evaluated per request, in the user's language.
_lazy_description = lazy(_description, str)
