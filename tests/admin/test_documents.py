"""Documents in a project's own admin: permissions, names, templates, checks."""

import re
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
from tests.support.admin_documents import (
    CHANGE,
    HOSTILE,
    LIST,
    ORDER,
    button_url,
    invoice_url,
    messages_of,
    run_action,
)
from tests.support.admin_jobs import staff_client

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.apps.shop.urls")]


# Permissions


@pytest.mark.parametrize("lacking", [CHANGE, ORDER])
def test_both_permissions_are_required(lacking: str, invoice: Invoice) -> None:
    """Without either permission there is no button and no action, and a POST gets 403."""
    other = staff_client("view_invoice", *({CHANGE, ORDER} - {lacking}))
    assert "/documents/" not in other.get(invoice_url(invoice)).content.decode()
    assert "docraptor_shop_" not in other.get(LIST).content.decode()
    assert other.get(button_url(invoice, Reminder)).status_code == 403
    assert other.post(button_url(invoice)).status_code == 403
    run_action(other, InvoicePDF, [invoice])
    assert not RenderJob.objects.exists()


def test_button_does_not_submit_the_objects_form(clerk: Client, invoice: Invoice) -> None:
    """Its form is a form of its own after the object's, wherever an admin site puts the button."""
    page = clerk.get(invoice_url(invoice)).content.decode()
    (button,) = re.findall(rf'<button [^>]*formaction="{button_url(invoice)}"', page)
    assert 'form="docraptor-generate"' in button
    (form,) = re.findall(r'<form id="docraptor-generate" method="post">.*?</form>', page, re.DOTALL)
    assert page.index("</form>", page.index('id="invoice_form"')) < page.index(form)
    assert re.findall(r'name="(\w+)"', form) == ["csrfmiddlewaretoken", "_form_token"]


def test_anonymous_user_is_redirected_to_the_login(invoice: Invoice) -> None:
    """An anonymous user cannot generate a document and is redirected to the login."""
    response = Client().post(button_url(invoice))
    assert response.status_code == 302
    assert "/login/" in response["Location"]
    assert not RenderJob.objects.exists()


def test_generate_needs_a_csrf_token(invoice: Invoice) -> None:
    """A form of another site generates nothing."""
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.create_superuser("root"))
    assert strict.post(button_url(invoice)).status_code == 403
    assert not RenderJob.objects.exists()


def test_document_permission_can_be_changed(invoice: Invoice, rf: Any) -> None:
    """A project may require another permission."""

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
def test_unknown_object_or_document_is_404(clerk: Client, invoice: Invoice, address: str) -> None:
    """An unknown object or an unknown document gets 404."""
    assert clerk.post(f"{LIST}{address.format(invoice.pk)}").status_code == 404


def test_report_has_no_button(clerk: Client, invoice: Invoice) -> None:
    """A document over many rows is not generated from one object."""
    assert clerk.post(button_url(invoice, InvoiceList)).status_code == 404


def test_names_are_escaped(clerk: Client, invoice: Invoice) -> None:
    """A name from a user is escaped in the list of documents and in the message."""
    Invoice.objects.filter(pk=invoice.pk).update(number=HOSTILE)
    response = clerk.post(button_url(invoice), follow=True)
    assert "hostile" in messages_of(response)
    assert HOSTILE not in response.content.decode()
    assert HOSTILE not in clerk.get(button_url(invoice, Reminder)).content.decode()


def test_add_page_has_no_documents() -> None:
    """An object that is not saved has no documents."""
    response = staff_client(CHANGE, ORDER, "add_invoice").get(f"{LIST}add/")
    assert response.status_code == 200
    assert "docraptor-documents" not in response.content.decode()


def test_mixin_extends_the_pages_own_template(rf: Any) -> None:
    """The mixin's template extends the one that the page would have without it."""

    class Theirs(ModelAdmin):
        change_form_template = "admin/delete_confirmation.html"

    class Both(DocumentAdminMixin, Theirs):
        pass

    parent = Both(Invoice, site)._docraptor_parent_template().template.name
    assert parent == "admin/delete_confirmation.html"
    usual = InvoiceAdmin(Invoice, site)._docraptor_parent_template().template.name
    assert usual == "admin/change_form.html"


def test_admin_passes_djangos_checks() -> None:
    """Django's own checks of the admin pass."""
    assert site.get_model_admin(Invoice).check() == []


@pytest.mark.check("E021")
def test_documents_of_another_model_are_reported(monkeypatch: Any) -> None:
    """Each document of another model is reported by its name, a report as well."""

    class Homeless(QuerysetDocument[Any]):
        """A report over nothing that is known; it is not registered."""

        label = "tests.Homeless"

    class Wrong(DocumentAdminMixin, ModelAdmin):
        documents = [InvoicePDF, InvoiceList, Homeless, Reminder]

    monkeypatch.setattr(Reminder, "model", None)  # it accepts any object
    messages = Wrong(User, AdminSite()).check()
    assert [(message.id, message.obj) for message in messages] == [
        ("django_docraptor.E021", Wrong)
    ] * 3
    assert messages[0].msg == (
        "Wrong.documents contains InvoicePDF, whose model is Invoice, not User."
    )
    assert "Homeless, whose model is None" in messages[2].msg


@isolate_apps("tests.apps.shop")
def test_documents_of_a_proxy_or_its_model_are_allowed() -> None:
    """An admin of a proxy may have the documents of its model, and the other way round."""

    class Reminded(Invoice):
        """A proxy of the same rows."""

        class Meta:
            proxy = True
            app_label = "shop"

    class Final(Document[Reminded]):
        """A document of the proxy."""

        model = Reminded

    class Both(DocumentAdminMixin, ModelAdmin):
        documents = [InvoicePDF, InvoiceList, Final]

    assert Both(Reminded, AdminSite()).check() == []
    assert Both(Invoice, AdminSite()).check() == []


def test_switched_off_actions_stay_off(rf: Any) -> None:
    """A project that has switched off actions gets none."""

    class Bare(InvoiceAdmin):
        actions = None

    request = rf.get("/")
    request.user = AnonymousUser()
    assert Bare(Invoice, site).get_actions(request) == {}
