"""Documents that staff generate in the admin: buttons, actions, options, confirmations."""

from typing import Any

import pytest
from django.contrib.admin import AdminSite, ModelAdmin
from django.contrib.auth.models import User
from django.contrib.messages.storage.cookie import CookieStorage
from django.db import connection
from django.http import HttpRequest
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.html import strip_tags

from django_docraptor import advice
from django_docraptor.admin import DocumentAdminMixin, confirmation, enqueue
from django_docraptor.admin.confirmation import Confirmation
from django_docraptor.models import Heartbeat, RenderInput, RenderJob, seconds_from_now
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
from tests.support.admin_documents import (
    CHANGE,
    JOBS,
    LIST,
    ORDER,
    action_name,
    button_url,
    create_invoices,
    hidden_fields,
    invoice_url,
    messages_of,
    run_action,
)
from tests.support.admin_jobs import staff_client

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.apps.shop.urls")]


def test_message_counts_skipped_objects(rf: Any) -> None:
    """An action counts the skipped objects, and says if there is nothing to generate."""

    class Picky(InvoiceAdmin):
        def has_document_permission(self, request: HttpRequest, obj: Any = None) -> bool:
            return obj is None or obj.number == "2026-000"

    request = rf.post(LIST)
    request.user = User.objects.create_user("clerk")
    request._messages = CookieStorage(request)
    create_invoices(3)
    picky = Picky(Invoice, site)
    picky._docraptor_generate(request, Invoice.objects.all(), InvoicePDF)
    picky._docraptor_generate(request, Invoice.objects.none(), InvoicePDF)
    assert [str(message) for message in request._messages] == [
        "Queued: invoice-2026-000.pdf.",
        "2 objects were skipped because you do not have permission to generate their documents.",
        "There was nothing to generate.",
    ]


# The button


def test_button_enqueues_a_free_document(clerk: Client, invoice: Invoice) -> None:
    """A free document is enqueued by one click, and the job belongs to the user."""
    assert f'action="{button_url(invoice)}"' in clerk.get(invoice_url(invoice)).content.decode()
    response = clerk.post(button_url(invoice), follow=True)
    job = RenderJob.objects.get()
    assert (job.document, job.source, job.owner_id) == (
        "shop.InvoicePDF",
        invoice,
        int(clerk.session["_auth_user_id"]),
    )
    assert response.redirect_chain == [(invoice_url(invoice), 302)]
    assert "Queued: invoice-2026-1.pdf." in messages_of(response)
    assert f'href="{JOBS}{job.pk}/change/"' in response.content.decode()


def test_button_tells_at_once_that_nothing_runs(admin_client: Client, invoice: Invoice) -> None:
    """Users who may view jobs read how to start the engine, until it runs."""
    told = f"{advice.NEVER_RAN} {advice.START_ENGINE}"
    message = messages_of(admin_client.post(button_url(invoice), follow=True))
    assert "Queued: invoice-2026-1.pdf." in message
    assert told in message
    Heartbeat.record("ticked_at")
    message = messages_of(admin_client.post(button_url(invoice), follow=True))
    assert "Queued: invoice-2026-1.pdf." in message
    assert told not in message


def test_button_tells_why_other_jobs_wait(admin_client: Client, invoice: Invoice) -> None:
    """What has failed for them will fail for this one, such as a sandbox that is not running."""
    admin_client.post(button_url(invoice))
    errors = {"failing_since": seconds_from_now(-5), "errors": "Is the sandbox running?"}
    RenderJob.objects.update(due_at=seconds_from_now(60), **errors)
    message = messages_of(admin_client.post(button_url(invoice), follow=True))
    assert "Is the sandbox running?" in message


def test_button_tells_nothing_about_the_engine_to_others(invoice: Invoice) -> None:
    """Users who may not view jobs cannot start it."""
    client = staff_client("add_renderjob", "change_invoice", "view_invoice")
    message = messages_of(client.post(button_url(invoice), follow=True))
    assert message == "Queued: invoice-2026-1.pdf."


def test_get_enqueues_nothing(clerk: Client, invoice: Invoice) -> None:
    """A GET of any URL enqueues nothing."""
    for document in (InvoicePDF, Reminder, Statement):
        assert clerk.get(button_url(invoice, document)).status_code == 200
    clerk.get(LIST, {"action": action_name(InvoicePDF), "_selected_action": invoice.pk})
    assert not RenderJob.objects.exists()


def test_double_click_enqueues_once(clerk: Client, invoice: Invoice) -> None:
    """A double click enqueues one document, and another visit another one."""
    token = clerk.get(invoice_url(invoice)).context["form_token"]
    clerk.post(button_url(invoice), {"_form_token": token})
    clerk.post(button_url(invoice), {"_form_token": token})
    assert RenderJob.objects.count() == 1
    clerk.post(
        button_url(invoice), {"_form_token": clerk.get(invoice_url(invoice)).context["form_token"]}
    )
    assert RenderJob.objects.count() == 2


