"""Documents in a project's own admin: who may order what, what is asked, what is shown."""

import re
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.admin import AdminSite, ModelAdmin
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.contrib.messages.storage.cookie import CookieStorage
from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models.functions import Now
from django.http import HttpRequest
from django.test import Client
from django.test.utils import CaptureQueriesContext, isolate_apps
from django.urls import include, path
from django.utils.html import strip_tags

from django_docraptor.admin import DocumentAdminMixin, newest, orders
from django_docraptor.documents import Document, QuerysetDocument
from django_docraptor.models import RenderInput, RenderJob
from django_docraptor.states import State
from tests.apps.shop.admin import (
    BilledList,
    InvoiceAdmin,
    InvoiceList,
    Reminder,
    Statement,
    site,
)
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice

urlpatterns = [
    path("shop-admin/", site.urls),
    path("docraptor/", include("django_docraptor.urls")),
]
pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

LIST = "/shop-admin/shop/invoice/"
JOBS = "/shop-admin/django_docraptor/renderjob/"
CHANGE, ORDER, VIEW_JOBS = "change_invoice", "add_renderjob", "view_renderjob"
HOSTILE = "<script>alert('hostile')</script>"


@pytest.fixture(autouse=True)
def _quiet(settings: Any) -> None:
    """No broker."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RING_ON_COMMIT": False}


def client_with(*permissions: str) -> Client:
    """A browser in which a member of staff with these permissions has logged in."""
    user = User.objects.create_user(f"staff-{'-'.join(permissions)}", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def client() -> Client:
    """A browser of somebody who may order documents and follow them."""
    return client_with(CHANGE, ORDER, VIEW_JOBS)


@pytest.fixture
def invoice() -> Invoice:
    """An invoice."""
    return Invoice.objects.create(number="2026-1")


def invoices(count: int) -> list[Invoice]:
    """So many invoices."""
    return [Invoice.objects.create(number=f"2026-{number:03}") for number in range(count)]


def page(invoice: Invoice) -> str:
    """Address of an invoice's page."""
    return f"{LIST}{invoice.pk}/change/"


def button(invoice: Invoice, document: Any = InvoicePDF) -> str:
    """Address of a button."""
    return f"{LIST}{invoice.pk}/documents/{document.label}/"


def action(document: Any) -> str:
    """Name of a document's action."""
    return f"docraptor_{document.label.replace('.', '_')}"


def select(client: Client, document: Any, chosen: list[Invoice], **data: Any) -> Any:
    """Choose an action for some objects."""
    keys = [invoice.pk for invoice in chosen]
    data = {"action": action(document), "index": 0, "_selected_action": keys, **data}
    return client.post(data.pop("url", LIST), data, follow=True)


def hidden(response: Any) -> dict[str, list[str]]:
    """The hidden fields of the page that asks, as a browser sends them again."""
    form = response.content.decode().partition('<form method="post" novalidate>')[2]
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', form):
        found.setdefault(name, []).append(value)
    return found


def said(response: Any) -> str:
    """The messages of a page, as text."""
    return " ".join(strip_tags(str(message)) for message in response.context["messages"])


def make_job(invoice: Invoice, state: State, document: Any = InvoicePDF, **columns: Any) -> Any:
    """A job of an invoice in a state."""
    job = document.enqueue(invoice)
    if state == State.COMPLETED:
        columns = {"file": "docraptor/there.pdf", **columns}
    if state in (State.COMPLETED, State.FAILED):
        columns = {"due_at": None, "finished_at": Now(), **columns}
    RenderJob.objects.filter(pk=job.pk).update(state=state, **columns)
    return job


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
    """Whoever is not logged in orders nothing."""
    response = Client().post(button(invoice))
    assert response.status_code == 302
    assert "/login/" in response["Location"]
    assert not RenderJob.objects.exists()


def test_csrf(invoice: Invoice) -> None:
    """Another site's form orders nothing."""
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


