"""DocRaptor in memory, with pytest's fixture: what a project's tests do with it."""

import io
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.core.exceptions import ValidationError
from django.core.files.storage import default_storage
from django.db import transaction
from openpyxl import load_workbook

from django_docraptor import enqueue, expire, render_now, retry
from django_docraptor.account_settings import account_settings
from django_docraptor.conf import conf
from django_docraptor.documents import Document
from django_docraptor.exceptions import NotSentError, RejectedError
from django_docraptor.lifecycle.clients import client_for
from django_docraptor.mail import attach
from django_docraptor.models import RenderJob
from django_docraptor.signals import document_completed
from django_docraptor.states import State
from django_docraptor.testing import InMemoryDocRaptor
from django_docraptor.testing.client import InMemoryClient
from django_docraptor.testing.storages import MemoryOverStorage
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice
from tests.support.jobs import event_kinds, read_file
from tests.support.sandbox_client import pdf_text
from tests.testing.documents import Sheet

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_sockets")]


class Delivered(Document[Invoice]):
    """A document that is delivered and sent by e-mail."""

    model = Invoice
    template_name = "shop/invoice.html"
    deliver_to = "pdf"

    def on_completed(self, job: RenderJob) -> None:
        """Send it."""
        message = mail.EmailMessage("Your invoice", "See below.", to=["ines@customers.example"])
        attach(message, job)
        message.send()


class Unescaped(Document[Invoice]):
    """A document whose HTML is what the object says."""

    model = Invoice
    template_name = "shop/invoice.html"

    def render(self) -> str:
        """Return the number as HTML."""
        return self.source.number


# --- rendering -------------------------------------------------------------------------------


def test_invoice_has_its_total(docraptor: InMemoryDocRaptor, invoice: Invoice) -> None:
    """Three lines: enqueue, render, and assert what the document shows."""
    InvoicePDF.enqueue(invoice)
    docraptor.render()
    docraptor.assert_rendered(InvoicePDF, source=invoice, contains="45.00", count=1)


def test_outbox_holds_what_would_have_been_sent(
    docraptor: InMemoryDocRaptor, invoice: Invoice
) -> None:
    """An item has the HTML, the options, the name, the test flag, the source and the job."""
    InvoicePDF.enqueue(invoice, test=False)
    (job,) = docraptor.render()
    (sent,) = docraptor.outbox
    assert "<h1>Invoice A-1</h1>" in sent.html
    assert sent.text == "Invoice A-1 45.00"
    assert sent.options == {"prince_options": {"media": "print"}}
    assert (sent.name, sent.test, sent.document_type) == ("invoice-A-1.pdf", False, "pdf")
    assert (sent.source, sent.job, sent.document) == (invoice, job, "shop.InvoicePDF")
    assert sent.job is not None
    assert sent.job.state == State.COMPLETED
    assert repr(sent) == "<SentDocument invoice-A-1.pdf>"


def test_completed_jobs_have_valid_files_in_memory(
    docraptor: InMemoryDocRaptor, invoice: Invoice
) -> None:
    """A PDF and a workbook that libraries can read, in a storage in memory."""
    InvoicePDF.enqueue(invoice)
    Sheet.enqueue(invoice)
    pdf, sheet = docraptor.render()
    assert isinstance(pdf.file.storage, MemoryOverStorage)
    assert "invoice-A-1.pdf" in pdf_text(read_file(pdf))
    assert pdf.number_of_pages == 1
    cells = load_workbook(io.BytesIO(read_file(sheet))).active["A1":"B1"][0]
    assert cells[0].value == f"Sheet-{invoice.pk}.xlsx"
    assert zipfile.ZipFile(io.BytesIO(read_file(sheet))).testzip() is None
    docraptor.assert_rendered(Sheet, count=1)
    docraptor.assert_rendered(count=2)


def test_everything_after_the_file_happens(docraptor: InMemoryDocRaptor, invoice: Invoice) -> None:
    """The file is delivered, an e-mail is sent, and receivers are called, all in a transaction."""
    completed: list[RenderJob] = []

    def note(job: RenderJob, **kwargs: Any) -> None:
        completed.append(job)

    document_completed.connect(note, weak=False)
    Delivered.enqueue(invoice)
    assert completed == mail.outbox == []
    (job,) = docraptor.render()
    invoice.refresh_from_db()
    assert completed == [job]
    assert default_storage.open(invoice.pdf.name).read().startswith(b"%PDF-")
    (message,) = mail.outbox
    assert message.attachments[0][2] == "application/pdf"


