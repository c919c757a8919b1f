"""Documents in a project's own admin: permissions, names, templates, checks."""

from typing import Any

import pytest
from django.contrib.admin import AdminSite, ModelAdmin
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.http import HttpRequest
from django.test import Client
from django.test.utils import isolate_apps

from django_docraptor.admin import DocumentAdminMixin
from django_docraptor.documents import Document, QuerysetDocument
from django_docraptor.models import RenderJob
from tests.apps.shop.admin import (
    InvoiceAdmin,
    InvoiceList,
    Reminder,
    site,
)
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice
from tests.support.admin_documents import CHANGE, HOSTILE, LIST, ORDER, button, page, said, select
from tests.support.admin_jobs import client_with

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.apps.shop.urls")]


# Permissions


@pytest.mark.parametrize("lacking", [CHANGE, ORDER])
def test_forbidden(lacking: str, invoice: Invoice) -> None:
    """Without either permission there is no button, no action, and 403 for whoever posts."""
    other = client_with("view_invoice", *({CHANGE, ORDER} - {lacking}))
    assert "/documents/" not in other.get(page(invoice)).content.decode()
    assert "docraptor_shop_" not in other.get(LIST).content.decode()
    assert other.get(button(invoice, Reminder)).status_code == 403
    assert other.post(button(invoice)).status_code == 403
    select(other, InvoicePDF, [invoice])
    assert not RenderJob.objects.exists()


def test_anonymous_is_sent_to_the_login(invoice: Invoice) -> None:
    """An anonymous user cannot generate a document and is sent to the login."""
    response = Client().post(button(invoice))
    assert response.status_code == 302
    assert "/login/" in response["Location"]
    assert not RenderJob.objects.exists()


def test_csrf(invoice: Invoice) -> None:
    """A form of another site generates nothing."""
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.create_superuser("root"))
    assert strict.post(button(invoice)).status_code == 403
    assert not RenderJob.objects.exists()


def test_permission_can_be_another(invoice: Invoice, rf: Any) -> None:
    """A project names the permission of its own."""

    class Lenient(DocumentAdminMixin, ModelAdmin):
        document_permission = "shop.view_invoice"

    user = User.objects.create_user("reader", is_staff=True)
    codes = ["view_invoice", CHANGE]
    user.user_permissions.set(Permission.objects.filter(codename__in=codes))
    request: HttpRequest = rf.get("/")
    request.user = user
    assert Lenient(Invoice, AdminSite()).has_document_permission(request, invoice)
    assert not site.get_model_admin(Invoice).has_document_permission(request, invoice)


@pytest.mark.parametrize("address", ["999/documents/shop.InvoicePDF/", "{}/documents/shop.No/"])
def test_unknown_is_not_found(clerk: Client, invoice: Invoice, address: str) -> None:
    """No such object, or no such document of it."""
    assert clerk.post(f"{LIST}{address.format(invoice.pk)}").status_code == 404


def test_report_is_no_button(clerk: Client, invoice: Invoice) -> None:
    """A document over many rows is not made of one object."""
    assert clerk.post(button(invoice, InvoiceList)).status_code == 404


def test_names_are_escaped(clerk: Client, invoice: Invoice) -> None:
    """A name is other people's text, in the history and in the message."""
    Invoice.objects.filter(pk=invoice.pk).update(number=HOSTILE)
    response = clerk.post(button(invoice), follow=True)
    assert "hostile" in said(response)
    assert HOSTILE not in response.content.decode()
    assert HOSTILE not in clerk.get(button(invoice, Reminder)).content.decode()


def test_page_to_add_has_no_documents() -> None:
    """What is not saved yet has no documents."""
    response = client_with(CHANGE, ORDER, "add_invoice").get(f"{LIST}add/")
    assert response.status_code == 200
    assert "docraptor-documents" not in response.content.decode()


def test_own_template_stays(rf: Any) -> None:
    """The template that the page would have without the mixin is the one that is extended."""

    class Theirs(ModelAdmin):
        change_form_template = "admin/delete_confirmation.html"

    class Both(DocumentAdminMixin, Theirs):
        pass

    parent = Both(Invoice, site)._docraptor_parent_template().template.name
    assert parent == "admin/delete_confirmation.html"
    usual = InvoiceAdmin(Invoice, site)._docraptor_parent_template().template.name
    assert usual == "admin/change_form.html"


def test_admin_has_no_mistakes() -> None:
    """Django's own checks of the admin pass."""
    assert site.get_model_admin(Invoice).check() == []


def test_E021_documents_of_another_model(monkeypatch: Any) -> None:
    """Each one is reported by its name, a report as well."""

    class Homeless(QuerysetDocument[Invoice]):
        """A report over nothing that is known; it is not registered."""

        label = "tests.Homeless"

    class Wrong(DocumentAdminMixin, ModelAdmin):
        documents = [InvoicePDF, InvoiceList, Homeless, Reminder]

    monkeypatch.setattr(Reminder, "model", None)  # it may be made from any object
    messages = Wrong(User, AdminSite()).check()
    assert [(message.id, message.obj) for message in messages] == [
        ("django_docraptor.E021", Wrong)
    ] * 3
    assert messages[0].msg == (
        "Wrong.documents contains InvoicePDF, whose model is Invoice, not User."
    )
    assert "Homeless, whose model is None" in messages[2].msg


@isolate_apps("tests.apps.shop")
def test_documents_of_a_proxy_or_parent() -> None:
    """An admin of a proxy has the documents of its model; and the other way round."""

    class Reminded(Invoice):
        """The same rows."""

        class Meta:
            proxy = True
            app_label = "shop"

    class Final(Document[Reminded]):
        """Of the proxy."""

        model = Reminded

    class Both(DocumentAdminMixin, ModelAdmin):
        documents = [InvoicePDF, InvoiceList, Final]

    assert Both(Reminded, AdminSite()).check() == []
    assert Both(Invoice, AdminSite()).check() == []


def test_admin_without_actions(rf: Any) -> None:
    """A project that has switched actions off gets none."""

    class Bare(InvoiceAdmin):
        actions = None

    request = rf.get("/")
    request.user = AnonymousUser()
    assert Bare(Invoice, site).get_actions(request) == {}