def test_objects_that_the_user_may_not_change_are_left_out(rf: Any) -> None:
    """A permission by object counts in an order over a selection, too."""
    mine, _theirs = invoices(2)
    wanted = orders.Wanted(document=InvoicePDF, owner=User.objects.create_user("clerk"))
    count, _job = wanted.place(Invoice.objects.all(), lambda source: source == mine)
    assert count == 1
    assert [job.source for job in RenderJob.objects.all()] == [mine]


def test_message_says_how_many_are_left_out(rf: Any) -> None:
    """An action names those that it has not ordered, and tells when nothing is left."""

    class Picky(InvoiceAdmin):
        def has_document_permission(self, request: HttpRequest, obj: Any = None) -> bool:
            return obj is None or obj.number == "2026-000"

    request = rf.post(LIST)
    request.user = User.objects.create_user("clerk")
    request._messages = CookieStorage(request)
    invoices(3)
    picky = Picky(Invoice, site)
    picky.order_selected(request, Invoice.objects.all(), InvoicePDF)
    picky.order_selected(request, Invoice.objects.none(), InvoicePDF)
    assert [str(message) for message in request._messages] == [
        "Ordered: invoice-2026-000.pdf.",
        "Left out, since you may not order them: 2.",
        "There was nothing to order.",
    ]


@pytest.mark.parametrize("address", ["999/documents/shop.InvoicePDF/", "{}/documents/shop.No/"])
def test_unknown_is_not_found(client: Client, invoice: Invoice, address: str) -> None:
    """No such object, or no such document of it."""
    assert client.post(f"{LIST}{address.format(invoice.pk)}").status_code == 404


def test_report_is_no_button(client: Client, invoice: Invoice) -> None:
    """A document over many rows is not made of one object."""
    assert client.post(button(invoice, InvoiceList)).status_code == 404


# The button


def test_button_orders(client: Client, invoice: Invoice) -> None:
    """A free document is ordered by one click, for whoever clicks."""
    assert f'action="{button(invoice)}"' in client.get(page(invoice)).content.decode()
    response = client.post(button(invoice), follow=True)
    job = RenderJob.objects.get()
    assert (job.document, job.source, job.owner_id) == (
        "shop.InvoicePDF",
        invoice,
        int(client.session["_auth_user_id"]),
    )
    assert response.redirect_chain == [(page(invoice), 302)]
    assert "Ordered: invoice-2026-1.pdf." in said(response)
    assert f'href="{JOBS}{job.pk}/change/"' in response.content.decode()


def test_get_orders_nothing(client: Client, invoice: Invoice) -> None:
    """No address orders by being visited."""
    for document in (InvoicePDF, Reminder, Statement):
        assert client.get(button(invoice, document)).status_code == 200
    client.get(LIST, {"action": action(InvoicePDF), "_selected_action": invoice.pk})
    assert not RenderJob.objects.exists()


def test_same_page_twice_orders_once(client: Client, invoice: Invoice) -> None:
    """A double click is one document, and another visit is another one."""
    once = client.get(page(invoice)).context["document_once"]
    client.post(button(invoice), {"_once": once})
    client.post(button(invoice), {"_once": once})
    assert RenderJob.objects.count() == 1
    client.post(button(invoice), {"_once": client.get(page(invoice)).context["document_once"]})
    assert RenderJob.objects.count() == 2


def test_billed_document_is_confirmed(client: Client, invoice: Invoice) -> None:
    """What costs something is ordered only after a page has said so."""
    assert f'<a href="{button(invoice, Reminder)}"' in client.get(page(invoice)).content.decode()
    asked = client.post(button(invoice, Reminder))
    assert "1 document is added to the bill" in asked.content.decode()
    assert not RenderJob.objects.exists()
    client.post(button(invoice, Reminder), hidden(asked))
    assert not RenderJob.objects.get().test


# The actions


