"""Assertions about the outbox, and what they say when they fail."""

import pytest

from django_docraptor import enqueue
from django_docraptor.documents import Document
from django_docraptor.testing import InMemoryDocRaptor
from tests.apps.shop.documents import Broken, InvoicePDF
from tests.apps.shop.models import Invoice
from tests.testing.documents import Sheet

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_sockets")]


def test_message_lists_what_was_sent(docraptor: InMemoryDocRaptor, invoice: Invoice) -> None:
    """A failed assertion says what was wanted, what was sent, and what was not and why."""
    InvoicePDF.enqueue(invoice)
    Broken.enqueue(invoice)
    docraptor.render()
    Sheet.enqueue(invoice)
    with pytest.raises(AssertionError) as caught:
        docraptor.assert_rendered(Sheet, source=invoice, contains="£45", options={"help": True})
    message = str(caught.value)
    wanted, *_ = message.splitlines()
    assert wanted == (
        "No document was rendered of the class Sheet from <Invoice: A-1> that contains '£45' with "
        "the options {'help': True}."
    )
    assert "invoice-A-1.pdf (shop.InvoicePDF, from <Invoice: A-1>), rendered" in message
    assert "Invoice A-1 45.00" in message
    assert "not sent (failed template_error): Traceback" in message
    assert "no such total" in message
    assert "not sent yet (pending): call docraptor.render()" in message


def test_message_without_documents(docraptor: InMemoryDocRaptor) -> None:
    """If nothing was enqueued, the message says so."""
    with pytest.raises(AssertionError, match="Nothing was enqueued"):
        docraptor.assert_rendered(InvoicePDF)


def test_count_is_exact(docraptor: InMemoryDocRaptor, invoice: Invoice) -> None:
    """Another number of documents is an error that tells both."""
    InvoicePDF.enqueue(invoice)
    docraptor.render()
    with pytest.raises(
        AssertionError, match=r"1 document\(s\) were rendered of .* InvoicePDF, not 2"
    ):
        docraptor.assert_rendered(InvoicePDF, count=2)
    with pytest.raises(AssertionError, match="A document was rendered from <Invoice: A-1>"):
        docraptor.assert_not_rendered(source=invoice)
    docraptor.assert_not_rendered(Sheet)


def test_contains_compares_text_and_html(docraptor: InMemoryDocRaptor) -> None:
    """What a reader sees counts, through tags and escapes, and so does the HTML itself."""
    content = "<head><title>T</title></head><p>Total: <b>£45.00</b></p><p>O&#x27;Hara</p>"
    enqueue(name="a.pdf", content=content)
    docraptor.render()
    for text in ("Total: £45.00", "O'Hara", "<b>£45"):
        docraptor.assert_rendered(contains=text)
    with pytest.raises(AssertionError):
        docraptor.assert_rendered(contains="T Total")


def test_options_may_be_some_of_them(docraptor: InMemoryDocRaptor, invoice: Invoice) -> None:
    """The options that are named must be sent; others may be, too."""
    options = {"javascript": True, "prince_options": {"media": "screen", "baseurl": "https://x.y"}}
    InvoicePDF.enqueue(invoice, options=options)
    docraptor.render()
    docraptor.assert_rendered(options={"prince_options": {"media": "screen"}})
    with pytest.raises(AssertionError):
        docraptor.assert_rendered(options={"javascript": False})


def test_no_problems(docraptor: InMemoryDocRaptor, invoice: Invoice) -> None:
    """Warnings of the preflight and failed jobs are problems."""
    InvoicePDF.enqueue(invoice)
    docraptor.render()
    docraptor.assert_no_problems()
    docraptor.fail(InvoicePDF, "Document Malformed")
    InvoicePDF.enqueue(invoice)
    enqueue(name="b.pdf", content='<p>Hi<div style="background: url(http://10.0.0.7/a.png)"></div>')
    docraptor.render()
    with pytest.raises(AssertionError, match=r"render_failed.*Document Malformed"):
        docraptor.assert_no_problems()


def test_class_without_a_template(docraptor: InMemoryDocRaptor) -> None:
    """What is not a document class is named at once."""
    with pytest.raises(TypeError, match="not a document class"):
        docraptor.fail(Document, "reason")
