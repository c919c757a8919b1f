"""The sandbox as a fixture: real HTTP in a test's own transaction."""

import pytest

from django_docraptor.conf import conf
from django_docraptor.sandbox import Fault
from django_docraptor.states import State
from django_docraptor.testing import InMemoryDocRaptor, SandboxDocRaptor, document_text
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice

pytestmark = pytest.mark.django_db


def test_sandbox_renders(docraptor_sandbox: SandboxDocRaptor, invoice: Invoice) -> None:
    """The job is sent over HTTP, waited for, and stored."""
    docraptor_sandbox.change_settings(delay=0.3)
    InvoicePDF.enqueue(invoice)
    (job,) = docraptor_sandbox.render()
    assert job.state == State.COMPLETED
    assert [entry.name for entry in docraptor_sandbox.ledger.accepted()] == ["invoice-A-1.pdf"]
    assert "invoice-A-1.pdf" in document_text(job)


def test_faults(docraptor_sandbox: SandboxDocRaptor, invoice: Invoice) -> None:
    """All faults of the sandbox are there."""
    docraptor_sandbox.add_fault(Fault(on="render", action="fail", reason="Document Malformed"))
    InvoicePDF.enqueue(invoice)
    (job,) = docraptor_sandbox.render()
    assert (job.state, job.errors) == (State.FAILED, "Document Malformed")


def test_lost_response(docraptor_sandbox: SandboxDocRaptor, invoice: Invoice) -> None:
    """When time has passed, the document is found in the sandbox's log."""
    docraptor_sandbox.add_fault(Fault(on="create", action="close", accept=True, times=1))
    InvoicePDF.enqueue(invoice)
    assert docraptor_sandbox.render() == []
    docraptor_sandbox.advance(60)
    (job,) = docraptor_sandbox.render()
    assert job.state == State.COMPLETED
    assert len(docraptor_sandbox.ledger.accepted()) == 1


@pytest.mark.once
def test_real_renderer(docraptor_sandbox: SandboxDocRaptor, invoice: Invoice) -> None:
    """The text of a PDF that WeasyPrint has made can be read."""
    docraptor_sandbox.change_settings(renderer="weasyprint")
    InvoicePDF.enqueue(invoice)
    (job,) = docraptor_sandbox.render()
    assert "Invoice A-1" in document_text(job)


def test_text_of_a_workbook(docraptor_sandbox: SandboxDocRaptor, invoice: Invoice) -> None:
    """Workbooks can be read, too."""
    InvoicePDF.enqueue(invoice, document_type="xlsx", name="a.xlsx")
    (job,) = docraptor_sandbox.render()
    assert document_text(job).startswith("a.xlsx\t")


def test_text_of_an_unfinished_job(docraptor_sandbox: SandboxDocRaptor, invoice: Invoice) -> None:
    """A job without a file says what to do."""
    job = InvoicePDF.enqueue(invoice)
    with pytest.raises(ValueError, match="has no file: run docraptor"):
        document_text(job)


def test_both_fixtures(
    docraptor: InMemoryDocRaptor, docraptor_sandbox: SandboxDocRaptor, invoice: Invoice
) -> None:
    """The one that was asked for last is used."""
    InvoicePDF.enqueue(invoice)
    assert len(docraptor_sandbox.render()) == 1
    assert len(docraptor_sandbox.ledger.accepted()) == 1
    assert docraptor.outbox == []


def test_settings_are_restored() -> None:
    """After the test, DOCRAPTOR points to where it did."""
    before = conf.base_url
    with SandboxDocRaptor() as sandbox:
        assert conf.base_url == sandbox.url
    assert conf.base_url == before