def test_action_orders_for_each(client: Client) -> None:
    """One document for each selected object, and none for others."""
    chosen = invoices(3)[:2]
    response = select(client, InvoicePDF, chosen)
    assert {job.source for job in RenderJob.objects.all()} == set(chosen)
    assert "Ordered: 2 documents." in said(response)
    owner = client.session["_auth_user_id"]
    link = f"{JOBS}?document=shop.InvoicePDF&amp;owner__id__exact={owner}"
    assert f'href="{link}"' in response.content.decode()
    listed = client.get(link.replace("&amp;", "&"))
    assert listed.context["cl"].result_count == 2


def test_message_has_no_link_for_who_may_not_follow(invoice: Invoice) -> None:
    """Ordering alone does not show the jobs."""
    response = select(client_with(CHANGE, ORDER), InvoicePDF, [invoice])
    assert "Ordered: invoice-2026-1.pdf." in said(response)
    assert JOBS not in response.content.decode()


def test_action_over_all_pages(client: Client, monkeypatch: Any) -> None:
    """All that the list finds, not what is on the page, and nothing that it does not find."""
    monkeypatch.setattr(orders, "CHUNK", 3)
    found = invoices(8)
    Invoice.objects.create(number="other")
    select(client, InvoicePDF, found[:1], url=f"{LIST}?q=2026", select_across=1)
    assert {job.source for job in RenderJob.objects.all()} == set(found)


def test_action_takes_few_queries(client: Client) -> None:
    """Twenty documents take no more queries than two."""
    taken = []
    for chosen in (invoices(2), invoices(20)):
        with CaptureQueriesContext(connection) as queries:
            select(client, InvoicePDF, chosen)
        taken.append(len(queries))
    assert taken[1] <= taken[0]


def test_wrong_order_is_told_and_leaves_nothing(client: Client, monkeypatch: Any) -> None:
    """One bad name among good ones: nothing is ordered, and the message says why."""
    monkeypatch.setattr(orders, "CHUNK", 1)
    chosen = [*invoices(1), Invoice.objects.create(number="x" * 50)]
    asked = select(client, Reminder, chosen)
    response = client.post(LIST, hidden(asked), follow=True)
    assert "Nothing was ordered" in said(response)
    assert not RenderJob.objects.exists()


def test_billed_action_is_confirmed(client: Client) -> None:
    """The page says how many are billed, and sends the selection again."""
    chosen = invoices(3)
    asked = select(client, Reminder, chosen)
    assert "3 documents are added to the bill" in asked.content.decode()
    assert not RenderJob.objects.exists()
    client.post(LIST, hidden(asked))
    assert {job.source for job in RenderJob.objects.all()} == set(chosen)


def test_confirmation_over_all_pages(client: Client) -> None:
    """ "All" stays "all" across the question, without a list of all keys in the page."""
    found = invoices(8)
    asked = select(client, Reminder, found[:5], select_across=1)
    assert "8 documents" in asked.content.decode()
    assert len(hidden(asked)["_selected_action"]) == 1
    client.post(LIST, hidden(asked))
    assert RenderJob.objects.count() == 8


def test_more_than_confirmed_is_asked_again(client: Client) -> None:
    """Who confirmed two documents does not pay for three."""
    asked = select(client, Reminder, invoices(2), select_across=1)
    invoices(1)
    again = client.post(LIST, hidden(asked))
    assert "Something has changed" in again.content.decode()
    assert not RenderJob.objects.exists()
    client.post(LIST, hidden(again))
    assert RenderJob.objects.count() == 3


def test_more_than_confirmed_is_never_ordered() -> None:
    """Not even when the rows come between the question's count and the order."""
    invoices(3)
    owner = User.objects.create_user("clerk")
    wanted = orders.Wanted(document=Reminder, owner=owner, most=2)
    with pytest.raises(ValidationError, match="more now than you confirmed"):
        wanted.place(Invoice.objects.all(), lambda source: True)
    assert not RenderJob.objects.exists()


def test_action_names(client: Client, invoice: Invoice) -> None:
    """An action says what is made, and of what or over what."""
    shown = client.get(LIST).content.decode()
    assert "Make Invoice PDF of selected invoices" in shown
    assert "Make Invoice List over selected invoices" in shown


