"""Typical use of the package, as a project writes it. mypy and pyright must have no objection."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from io import BytesIO
from typing import Any, assert_type

from django.contrib import admin
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.mail import EmailMessage
from django.db.models import QuerySet
from django.dispatch import Signal, receiver
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404
from django.test import TestCase
from django.utils import timezone
from django.views.generic import DetailView

from django_docraptor import (
    CallError,
    Document,
    DocumentAdminMixin,
    DocumentMixin,
    DocumentResponse,
    DocumentView,
    ErrorCode,
    HostedDocument,
    JobSpec,
    PrinceOptions,
    QuerysetDocument,
    RenderJob,
    Rows,
    SavedDocument,
    Sent,
    ShareLink,
    State,
    Trigger,
    acancel,
    aenqueue,
    aenqueue_many,
    aretry,
    ashare,
    attach_latest_documents,
    await_for_job,
    cancel,
    document_completed,
    document_failed,
    document_page,
    document_response,
    enqueue,
    enqueue_many,
    enqueue_or_update,
    expire,
    expire_hosted,
    find_problems,
    health_problems,
    latest_document,
    mail,
    render_hosted_now,
    render_now,
    retry,
    revoke,
    share,
    wait_for_job,
)
from django_docraptor.testing import (
    DocRaptorTestMixin,
    InMemoryDocRaptor,
    SandboxDocRaptor,
    SentDocument,
    document_text,
)
from tests.apps.shop.models import Invoice

paid = Signal()


# --- Documents -------------------------------------------------------------------------------


class InvoicePDF(Document[Invoice]):
    """A document of one object, with every hook that a project may override."""

    model = Invoice
    template_name = "shop/invoice.html"
    document_type = "pdf"
    options = {"prince_options": {"media": "print"}, "javascript": True}
    test = False
    priority = 5
    language = "de"
    time_zone = "Europe/Vienna"
    deliver_to = "pdf"
    storage = "default"
    reuse = timedelta(hours=1)
    retention = timedelta(days=3650)
    verbose_name = "Invoice"

    def get_name(self) -> str:
        assert_type(self.source, Invoice)
        return f"invoice-{self.source.number}.pdf"

    def get_document_type(self) -> str:
        return "pdf"

    def get_options(self) -> Mapping[str, Any]:
        return {"prince_options": PrinceOptions(media="print")}

    def get_language(self) -> str | None:
        return None

    def get_time_zone(self) -> str | None:
        return "Europe/Vienna"

    def get_idempotency_key(self) -> str | None:
        return f"invoice-{self.source.number}"

    def get_context(self) -> dict[str, object]:
        return {"total": self.source.total, "copy": self.params.get("copy", 1)}

    def render(self) -> str:
        return super().render().strip()

    @classmethod
    def may_download(cls, user: AbstractBaseUser, job: RenderJob) -> bool:
        return user.pk == 1 or super().may_download(user, job)


class StatementPDF(Document[None]):
    """A document generated from parameters alone."""

    template_name = "shop/statement.html"
    hosted = True
    hosted_lifetime = timedelta(days=30)
    hosted_download_limit = 1000

    def get_hosted_expires_at(self) -> datetime | None:
        return timezone.now() + timedelta(days=1)


class InvoiceReport(QuerysetDocument[Invoice]):
    """A document over many rows."""

    model = Invoice
    template_name = "shop/report.html"
    chunk_size = 100

    def get_queryset(self) -> QuerySet[Invoice]:
        return super().get_queryset().order_by("number")

    def get_context(self) -> dict[str, object]:
        assert_type(self.rows, Rows[Invoice])
        return {"total": sum(invoice.total for invoice in self.rows)}


def use_documents(invoice: Invoice, user: AbstractBaseUser) -> None:
    """Generate documents of objects."""
    job = InvoicePDF.enqueue(invoice, owner=user, snapshot=True, params={"copy": 2}, priority=1)
    assert_type(job, RenderJob)
    assert_type(InvoicePDF.enqueue_many([invoice], test=True), list[RenderJob])
    assert_type(InvoicePDF.enqueue_many(Invoice.objects.all()), list[RenderJob])
    assert_type(InvoicePDF.render_now(invoice), bytes)
    assert_type(InvoicePDF.render_now(invoice, BytesIO(), document_type="xlsx"), SavedDocument)
    assert_type(InvoicePDF.preview_html(invoice, language="fr"), str)
    assert_type(InvoicePDF.spec(invoice, name="copy.pdf"), JobSpec)
    assert_type(InvoicePDF.deliver(job), bool)
    assert_type(InvoicePDF(invoice).source, Invoice)
    find_problems(InvoicePDF(invoice).render(), allow_private=False)
    StatementPDF.enqueue(params={"year": 2026}, hosted_download_limit=5)
    assert_type(StatementPDF.render_now(), bytes)


def use_reports(invoices: QuerySet[Invoice]) -> None:
    """Generate documents over many rows."""
    InvoiceReport.enqueue(invoices, document_type="xlsx")
    InvoiceReport.enqueue(filters={"total__gt": 5}, test=True)
    assert_type(InvoiceReport.enqueue(), RenderJob)
    assert_type(InvoiceReport.render_now(filters={"total__gt": 5}), bytes)
    assert_type(InvoiceReport.render_now(invoices, BytesIO()), SavedDocument)
    assert_type(InvoiceReport.preview_html(invoices), str)
    assert_type(InvoiceReport.spec(filters={"total__gt": 5}, snapshot=True), JobSpec)


def use_latest(invoice: Invoice) -> None:
    """Find what was generated."""
    assert_type(latest_document(invoice, InvoicePDF), RenderJob | None)
    assert_type(attach_latest_documents([invoice], InvoicePDF, attribute="pdf_job"), list[Invoice])
    attach_latest_documents(Invoice.objects.all(), InvoicePDF)


def owner_of(invoice: Invoice) -> AbstractBaseUser | None:
    """Find the owner of a document."""
    return None


def is_new(invoice: Invoice, *, created: bool) -> bool:
    """Accept an invoice that is created."""
    return created


def has_new_total(invoice: Invoice, update_fields: frozenset[str] | None) -> bool:
    """Accept a save of the total."""
    return update_fields is None or "total" in update_fields


def is_relevant(
    invoice: Invoice, *, created: bool, update_fields: frozenset[str] | None = None
) -> bool:
    """Accept a save that changes the document."""
    return created or has_new_total(invoice, update_fields)


def is_any(invoice: Invoice, **save: object) -> bool:
    """Accept every save."""
    return bool(save) or invoice.total > 0


def paid_invoice(**kwargs: Any) -> Invoice | None:
    """Find the source in a signal's arguments."""
    invoice = kwargs["invoice"]
    return invoice if isinstance(invoice, Invoice) else None