def test_confirmation_says_who_has_a_document_already(clerk: Client, invoice: Invoice) -> None:
    """A completed one of this class counts once; no unfinished, failed or other one does."""
    assert "already" not in clerk.post(button_url(invoice, Reminder)).content.decode()
    for document, state in [
        (Reminder, State.FAILED),
        (Reminder, State.PENDING),
        (Statement, State.COMPLETED),
    ]:
        job = document.enqueue(invoice)
        due_at = {} if state == State.PENDING else {"due_at": None}
        RenderJob.objects.filter(pk=job.pk).update(state=state, **due_at)
    assert "already" not in clerk.post(button_url(invoice, Reminder)).content.decode()
    for _ in range(2):
        job = Reminder.enqueue(invoice)
        RenderJob.objects.filter(pk=job.pk).update(state=State.COMPLETED, due_at=None)
    text = clerk.post(button_url(invoice, Reminder)).content.decode()
    assert "This object has such a document already." in text


def test_existing_documents_of_many_objects_are_counted(
    invoice: Invoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One query, for as many objects as are compared."""
    invoices = [invoice, *(Invoice.objects.create(number=f"B-{n}") for n in range(4))]
    for each in invoices[:2]:
        job = Reminder.enqueue(each)
        RenderJob.objects.filter(pk=job.pk).update(state=State.COMPLETED, due_at=None)

    def text() -> str:
        return Confirmation(
            document=Reminder,
            sources=Invoice.objects.order_by("pk"),
            count=5,
            form=None,
            confirmed_terms="",
            return_url="/",
        ).existing_text

    with CaptureQueriesContext(connection) as queries:
        assert text() == "2 of the 5 objects have such a document already."
    assert len(queries) == 2  # the objects, and their jobs
    monkeypatch.setattr(confirmation, "MAX_COMPARED", 1)
    assert text() == "1+ of the 5 objects has such a document already."


def test_billed_document_is_confirmed(clerk: Client, invoice: Invoice) -> None:
    """A billed document is enqueued only after a page that says so."""
    assert (
        f'<a href="{button_url(invoice, Reminder)}"'
        in clerk.get(invoice_url(invoice)).content.decode()
    )
    asked = clerk.post(button_url(invoice, Reminder))
    assert "Confirming will bill 1 document." in asked.content.decode()
    assert not RenderJob.objects.exists()
    clerk.post(button_url(invoice, Reminder), hidden_fields(asked))
    assert not RenderJob.objects.get().test


# The actions


def test_action_enqueues_each_selected_object(clerk: Client) -> None:
    """An action enqueues one document for each selected object, and none for others."""
    chosen = create_invoices(3)[:2]
    response = run_action(clerk, InvoicePDF, chosen)
    assert {job.source for job in RenderJob.objects.all()} == set(chosen)
    assert "Queued: 2 documents." in messages_of(response)
    owner = clerk.session["_auth_user_id"]
    link = f"{JOBS}?document=shop.InvoicePDF&amp;owner__id__exact={owner}"
    assert f'href="{link}"' in response.content.decode()
    listed = clerk.get(link.replace("&amp;", "&"))
    assert listed.context["cl"].result_count == 2


def test_message_has_no_link_without_view_permission(invoice: Invoice) -> None:
    """The permission to generate documents alone does not show the jobs."""
    response = run_action(staff_client(CHANGE, ORDER), InvoicePDF, [invoice])
    assert "Queued: invoice-2026-1.pdf." in messages_of(response)
    assert JOBS not in response.content.decode()


def test_action_may_cover_all_pages(clerk: Client, monkeypatch: Any) -> None:
    """An action on the whole list covers all rows that it finds, beyond the page, and no others."""
    monkeypatch.setattr(enqueue, "CHUNK_SIZE", 3)
    found = create_invoices(8)
    Invoice.objects.create(number="other")
    run_action(clerk, InvoicePDF, found[:1], url=f"{LIST}?q=2026", select_across=1)
    assert {job.source for job in RenderJob.objects.all()} == set(found)


def test_action_needs_a_constant_number_of_queries(clerk: Client) -> None:
    """Fifteen documents, which SQLite inserts by one statement, need no more queries than two."""
    taken = []
    for chosen in (create_invoices(2), create_invoices(15)):
        with CaptureQueriesContext(connection) as queries:
            run_action(clerk, InvoicePDF, chosen)
        taken.append(len(queries))
    assert taken[1] <= taken[0]


def test_invalid_document_is_reported_and_leaves_nothing(clerk: Client, monkeypatch: Any) -> None:
    """If one of several names is invalid, nothing is enqueued, and the message says why."""
    monkeypatch.setattr(enqueue, "CHUNK_SIZE", 1)
    chosen = [*create_invoices(1), Invoice.objects.create(number="x" * 50)]
    asked = run_action(clerk, Reminder, chosen)
    response = clerk.post(LIST, hidden_fields(asked), follow=True)
    assert "No documents were queued." in messages_of(response)
    assert not RenderJob.objects.exists()


def test_accounts_that_cannot_be_told_break_no_page(
    clerk: Client, invoice: Invoice, settings: Any
) -> None:
    """The object's page is shown, a person is asked, and the message says what has failed."""

    class Tenants:
        def names(self) -> list[str]:
            raise OSError("down")

        def get(self, name: str) -> None:
            raise OSError("down")

    settings.DOCRAPTOR = settings.DOCRAPTOR | {"ACCOUNTS": Tenants()}
    assert (
        f'<a href="{button_url(invoice, InvoicePDF)}"'
        in clerk.get(invoice_url(invoice)).content.decode()
    )
    asked = clerk.post(button_url(invoice, InvoicePDF))
    response = clerk.post(button_url(invoice, InvoicePDF), hidden_fields(asked), follow=True)
    (message,) = messages_of(response).splitlines()
    assert message.startswith("No documents were queued. DOCRAPTOR['ACCOUNTS'] cannot tell the")
    assert not RenderJob.objects.exists()


def test_billed_action_is_confirmed(clerk: Client) -> None:
    """The page says how many documents are billed, and sends the selection again."""
    chosen = create_invoices(3)
    asked = run_action(clerk, Reminder, chosen)
    assert "Confirming will bill 3 documents." in asked.content.decode()
    assert not RenderJob.objects.exists()
    clerk.post(LIST, hidden_fields(asked))
    assert {job.source for job in RenderJob.objects.all()} == set(chosen)


def test_confirmation_keeps_the_whole_list(clerk: Client) -> None:
    """The whole list remains selected on the confirmation page, without a list of all keys."""
    found = create_invoices(8)
    asked = run_action(clerk, Reminder, found[:5], select_across=1)
    assert "8 documents" in asked.content.decode()
    assert len(hidden_fields(asked)["_selected_action"]) == 1
    clerk.post(LIST, hidden_fields(asked))
    assert RenderJob.objects.count() == 8


def test_more_documents_than_confirmed_are_confirmed_again(clerk: Client) -> None:
    """A user who confirmed two documents does not pay for three."""
    asked = run_action(clerk, Reminder, create_invoices(2), select_across=1)
    create_invoices(1)
    again = clerk.post(LIST, hidden_fields(asked))
    assert "cost has changed since this page was shown" in again.content.decode()
    assert not RenderJob.objects.exists()
    clerk.post(LIST, hidden_fields(again))
    assert RenderJob.objects.count() == 3


def test_action_names_say_what_is_generated(clerk: Client, invoice: Invoice) -> None:
    """An action says which document it generates, and for each row or from all."""
    shown = clerk.get(LIST).content.decode()
    assert "Generate Invoice PDF for each selected invoice" in shown
    assert "Generate Invoice List from selected invoices" in shown


def test_public_document_is_confirmed(clerk: Client, invoice: Invoice, monkeypatch: Any) -> None:
    """A free document that anyone may read is confirmed, by button and by action."""
    monkeypatch.setattr(InvoicePDF, "hosted", True)
    assert f'<a href="{button_url(invoice)}"' in clerk.get(invoice_url(invoice)).content.decode()
    for asked in (clerk.post(button_url(invoice)), run_action(clerk, InvoicePDF, [invoice])):
        assert "anyone with the link can read" in strip_tags(asked.content.decode())
    assert not RenderJob.objects.exists()
    clerk.post(button_url(invoice), hidden_fields(clerk.get(button_url(invoice))))
    assert RenderJob.objects.get().hosted


def test_document_that_became_public_is_confirmed_again(
    clerk: Client, invoice: Invoice, monkeypatch: Any
) -> None:
    """A user who agreed to a bill has not agreed to a publication."""
    agreed = hidden_fields(clerk.get(button_url(invoice, Reminder)))
    monkeypatch.setattr(Reminder, "hosted", True)
    asked = clerk.post(button_url(invoice, Reminder), agreed)
    assert "cost has changed since this page was shown" in asked.content.decode()
    assert not RenderJob.objects.exists()


# Reports


def test_report_of_a_selection_is_one_document(clerk: Client) -> None:
    """A report is one job, and its worker finds exactly the selected rows."""
    chosen = create_invoices(4)[1:3]
    run_action(clerk, InvoiceList, chosen)
    job = RenderJob.objects.get()
    assert job.object_id == ""
    assert list(InvoiceList(None, job.input.params).rows) == chosen


def test_report_may_cover_all_pages(clerk: Client) -> None:
    """A report on the whole list covers the filtered rows beyond the page."""
    found = create_invoices(8)
    Invoice.objects.create(number="other")
    run_action(clerk, InvoiceList, found[:1], url=f"{LIST}?q=2026", select_across=1)
    assert list(InvoiceList(None, RenderInput.objects.get().params).rows) == found


def test_report_with_too_many_rows_is_refused(clerk: Client, monkeypatch: Any) -> None:
    """More rows than the document takes give a message and no job."""
    monkeypatch.setattr(InvoiceList, "max_rows", 2)
    response = run_action(clerk, InvoiceList, create_invoices(3))
    assert "more than 2 rows" in messages_of(response)
    assert not RenderJob.objects.exists()


def test_billed_report_is_billed_once(clerk: Client) -> None:
    """Options and costs are on one page, and many rows are one document."""
    asked = run_action(clerk, BilledList, create_invoices(3))
    text = strip_tags(asked.content.decode())
    assert "Confirming will bill 1 document." in text
    assert "One document covering 3 rows" in text
    options = {"document-since": "2026-01-31", "document-document_type": "xlsx"}
    clerk.post(LIST, hidden_fields(asked) | options)
    job = RenderJob.objects.get()
    assert (job.document_type, job.input.params["since"]) == ("xlsx", "2026-01-31")


# Options


def test_options_become_parameters(clerk: Client, invoice: Invoice) -> None:
    """Cleaned options are stored with the job, and the format is the job's."""
    asked = clerk.get(button_url(invoice, Statement))
    assert not RenderJob.objects.exists()
    options = {"document-since": "2026-01-31", "document-document_type": "xlsx"}
    clerk.post(button_url(invoice, Statement), hidden_fields(asked) | options)
    job = RenderJob.objects.get()
    assert job.input.params == {"since": "2026-01-31", "document_type": "xlsx"}
    assert job.document_type == "xlsx"


def test_empty_options_form_shows_no_error(clerk: Client, invoice: Invoice) -> None:
    """A form that has not been filled in shows no errors, by button and by action."""
    for response in (
        clerk.get(button_url(invoice, Statement)),
        run_action(clerk, Statement, [invoice]),
    ):
        assert 'class="vDateField"' in response.content.decode()
        assert "errornote" not in response.content.decode()


def test_invalid_options_are_asked_again(clerk: Client, invoice: Invoice) -> None:
    """An invalid date comes back with the error, and enqueues nothing."""
    asked = run_action(clerk, Statement, [invoice])
    wrong = {"document-since": "soon", "document-document_type": "pdf"}
    again = clerk.post(LIST, hidden_fields(asked) | wrong)
    assert "Enter a valid date." in again.content.decode()
    assert not RenderJob.objects.exists()
    clerk.post(LIST, hidden_fields(again) | wrong | {"document-since": "2026-01-31"})
    assert RenderJob.objects.get().source == invoice


def test_other_options_enqueue_another_document(clerk: Client, invoice: Invoice) -> None:
    """The same page with another format enqueues another document."""
    asked = hidden_fields(clerk.get(button_url(invoice, Statement)))
    for kind in ("pdf", "xlsx", "xlsx"):
        options = {"document-since": "2026-01-31", "document-document_type": kind}
        clerk.post(button_url(invoice, Statement), asked | options)
    assert sorted(job.document_type for job in RenderJob.objects.all()) == ["pdf", "xlsx"]


@pytest.mark.parametrize("across", ["0", "1"])
@pytest.mark.parametrize("document", [InvoicePDF, InvoiceList])
def test_document_of_another_model_is_not_enqueued(rf: Any, document: Any, across: str) -> None:
    """An object with the same key as an invoice does not get that invoice's document."""

    class Wrong(DocumentAdminMixin, ModelAdmin):
        documents = [InvoicePDF, InvoiceList]

    clerk = User.objects.create_superuser("clerk")
    Invoice.objects.create(pk=clerk.pk, number="2026-1")
    shop = AdminSite(name="wrong")
    shop.register(User, Wrong)
    request = rf.post("/", {"select_across": across})
    request.user = clerk
    request._messages = CookieStorage(request)
    shop.get_model_admin(User)._docraptor_generate(request, User.objects.all(), document)
    (message,) = request._messages
    assert str(message).startswith("No documents were queued. ")
    assert "requires a " in str(message)
    assert not RenderJob.objects.exists()
