"""Typical mistakes of a project. mypy and pyright must refuse each, and nothing else.

The comment above a line says what is wrong and which error codes it gives.
"""

from io import BytesIO

from django.contrib import admin
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import Group
from django.core.mail import EmailMessage
from django.db.models import QuerySet
from django.dispatch import Signal
from django.http import HttpRequest

import django_docraptor
from django_docraptor import (
    Document,
    DocumentAdminMixin,
    DocumentView,
    JobSpec,
    QuerysetDocument,
    RenderJob,
    aenqueue,
    arender_now,
    document_response,
    enqueue,
    enqueue_many,
    enqueue_or_update,
    expire_hosted,
    latest_document,
    mail,
    render_hosted_now,
    render_now,
    retry,
    sandbox,
    share,
    testing,
    wait_for_job,
)
from django_docraptor.testing import InMemoryDocRaptor
from tests.apps.shop.models import Invoice

paid = Signal()


class InvoicePDF(Document[Invoice]):
    """A document of one object."""

    model = Invoice
    template_name = "shop/invoice.html"


class InvoiceReport(QuerysetDocument[Invoice]):
    """A document over many rows."""

    model = Invoice
    template_name = "shop/report.html"


class StatementPDF(Document[None]):
    """A document without a source."""

    template_name = "shop/statement.html"


def call_functions(user: AbstractBaseUser) -> None:
    """Call the functions with wrong arguments."""
    # A misspelt name | mypy: attr-defined | pyright: reportAttributeAccessIssue
    django_docraptor.enqeue(name="a.pdf", content="<p>")
    # A misspelt keyword | mypy: call-arg | pyright: reportCallIssue
    enqueue(nmae="a.pdf", content="<p>")
    # Content that is not text | mypy: arg-type | pyright: reportArgumentType
    enqueue(name="a.pdf", content=3)
    # No name | mypy: call-arg | pyright: reportCallIssue
    enqueue(content="<p>")
    # Positional arguments | mypy: call-arg | pyright: reportCallIssue
    enqueue("a.pdf")
    # A user's name instead of a user | mypy: arg-type | pyright: reportArgumentType
    enqueue(name="a.pdf", content="<p>", owner="ines")
    # Options that are not a mapping | mypy: arg-type | pyright: reportArgumentType
    enqueue(name="a.pdf", content="<p>", options=["javascript"])
    # A keyword of documents | mypy: call-arg | pyright: reportCallIssue
    enqueue(name="a.pdf", content="<p>", snapshot=True)
    # A misspelt field | mypy: call-arg | pyright: reportCallIssue
    JobSpec(name="a.pdf", contents="<p>")
    # A wrong type | mypy: arg-type | pyright: reportArgumentType
    JobSpec(name="a.pdf", content="<p>", test="yes")
    # Keywords instead of specs | mypy: list-item | pyright: reportArgumentType
    enqueue_many([{"name": "a.pdf", "content": "<p>"}])
    # Keywords instead of a spec | mypy: call-arg | pyright: reportCallIssue
    enqueue_or_update(name="a.pdf", content="<p>")
    # A path instead of a file | mypy: arg-type | pyright: reportArgumentType
    render_now("a.pdf", name="a.pdf", content="<p>")
    # A misspelt keyword | mypy: call-arg | pyright: reportCallIssue
    render_now(BytesIO(), name="a.pdf", content="<p>", acount="other")
    # A keyword of jobs | mypy: call-arg | pyright: reportCallIssue
    render_hosted_now(name="a.pdf", content="<p>", priority=5)
    # The document instead of its id | mypy: arg-type | pyright: reportArgumentType
    expire_hosted(render_hosted_now(name="a.pdf", content="<p>"))