def test_public_document_is_asked_for(client: Client, invoice: Invoice, monkeypatch: Any) -> None:
    """A free document that anyone may read is not ordered by one click, nor by an action's."""
    monkeypatch.setattr(InvoicePDF, "hosted", True)
    assert f'<a href="{button(invoice)}">' in client.get(page(invoice)).content.decode()
    for asked in (client.post(button(invoice)), select(client, InvoicePDF, [invoice])):
        assert "anyone who has its link can read" in strip_tags(asked.content.decode())
    assert not RenderJob.objects.exists()
    client.post(button(invoice), hidden(client.get(button(invoice))))
    assert RenderJob.objects.get().hosted


def test_private_document_that_became_public(
    client: Client, invoice: Invoice, monkeypatch: Any
) -> None:
    """Who has agreed to a bill has not agreed to a publication."""
    agreed = hidden(client.get(button(invoice, Reminder)))
    monkeypatch.setattr(Reminder, "hosted", True)
    asked = client.post(button(invoice, Reminder), agreed)
    assert "Something has changed since you were asked" in asked.content.decode()
    assert not RenderJob.objects.exists()


# Reports


def test_report_is_one_document(client: Client) -> None:
    """One job over the selection, and its worker finds just these rows."""
    chosen = invoices(4)[1:3]
    select(client, InvoiceList, chosen)
    job = RenderJob.objects.get()
    assert job.object_id == ""
    assert list(InvoiceList(None, job.input.params).rows) == chosen


def test_report_over_all_pages(client: Client) -> None:
    """The filtered set, beyond the page."""
    found = invoices(8)
    Invoice.objects.create(number="other")
    select(client, InvoiceList, found[:1], url=f"{LIST}?q=2026", select_across=1)
    assert list(InvoiceList(None, RenderInput.objects.get().params).rows) == found


def test_report_that_is_too_large_is_told(client: Client, monkeypatch: Any) -> None:
    """More rows than the document takes: a message, no job."""
    monkeypatch.setattr(InvoiceList, "max_rows", 2)
    response = select(client, InvoiceList, invoices(3))
    assert "more than 2 rows" in said(response)
    assert not RenderJob.objects.exists()


def test_billed_report_is_one_on_the_bill(client: Client) -> None:
    """Options and bill on one page; many rows, one document."""
    asked = select(client, BilledList, invoices(3))
    text = strip_tags(asked.content.decode())
    assert "1 document is added to the bill" in text
    assert "One document over 3 rows" in text
    options = {"document-since": "2026-01-31", "document-document_type": "xlsx"}
    client.post(LIST, hidden(asked) | options)
    job = RenderJob.objects.get()
    assert (job.document_type, job.input.params["since"]) == ("xlsx", "2026-01-31")


# Options


def test_options_become_parameters(client: Client, invoice: Invoice) -> None:
    """What the form has cleaned is stored with the job, and the format is the job's."""
    asked = client.get(button(invoice, Statement))
    assert not RenderJob.objects.exists()
    options = {"document-since": "2026-01-31", "document-document_type": "xlsx"}
    client.post(button(invoice, Statement), hidden(asked) | options)
    job = RenderJob.objects.get()
    assert job.input.params == {"since": "2026-01-31", "document_type": "xlsx"}
    assert job.document_type == "xlsx"


def test_first_look_at_options_shows_no_error(client: Client, invoice: Invoice) -> None:
    """A form that nobody has filled in is not wrong yet, by button and by action."""
    for response in (
        client.get(button(invoice, Statement)),
        select(client, Statement, [invoice]),
    ):
        assert 'class="vDateField"' in response.content.decode()
        assert "errornote" not in response.content.decode()


def test_wrong_options_are_asked_again(client: Client, invoice: Invoice) -> None:
    """A date that is none comes back with the error, and orders nothing."""
    asked = select(client, Statement, [invoice])
    wrong = {"document-since": "soon", "document-document_type": "pdf"}
    again = client.post(LIST, hidden(asked) | wrong)
    assert "Enter a valid date." in again.content.decode()
    assert not RenderJob.objects.exists()
    client.post(LIST, hidden(again) | wrong | {"document-since": "2026-01-31"})
    assert RenderJob.objects.get().source == invoice