def test_saved_object_is_rendered_as_it_was_committed(docraptor: InMemoryDocRaptor) -> None:
    """A signal's document is decided again on commit, which the test's transaction never has."""
    Sheet.on_save(when=lambda invoice: invoice.total > 0)
    with transaction.atomic():
        invoice = Invoice.objects.create(number="A-2", total=1)
        Invoice.objects.filter(pk=invoice.pk).update(total=7)
    Invoice.objects.create(number="A-3")
    docraptor.render()
    docraptor.assert_rendered(source=invoice, contains="7.00", count=1)


def test_function_on_commit_runs_and_may_enqueue(
    docraptor: InMemoryDocRaptor, invoice: Invoice
) -> None:
    """What a project's own function on commit enqueues is rendered, too, and once."""
    transaction.on_commit(lambda: InvoicePDF.enqueue(invoice))
    assert docraptor.outbox == []
    assert len(docraptor.render()) == 1
    assert docraptor.render() == []
    docraptor.assert_rendered(InvoicePDF, count=1)


def test_error_of_a_function_on_commit(docraptor: InMemoryDocRaptor) -> None:
    """It reaches the test; that of a robust one is logged, as Django does."""
    transaction.on_commit(lambda: 1 / 0, robust=True)
    docraptor.render()
    transaction.on_commit(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        docraptor.render()


def test_render_inside_atomic_is_refused(docraptor: InMemoryDocRaptor, invoice: Invoice) -> None:
    """There, no worker would see the job yet."""
    with transaction.atomic():
        InvoicePDF.enqueue(invoice)
        with pytest.raises(RuntimeError, match=r"inside transaction\.atomic\(\)"):
            docraptor.render()
    assert len(docraptor.render()) == 1


def test_many_documents(docraptor: InMemoryDocRaptor) -> None:
    """They are sent by threads, as ever, which do not touch the test's connection."""
    for number in range(20):
        InvoicePDF.enqueue(Invoice.objects.create(number=f"A-{number}", total=number))
    jobs = docraptor.render()
    assert [job.state for job in jobs] == [State.COMPLETED] * 20
    docraptor.assert_rendered(InvoicePDF, contains="17.00", count=1)


def test_document_without_a_job(docraptor: InMemoryDocRaptor) -> None:
    """render_now() is in the outbox at once."""
    target = io.BytesIO()
    render_now(target, name="a.pdf", content="<p>Now</p>", options={"javascript": True})
    assert target.getvalue().startswith(b"%PDF-")
    docraptor.assert_rendered(contains="Now", options={"javascript": True}, count=1)
    (sent,) = docraptor.outbox
    assert (sent.job, sent.source, sent.document) == (None, None, "")


def test_endless_loop_is_told(docraptor: InMemoryDocRaptor, settings: Any) -> None:
    """A receiver that enqueues again and again ends the test, with a reason."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"MAX_PER_SOURCE": None}

    def again(**kwargs: Any) -> None:
        enqueue(name="again.pdf", content="again")

    document_completed.connect(again, weak=False)
    enqueue(name="again.pdf", content="again")
    with pytest.raises(AssertionError, match="still due"):
        docraptor.render()


def test_view_and_download(docraptor: InMemoryDocRaptor, invoice: Invoice, client: Any) -> None:
    """A page that waits for the document, and its download, in the project's own views."""
    owner = User.objects.create_user("ines")
    job = InvoicePDF.enqueue(invoice, owner=owner)
    client.force_login(owner)
    assert client.get(job.get_absolute_url()).headers["Content-Type"].startswith("text/html")
    docraptor.render()
    response = client.get(job.get_absolute_url())
    assert response.headers["Content-Type"] == "application/pdf"
    assert b"".join(response.streaming_content).startswith(b"%PDF-")


def test_hosted_document(docraptor: InMemoryDocRaptor) -> None:
    """It has a URL instead of a file, and expires."""
    enqueue(name="a.pdf", content="<p>Hosted</p>", hosted=True)
    (job,) = docraptor.render()
    assert job.public_url.startswith("http")
    assert docraptor.assert_rendered(contains="Hosted")[0].hosted
    assert expire(job)


def test_unchanged_document_is_not_sent_again(docraptor: InMemoryDocRaptor) -> None:
    """A save without a change is no second document, as in production."""
    Sheet.on_save()
    invoice = Invoice.objects.create(number="A-1")
    docraptor.render()
    invoice.save()
    assert [job.state for job in docraptor.render()] == [State.COMPLETED]
    docraptor.assert_rendered(Sheet, count=1)


# --- faults ----------------------------------------------------------------------------------


def test_job_fails(docraptor: InMemoryDocRaptor, invoice: Invoice) -> None:
    """The job that was named fails with the reason, and its retry succeeds."""
    job, other = InvoicePDF.enqueue(invoice), InvoicePDF.enqueue(invoice)
    docraptor.fail(job, "Document Malformed: Tag herp invalid")
    docraptor.render()
    job.refresh_from_db()
    other.refresh_from_db()
    assert (job.state, job.errors) == (State.FAILED, "Document Malformed: Tag herp invalid")
    assert other.state == State.COMPLETED
    docraptor.assert_rendered(InvoicePDF, count=1)
    retry(job)
    assert docraptor.render() == [job]
    docraptor.assert_rendered(InvoicePDF, count=2)


def test_document_of_a_class_fails(docraptor: InMemoryDocRaptor, invoice: Invoice) -> None:
    """The next document of the class fails, not one of another class."""
    docraptor.fail(InvoicePDF, "too large")
    Sheet.enqueue(invoice)
    first = InvoicePDF.enqueue(invoice)
    docraptor.render()
    second = InvoicePDF.enqueue(invoice)
    docraptor.render()
    states = RenderJob.objects.in_bulk()
    assert [states[job.pk].state for job in (first, second)] == [State.FAILED, State.COMPLETED]
    docraptor.assert_rendered(Sheet, count=1)


def test_docraptor_refuses(docraptor: InMemoryDocRaptor, settings: Any) -> None:
    """DocRaptor's own refusals are there: here, a tag that strict HTML does not allow."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"PREFLIGHT_IGNORE": ["misnested-tag"]}
    invalid: Any = {"name": "a.pdf", "content": "<p><b></p>", "options": {"strict": "html"}}
    enqueue(**invalid)
    (job,) = docraptor.render()
    assert job.error_code == "render_failed"
    assert "Malformed" in job.errors
    with pytest.raises(RejectedError, match="Malformed"):
        render_now(io.BytesIO(), **invalid)
    docraptor.assert_not_rendered()


def test_preflight_refuses(docraptor: InMemoryDocRaptor, invoice: Invoice) -> None:
    """The preflight runs: a document that it refuses is not sent."""
    Invoice.objects.update(number='<img src="/logo.png">')
    Unescaped.enqueue(invoice)
    (job,) = docraptor.render()
    assert job.error_code == "invalid_request"
    assert docraptor.outbox == []


def test_lost_answer(docraptor: InMemoryDocRaptor, invoice: Invoice) -> None:
    """The document is found in DocRaptor's log a minute later, and not sent again."""
    job = InvoicePDF.enqueue(invoice)
    docraptor.lose_answer()
    assert docraptor.render() == []
    job.refresh_from_db()
    assert job.state == State.UNCONFIRMED
    docraptor.advance(60)
    assert docraptor.render() == [job]
    docraptor.assert_rendered(InvoicePDF, count=1)


def test_callbacks(docraptor: InMemoryDocRaptor, invoice: Invoice) -> None:
    """A job is called back for twice when it has been sent, and again at the end: once counts."""
    completed: list[RenderJob] = []

    def note(job: RenderJob, **kwargs: Any) -> None:
        completed.append(job)

    document_completed.connect(note, weak=False)
    job = InvoicePDF.enqueue(invoice)
    docraptor.call_back(job, times=2)
    assert docraptor.render() == [job]
    docraptor.call_back(job, times=2)
    docraptor.render()
    assert event_kinds(job).count("callback") == 1
    assert completed == [job]


@pytest.mark.urls("django.contrib.auth.urls")
def test_callback_without_a_url(docraptor: InMemoryDocRaptor, invoice: Invoice) -> None:
    """A project that has not included the URLs is told so by Django."""
    job = InvoicePDF.enqueue(invoice)
    docraptor.call_back(job)
    with pytest.raises(Exception, match="django_docraptor"):
        docraptor.render()


def test_delay_is_over_when_time_has_passed(docraptor: InMemoryDocRaptor) -> None:
    """A document that waits is rendered when its time has come, and not before."""
    Sheet.on_save(delay=300)
    Invoice.objects.create(number="A-1")
    docraptor.render()
    docraptor.assert_not_rendered()
    docraptor.advance(301)
    docraptor.render()
    docraptor.assert_rendered(Sheet)


def test_held_job_stays_held(docraptor: InMemoryDocRaptor, settings: Any, invoice: Invoice) -> None:
    """However much time passes, a job that waits for a person waits."""
    limit = {"documents": 1, "seconds": 3600}
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"MAX_PER_SOURCE": limit}
    InvoicePDF.enqueue(invoice)
    docraptor.render()
    InvoicePDF.enqueue(invoice)
    docraptor.render()
    docraptor.advance(100_000)
    docraptor.render()
    docraptor.assert_rendered(count=1)
    assert RenderJob.objects.held().count() == 1