def use_jobs(job: RenderJob, user: AbstractBaseUser, request: HttpRequest) -> None:
    """Use a job in wrong ways."""
    # A key instead of a job | mypy: arg-type | pyright: reportArgumentType
    retry(str(job.pk))
    # The user as a positional argument | mypy: call-arg | pyright: reportCallIssue
    retry(job, user)
    # A number of days instead of a timedelta | mypy: arg-type | pyright: reportArgumentType
    share(job, expires_in=7)
    # No timeout | mypy: call-arg | pyright: reportCallIssue
    wait_for_job(job)
    # No such column | mypy: attr-defined | pyright: reportAttributeAccessIssue
    print(job.file_name)
    # Keywords instead of a spec | mypy: call-arg | pyright: reportCallIssue
    document_response(request, name="a.pdf", content="<p>")
    # Arguments in the wrong order | mypy: arg-type | pyright: reportArgumentType
    mail.attach(job, EmailMessage())


async def use_async() -> None:
    """Use the asynchronous functions in wrong ways."""
    # A misspelt keyword | mypy: call-arg | pyright: reportCallIssue
    await aenqueue(nmae="a.pdf", content="<p>")
    # A misspelt keyword of a document class | mypy: call-arg | pyright: reportCallIssue
    await InvoicePDF.aenqueue(Invoice(), ownr=None)
    # A source of another model | mypy: arg-type | pyright: reportArgumentType
    await InvoicePDF.aenqueue(Group())
    # No await | mypy: attr-defined | pyright: reportAttributeAccessIssue
    print(aenqueue(name="a.pdf", content="<p>").state)
    # A wrong type | mypy: arg-type | pyright: reportArgumentType
    await arender_now(BytesIO(), name="a.pdf", content=b"<p>")


def use_documents(invoice: Invoice, group: Group, user: AbstractBaseUser) -> None:
    """Generate documents of the wrong things."""
    # A source of another model | mypy: arg-type | pyright: reportArgumentType
    InvoicePDF.enqueue(group)
    # A source that may be None | mypy: arg-type | pyright: reportArgumentType
    InvoicePDF.enqueue(Invoice.objects.first())
    # A misspelt keyword | mypy: call-arg | pyright: reportCallIssue
    InvoicePDF.enqueue(invoice, ownr=user)
    # Content beside a template | mypy: call-arg | pyright: reportCallIssue
    InvoicePDF.enqueue(invoice, content="<p>")
    # A keyword of reports | mypy: call-arg | pyright: reportCallIssue
    InvoicePDF.enqueue(invoice, filters={"total": 5})
    # A wrong type | mypy: arg-type | pyright: reportArgumentType
    InvoicePDF.enqueue(invoice, priority="high")
    # One source instead of many | mypy: arg-type | pyright: reportArgumentType
    InvoicePDF.enqueue_many(invoice)
    # Sources of another model | mypy: list-item | pyright: reportArgumentType
    InvoicePDF.enqueue_many([group])
    # A path instead of a file | mypy: call-overload | pyright: reportArgumentType, reportCallIssue
    InvoicePDF.render_now(invoice, "a.pdf")
    # Bytes are not text | mypy: assignment | pyright: reportAssignmentType
    text: str = InvoicePDF.render_now(invoice)
    # A misspelt keyword | mypy: call-arg | pyright: reportCallIssue
    InvoicePDF.preview_html(invoice, langauge="de")
    # A misspelt keyword | mypy: call-arg | pyright: reportCallIssue
    InvoicePDF.spec(invoice, snapshott=True)
    # A source of another model | mypy: arg-type | pyright: reportArgumentType
    InvoicePDF(group)
    # No such field | mypy: attr-defined | pyright: reportAttributeAccessIssue
    print(text, InvoicePDF(invoice).source.numbr)
    # A source where there is none | mypy: arg-type | pyright: reportArgumentType
    StatementPDF.enqueue(invoice)
    # One object instead of a queryset | mypy: arg-type | pyright: reportArgumentType
    InvoiceReport.enqueue(invoice)
    # Filters that are not a mapping | mypy: arg-type | pyright: reportArgumentType
    InvoiceReport.enqueue(filters="total > 5")
    # A source of another model | mypy: misc | pyright: reportArgumentType
    latest_document(group, InvoicePDF)