def test_same_page_with_other_options_orders_again(client: Client, invoice: Invoice) -> None:
    """Back, another format, and again: two documents."""
    asked = hidden(client.get(button(invoice, Statement)))
    for kind in ("pdf", "xlsx", "xlsx"):
        options = {"document-since": "2026-01-31", "document-document_type": kind}
        client.post(button(invoice, Statement), asked | options)
    assert sorted(job.document_type for job in RenderJob.objects.all()) == ["pdf", "xlsx"]


def test_params_from(invoice: Invoice) -> None:
    """Objects become their keys, decimals text; what cannot be stored is refused."""
    cleaned = {"one": invoice, "many": Invoice.objects.all(), "least": Decimal("1.50")}
    assert orders.params_from(cleaned) == {
        "one": invoice.pk,
        "many": [invoice.pk],
        "least": "1.50",
    }
    with pytest.raises(TypeError):
        orders.params_from({"file": object()})


# The column and the history


def test_column_shows_the_newest(client: Client, invoice: Invoice) -> None:
    """The newest job's state; and the file of the last one that is finished."""
    done = make_job(invoice, State.COMPLETED)
    assert f'<a href="{done.get_absolute_url()}">Download</a>' in client.get(LIST).content.decode()
    make_job(invoice, State.FAILED)
    text = client.get(LIST).content.decode()
    assert "✕</span> failed" in text
    assert "✓</span> completed" not in text
    assert f'<a href="{done.get_absolute_url()}">Download the last one</a>' in text


def test_column_without_documents(client: Client, invoice: Invoice) -> None:
    """Another object's document, and another document, are not this one's."""
    make_job(Invoice.objects.create(number="other"), State.COMPLETED)
    assert newest.column(invoice, [InvoicePDF]) == "—"
    make_job(invoice, State.FAILED, Reminder)
    assert newest.column(invoice, [InvoicePDF]) == "—"


def test_column_has_no_link_for_who_may_not_download(invoice: Invoice) -> None:
    """The state is shown to who sees the object, the file to who may have it."""
    job = make_job(invoice, State.COMPLETED)
    text = client_with("view_invoice").get(LIST).content.decode()
    assert "completed" in text
    assert job.get_absolute_url() not in text


def test_list_without_rows(client: Client) -> None:
    """An empty list is a list."""
    assert client.get(LIST).context["cl"].result_count == 0


def test_list_of_reports_alone(rf: Any, invoice: Invoice) -> None:
    """Where no document is made of one object, no query looks for one."""

    class Reports(InvoiceAdmin):
        documents = [InvoiceList]

    request = rf.get("/")
    request.user = User.objects.create_superuser("root")
    with CaptureQueriesContext(connection) as queries:
        assert list(Reports(Invoice, site).get_changelist_instance(request).result_list)
    assert not [query for query in queries if "renderjob" in query["sql"]]


def test_no_links_where_jobs_have_no_pages(rf: Any) -> None:
    """A site without the jobs' admin links to none, not even for a superuser."""
    request = rf.get("/")
    request.user = User.objects.create_superuser("root")
    assert newest.may_view_jobs(site, request)
    assert not newest.may_view_jobs(AdminSite(), request)


def test_column_may_be_placed(rf: Any) -> None:
    """A project that names the column has it once, where it wants it."""

    class Placed(InvoiceAdmin):
        list_display = ["latest_documents", "number"]

    class Without(InvoiceAdmin):
        documents = [InvoiceList]

    request = rf.get("/")
    assert Placed(Invoice, site).get_list_display(request) == ["latest_documents", "number"]
    assert Without(Invoice, site).get_list_display(request) == ["number", "total"]
    assert InvoiceAdmin(Invoice, site).get_list_display(request)[-1] == "latest_documents"


