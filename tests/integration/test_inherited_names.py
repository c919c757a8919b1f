"""A project's class may use any name that the documentation does not give to the package's."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.mixins import LoginRequiredMixin
from django.test import Client
from django.urls import path
from django.views.generic import View

from django_docraptor import Document, DocumentMixin, DocumentView, QuerysetDocument
from django_docraptor.admin import DocumentAdminMixin
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice

DOCS = Path(__file__).parents[2] / "docs"
# Classes that projects inherit, and what they are combined with.
INHERITED: list[tuple[type, type]] = [
    (DocumentAdminMixin, admin.ModelAdmin),
    (DocumentMixin, type("Base", (LoginRequiredMixin, View), {})),
    (DocumentView, type("Base", (LoginRequiredMixin, View), {})),
    (Document, object),
    (QuerysetDocument, object),
]
# What a project is likely to call its own helpers.
PLAUSIBLE = [
    "_url",
    "_order",
    "_name",
    "_label",
    "_title",
    "_build",
    "_render",
    "_template",
    "_context",
    "_keys",
    "_keywords",
    "_rows",
    "_row",
    "_latest",
    "_jobs",
    "_buttons",
    "_documents",
    "_button",
    "_parent_template",
    "_object_url",
    "_generate",
    "_media",
    "_form",
    "_params",
    "_source",
    "_options",
    "_spec",
    "_check",
    "_view",
    "_link",
    "_links",
    "_status",
    "_state",
    "_site",
    "_filters",
    "_language",
    "_locale",
    "_activate_locale",
    "_model",
    "_model_names",
    "_queryset",
    "_pdf",
    "_file",
    "_download",
]


def documented_names() -> set[str]:
    """Return every name in the documentation's code."""
    text = "".join(page.read_text() for page in DOCS.rglob("*.md"))
    return set(re.findall(r"\w+", " ".join(re.findall(r"`+[^`]+`+", text))))


@pytest.mark.parametrize(("cls", "base"), INHERITED, ids=lambda value: value.__name__)
def test_names_are_documented_or_marked(cls: type, base: type) -> None:
    """Every attribute is Django's, documented, or begins with the package's name."""
    known = documented_names() | set(dir(base))
    own = [name for name in vars(cls) if not re.match(r"__\w+__$|_docraptor_|_abc_impl|_is_", name)]
    assert [name for name in own if name not in known or name.startswith("_")] == []


def clash(self: Any, *args: Any, **kwargs: Any) -> str:
    """Do what a project's helper does, with its own arguments."""
    raise AssertionError("The package calls the project's helper.")


class ClashingAdmin(DocumentAdminMixin, admin.ModelAdmin):
    """A project's admin with helpers of its own."""

    documents = [InvoicePDF]
    locals().update(dict.fromkeys(PLAUSIBLE, clash))


site = admin.AdminSite("clashing")
site.register(Invoice, ClashingAdmin)
urlpatterns = [path("clashing/", site.urls)]


@pytest.mark.django_db
@pytest.mark.urls(__name__)
def test_helpers_of_a_projects_admin_are_its_own(client: Client) -> None:
    """List, page and buttons work beside methods with other meanings."""
    client.force_login(get_user_model().objects.create_superuser("boss"))
    invoice = Invoice.objects.create(number="17")
    home = "/clashing/shop/invoice/"
    for page in ("", f"{invoice.pk}/change/", "add/", f"{invoice.pk}/documents/shop.InvoicePDF/"):
        assert client.get(home + page).status_code == 200


@pytest.mark.django_db
def test_helpers_of_a_projects_document_are_its_own() -> None:
    """A document class may have any of them, too."""
    names = dict.fromkeys(PLAUSIBLE, clash)
    body = {"render": lambda self: "<p>17</p>", "model": Invoice, "__module__": __name__, **names}
    project_class: Any = type("Clashing", (Document,), body)
    invoice = Invoice.objects.create(number="17")
    assert project_class.spec(invoice, snapshot=True).content == "<p>17</p>"
    assert project_class.preview_html(invoice) == "<p>17</p>"