# --- isolation -------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2])
def test_each_test_begins_empty(docraptor: InMemoryDocRaptor, number: int) -> None:
    """Neither documents, jobs, files nor faults of another test are left."""
    assert docraptor.outbox == []
    assert not default_storage.exists("left.txt")
    enqueue(name="a.pdf", content=str(number))
    (job,) = docraptor.render()
    docraptor.fail(job, "of this test")
    docraptor.assert_rendered(contains=str(number), count=1)
    default_storage.save("left.txt", io.BytesIO(b"left"))


def test_settings_are_restored(settings: Any) -> None:
    """After the test, the client, the key, the runner and the storages are the project's again."""
    before = settings.DOCRAPTOR, settings.STORAGES
    with InMemoryDocRaptor():
        assert type(client_for("default")) is InMemoryClient
    after = settings.DOCRAPTOR, settings.STORAGES
    assert after == before


def test_a_tests_own_settings_do_not_open_the_network(
    docraptor: InMemoryDocRaptor, settings: Any, invoice: Invoice
) -> None:
    """A test that sets DOCRAPTOR anew still has the client in memory, and no runner."""
    settings.DOCRAPTOR = {"TEST_MODE": False, "RUNNER": "celery", "API_KEY": "real"}
    assert (conf.test_mode, conf.runner, conf.api_key) == (False, "none", "in-memory")
    InvoicePDF.enqueue(invoice)
    docraptor.render()
    assert docraptor.assert_rendered(InvoicePDF)[0].test is False