InvoicePDF.on_save()
InvoicePDF.on_save(when=lambda invoice: invoice.total > 0, owner=owner_of)
InvoicePDF.on_save(when=is_new)
InvoicePDF.on_save(when=has_new_total)
InvoicePDF.on_save(is_relevant)
InvoicePDF.on_save(when=is_relevant, delay=timedelta(seconds=10))
InvoicePDF.on(paid, delay=2.5)
InvoicePDF.on(paid, when=is_relevant)
InvoicePDF.on(paid, when=is_any)
InvoicePDF.on_save(name=lambda invoice: f"{invoice.number}.pdf", priority=3, snapshot=True)
InvoicePDF.on(paid, get_source=paid_invoice, params=lambda invoice: {"number": invoice.number})
trigger = InvoicePDF.on(paid, sender=Invoice, options={"strict": "html"}, owner=None)
assert_type(trigger, Trigger)
trigger.disconnect()


# --- Jobs ------------------------------------------------------------------------------------


def use_jobs(request: HttpRequest, invoice: Invoice, user: AbstractBaseUser) -> None:
    """Enqueue, wait for and manage jobs."""
    job = enqueue(
        name="hello.pdf",
        content="<h1>Hello</h1>",
        document_type="pdf",
        options={"prince_options": PrinceOptions(media="print"), "javascript": True},
        params={"copy": 2},
        test=True,
        source=invoice,
        owner=user,
        priority=5,
        idempotency_key="hello",
        account="default",
        language="de",
        time_zone="Europe/Vienna",
        storage="default",
    )
    enqueue(name="a.pdf", content="a", source=invoice, reuse=timedelta(hours=1))
    enqueue(name="page.pdf", url="https://shop.example/", hosted=True, hosted_download_limit=5)
    enqueue(name="x.pdf", document="shop.InvoicePDF", hosted=True, hosted_expires_at=timezone.now())
    specs = [JobSpec(name="a.pdf", content="a"), InvoicePDF.spec(invoice)]
    assert_type(enqueue_many(specs), list[RenderJob])
    assert_type(enqueue_or_update(JobSpec(name="a.pdf", content="a", source=invoice)), RenderJob)
    with suppress(TimeoutError):
        job = wait_for_job(job, timeout=5)
    # pyright takes a labelled member of any TextChoices for a tuple: hence no ==.
    if State(job.state) is State.FAILED and job.error_code == ErrorCode.TEMPLATE_ERROR:
        assert_type(retry(job, by=request.user), bool)
    assert_type(cancel(job, by=user), bool)
    assert_type(expire(job), bool)
    link = share(job, expires_in=timedelta(days=1), max_downloads=5, by=request.user)
    assert_type(link, ShareLink)
    assert_type(link.url, str)
    assert_type(link.expires_at, datetime)
    assert_type(link.max_downloads, int | None)
    assert_type(revoke(link, by=user), bool)
    assert_type([each.downloads for each in job.share_links.all()], list[int])
    assert_type(job.errors, str)
    assert_type(job.finished_at, datetime | None)
    assert_type(job.file_size, int | None)
    assert_type([event.kind for event in job.events.all()], list[str])
    assert_type(RenderJob.objects.active().for_source(invoice).first(), RenderJob | None)
    assert_type(list(RenderJob.objects.public()), list[RenderJob])
    assert_type(job.is_final, bool)
    assert_type(health_problems(max_lag=120), list[str])