def is_changed(invoice: Invoice, *, changed: bool) -> bool:
    """Take a keyword that no save has."""
    return changed


def is_new_group(group: Group, *, created: bool) -> bool:
    """Take a source of another model."""
    return created


# A misspelt keyword | mypy: call-arg | pyright: reportCallIssue
InvoicePDF.on_save(ownr=None)
# No such field | mypy: attr-defined | pyright: reportAttributeAccessIssue
InvoicePDF.on_save(when=lambda invoice: invoice.is_isued)
# A keyword that no save has | mypy: arg-type | pyright: reportArgumentType
InvoicePDF.on_save(when=is_changed)
# A delay as text | mypy: arg-type | pyright: reportArgumentType
InvoicePDF.on_save(delay="10")
# A condition for another model | mypy: arg-type | pyright: reportArgumentType
InvoicePDF.on_save(when=is_new_group)
# A function that returns no owner | mypy: arg-type, return-value | pyright: reportArgumentType
InvoicePDF.on_save(owner=lambda invoice: "ines")
# A source instead of a function | mypy: arg-type | pyright: reportArgumentType
InvoicePDF.on(paid, get_source=Invoice())
# A misspelt keyword | mypy: call-arg | pyright: reportCallIssue
InvoicePDF.on(paid, snapshott=True)


class WrongPDF(Document[Invoice]):
    """A document whose declarations are wrong."""

    # A name instead of a class | mypy: assignment | pyright: reportAssignmentType
    model = "shop.Invoice"
    # Options that are not a mapping | mypy: assignment | pyright: reportAssignmentType
    options = ["javascript"]
    # A number instead of a timedelta | mypy: assignment | pyright: reportAssignmentType
    retention = 30
    # Seconds instead of a timedelta | mypy: assignment | pyright: reportAssignmentType
    reuse = 3600

    # A name that may be None | mypy: override | pyright: reportIncompatibleMethodOverride
    def get_name(self) -> str | None:
        return None

    # A context that is not a mapping | mypy: override | pyright: reportIncompatibleMethodOverride
    def get_context(self) -> list[str]:
        return []

    @classmethod
    # A hook without the job | mypy: override | pyright: reportIncompatibleMethodOverride
    def may_download(cls, user: AbstractBaseUser) -> bool:
        return True


class WrongReport(QuerysetDocument[Invoice]):
    """A report whose queryset is of another model."""

    # Rows of another model | mypy: override | pyright: reportIncompatibleMethodOverride
    def get_queryset(self) -> QuerySet[Group]:
        return Group.objects.all()


class WrongView(DocumentView):
    """A view of no document."""

    # A model instead of a document | mypy: assignment | pyright: reportAssignmentType
    document = Invoice


def wrong_test(docraptor: InMemoryDocRaptor, invoice: Invoice) -> None:
    """A test that misspells."""
    # An object instead of a document class | mypy: arg-type | pyright: reportArgumentType
    docraptor.assert_rendered(invoice)
    # An unknown keyword | mypy: call-arg | pyright: reportCallIssue
    docraptor.assert_rendered(InvoicePDF, contain="£45.00")
    # A failure without a reason | mypy: call-arg | pyright: reportCallIssue
    docraptor.fail(InvoicePDF)
    # A misspelt name | mypy: attr-defined | pyright: reportAttributeAccessIssue
    testing.SandboxDocraptor()
    # A misspelt name | mypy: attr-defined | pyright: reportAttributeAccessIssue
    sandbox.SandBox()


class WrongAdmin(DocumentAdminMixin, admin.ModelAdmin[Invoice]):
    """An admin whose documents are not a list."""

    # One class instead of a list | mypy: assignment | pyright: reportAssignmentType
    documents = InvoicePDF