class RealAccounts:
    """A provider of accounts with real keys."""

    def names(self) -> list[str]:
        """Return their names."""
        return ["acme"]

    def get(self, name: str) -> dict[str, Any] | None:
        """Return their settings."""
        own = {"API_KEY": "real", "BASE_URL": "https://real.example", "MAX_IN_FLIGHT": 3}
        return own if name == "acme" else None


@pytest.mark.parametrize(
    "accounts", [{"acme": RealAccounts().get("acme")}, RealAccounts], ids=["dict", "provider"]
)
def test_accounts_do_not_open_the_network(
    docraptor: InMemoryDocRaptor, settings: Any, invoice: Invoice, accounts: Any
) -> None:
    """A project's accounts are known in a test, but for the keys that a test sets for all."""
    settings.DOCRAPTOR = {**settings.DOCRAPTOR, "ACCOUNTS": accounts}
    assert account_settings("acme").api_keys == ("in-memory",)
    assert account_settings("acme").max_in_flight == 3
    InvoicePDF.enqueue(invoice, account="acme")
    with pytest.raises(ValidationError, match="Did you mean 'acme'"):
        InvoicePDF.enqueue(invoice, account="acne")
    (job,) = docraptor.render()
    assert job.account == "acme"


def test_settings_without_docraptor(settings: Any, invoice: Invoice) -> None:
    """No key, and no setting at all, is needed."""
    settings.DOCRAPTOR = None
    del settings.DOCRAPTOR
    with InMemoryDocRaptor() as docraptor:
        InvoicePDF.enqueue(invoice)
        docraptor.render()
        docraptor.assert_rendered(InvoicePDF)


@pytest.fixture
def stray_client() -> Iterator[InMemoryClient]:
    """A client of settings that name it for all tests."""
    return InMemoryClient(api_key="key")


def test_client_without_a_fixture(stray_client: InMemoryClient) -> None:
    """In settings for all tests, the client refuses each call of a test without the fixture."""
    with pytest.raises(NotSentError, match="fixture docraptor"):
        stray_client.get_status("1")


def test_client_overrides_every_call() -> None:
    """A call that the client in memory lacks could use the network."""
    real = {name for name in vars(InMemoryClient.__base__) if not name.startswith("_")}
    assert real - set(vars(InMemoryClient)) == {"redact"}


def test_connection_is_impossible(stray_client: InMemoryClient) -> None:
    """What is not overridden cannot open a connection either."""
    with pytest.raises(NotSentError, match="must not use the network"):
        stray_client._get_listing("/docs.json", {})