def use_calls() -> None:
    """Render without a job."""
    try:
        saved = render_now(BytesIO(), name="a.pdf", content="a", test=True)
    except CallError as error:
        assert_type(error.sent, Sent)
    else:
        assert_type(saved.size, int)
    hosted = render_hosted_now(name="a.pdf", content="a", options={"hosted_download_limit": 5})
    assert_type(hosted, HostedDocument)
    expire_hosted(hosted.download_id)


async def use_async(request: HttpRequest, invoice: Invoice) -> None:
    """Do the same in an event loop."""
    assert_type(await InvoicePDF.aenqueue(invoice, snapshot=True, priority=1), RenderJob)
    job = await aenqueue(name="report.pdf", content="<p>", owner=None)
    jobs = await aenqueue_many([JobSpec(name="a.pdf", content="a")])
    job = await await_for_job(job, timeout=20)
    assert_type(await acancel(jobs[0]), bool)
    assert_type(await aretry(job, by=await request.auser()), bool)
    assert_type(await ashare(job, by=await request.auser()), ShareLink)


# --- Django ----------------------------------------------------------------------------------


class InvoiceDetail(DocumentMixin, DetailView[Invoice]):
    """A view of one object that returns its document."""

    document = InvoicePDF
    as_attachment = True
    wait = 5

    def get_queryset(self) -> QuerySet[Invoice]:
        return Invoice.objects.filter(total__gt=0)

    def get_params(self) -> dict[str, Any]:
        return {"copy": 2}


class Statement(DocumentView):
    """A view that finds its source itself."""

    document = InvoicePDF

    def get_source(self) -> Invoice:
        return get_object_or_404(Invoice, pk=self.kwargs["pk"])


def letter(request: HttpRequest) -> HttpResponseBase:
    """Return a document from a function."""
    if request.GET.get("now"):
        return DocumentResponse.render_now(JobSpec(name="letter.pdf", content="<p>"))
    return document_response(request, JobSpec(name="letter.pdf", content="<p>"), wait=5)


@document_page
def invoice_page(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Show a page of which a document is made."""
    return letter(request)


def fetch_pages(request: HttpRequest) -> HttpResponseBase:
    """Call and wrap views, whose types are kept."""
    document_page(InvoiceDetail.as_view())
    return invoice_page(request, pk=17)


@admin.register(Invoice)
class InvoiceAdmin(DocumentAdminMixin, admin.ModelAdmin[Invoice]):
    """An admin with documents."""

    documents = [InvoicePDF, InvoiceReport]

    def has_document_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_document_permission(request, obj)


@receiver(document_completed)
def send(sender: type[RenderJob], job: RenderJob, **kwargs: Any) -> None:
    """Send a finished document by e-mail."""
    message = EmailMessage("Your invoice", "…", to=["ines@shop.example"])
    mail.attach(message, job, max_bytes=1024)
    message.body += mail.document_url(job)


document_failed.connect(mail.notify_owner)


# --- tests -----------------------------------------------------------------------------------


class InvoiceTests(DocRaptorTestMixin, TestCase):
    """Tests with DocRaptor in memory."""

    def test_invoice(self) -> None:
        """Render, assert, and look at what was sent."""
        invoice = Invoice.objects.create(number="A-1")
        job = InvoicePDF.enqueue(invoice)
        self.docraptor.fail(job, "Document Malformed")
        self.docraptor.fail(InvoicePDF, "Document Malformed")
        assert_type(self.docraptor.render(), list[RenderJob])
        found = self.docraptor.assert_rendered(
            InvoicePDF, source=invoice, contains="£45.00", count=1, options={"javascript": True}
        )
        assert_type(found, list[SentDocument])
        assert_type(self.docraptor.outbox[0].html, str)
        assert_type(self.docraptor.outbox[0].job, RenderJob | None)
        self.docraptor.assert_not_rendered(StatementPDF)


async def test_async(docraptor: InMemoryDocRaptor) -> None:
    """Do the same in an event loop."""
    docraptor.lose_answer()
    await docraptor.aadvance(60)
    assert_type(await docraptor.arender(), list[RenderJob])


def test_pdf(docraptor_sandbox: SandboxDocRaptor) -> None:
    """Read the text of a PDF."""
    docraptor_sandbox.change_settings(renderer="weasyprint")
    (job,) = docraptor_sandbox.render(timeout=20)
    assert_type(document_text(job), str)