def test_list_takes_the_same_queries_for_any_number(client: Client) -> None:
    """No query for each row."""
    taken = []
    for count in (1, 4):
        for invoice in invoices(count):
            make_job(invoice, State.COMPLETED)
            make_job(invoice, State.FAILED, Reminder)
        with CaptureQueriesContext(connection) as queries:
            client.get(LIST)
        taken.append(len(queries))
    assert taken[1] == taken[0]


def test_history_lists_the_latest(client: Client, invoice: Invoice, monkeypatch: Any) -> None:
    """The newest jobs of this object, linked to their pages."""
    monkeypatch.setattr(newest, "MOST_SHOWN", 2)
    jobs = [make_job(invoice, State.FAILED, error_code="rejected") for _ in range(3)]
    make_job(Invoice.objects.create(number="other"), State.COMPLETED)
    response = client.get(page(invoice))
    assert len(response.context["document_lines"]) == 2
    shown = response.content.decode()
    assert sum(f"{JOBS}{job.pk}/change/" in shown for job in jobs) == 2
    assert "<code>rejected</code>" in shown


def test_history_for_who_may_not_view_jobs(invoice: Invoice) -> None:
    """The declared documents only, without links to pages that are not theirs."""
    job = make_job(invoice, State.COMPLETED)
    job_of_another = make_job(invoice, State.COMPLETED)
    RenderJob.objects.filter(pk=job_of_another.pk).update(document="", name="secret.pdf")
    text = client_with("view_invoice").get(page(invoice)).content.decode()
    assert "invoice-2026-1.pdf" in text
    assert "secret.pdf" not in text
    assert JOBS not in text
    assert job.get_absolute_url() not in text


def test_names_are_escaped(client: Client, invoice: Invoice) -> None:
    """A name is other people's text, in the history and in the message."""
    Invoice.objects.filter(pk=invoice.pk).update(number=HOSTILE)
    response = client.post(button(invoice), follow=True)
    assert "hostile" in said(response)
    assert HOSTILE not in response.content.decode()
    assert HOSTILE not in client.get(button(invoice, Reminder)).content.decode()


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

    parent = Both(Invoice, site)._parent_template().template.name
    assert parent == "admin/delete_confirmation.html"
    usual = InvoiceAdmin(Invoice, site)._parent_template().template.name
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
        "Wrong.documents has InvoicePDF, which is made from Invoice, not from User."
    )
    assert "Homeless, which is made from no model" in messages[2].msg


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


@pytest.mark.parametrize("across", ["0", "1"])
@pytest.mark.parametrize("document", [InvoicePDF, InvoiceList])
def test_document_of_another_model_is_not_ordered(rf: Any, document: Any, across: str) -> None:
    """An object with the key of somebody's invoice does not get that invoice."""

    class Wrong(DocumentAdminMixin, ModelAdmin):
        documents = [InvoicePDF, InvoiceList]

    clerk = User.objects.create_superuser("clerk")
    Invoice.objects.create(pk=clerk.pk, number="2026-1")
    shop = AdminSite(name="wrong")
    shop.register(User, Wrong)
    request = rf.post("/", {"select_across": across})
    request.user = clerk
    request._messages = CookieStorage(request)
    shop.get_model_admin(User).order_selected(request, User.objects.all(), document)
    (message,) = request._messages
    assert str(message).startswith("Nothing was ordered: ")
    assert "is made from" in str(message)
    assert not RenderJob.objects.exists()


def test_admin_without_actions(rf: Any) -> None:
    """A project that has switched actions off gets none."""

    class Bare(InvoiceAdmin):
        actions = None

    request = rf.get("/")
    request.user = AnonymousUser()
    assert Bare(Invoice, site).get_actions(request) == {}


def test_title_of() -> None:
    """A class's name as words, unless it has a name for people."""

    class Named:
        verbose_name = "Rechnung 100%"

    titles = [orders.title_of(each) for each in (InvoicePDF, InvoiceList, Named)]
    assert titles == ["Invoice PDF", "Invoice List", "Rechnung 100%"]
