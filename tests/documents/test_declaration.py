"""Declared documents: how they are found, named, ordered and rendered."""

from collections.abc import Iterator
from datetime import timedelta
from io import BytesIO
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.test import Client
from django.test.utils import isolate_apps
from django.utils import timezone, translation
from django.utils.functional import SimpleLazyObject

from django_docraptor import lifecycle, registry, shortcuts
from django_docraptor.documents import Document
from django_docraptor.models import RenderInput, RenderJob
from django_docraptor.sandbox import Sandbox
from django_docraptor.shortcuts import JobSpec
from django_docraptor.states import State
from tests.apps.shop.documents import Broken, InvoicePDF
from tests.apps.shop.models import Invoice
from tests.support.jobs import run_until_finished, event_kinds, read_file

pytestmark = pytest.mark.django_db


@pytest.fixture
def place() -> Iterator[type[Document[Invoice]]]:
    """A document that notes in which language and time zone it is rendered."""

    class Place(Document[Invoice]):
        """Registered during the test."""

        template_name = "shop/invoice.html"
        document_type = "xlsx"
        priority = 3
        options = {"prince_options": {"media": "print"}}
        rendered: list[tuple[str | None, str, Any]] = []

        def render(self) -> str:
            zone = timezone.get_current_timezone_name()
            self.rendered.append((translation.get_language(), zone, self.params))
            return "<p>here</p>"

    yield Place
    registry.unregister(Place.label)


@pytest.fixture
def invoice() -> Invoice:
    """A source."""
    return Invoice.objects.create(number="17", total=5)


# --- declaring -------------------------------------------------------------------------------


def test_label_of_an_app() -> None:
    """A document of an app is labelled like a model."""
    assert InvoicePDF.label == "shop.InvoicePDF"


def test_label_outside_of_apps(place) -> None:
    """Elsewhere the label begins with the top-level package."""
    assert place.label == "tests.Place"


def test_class_without_template_is_not_registered() -> None:
    """A base class of a project's own is no document."""

    class Base(Document[Invoice]):
        """What documents share."""

    assert Base.label == ""
    assert not [label for label in registry.all_documents() if label.endswith(".Base")]


def test_get_name_default(invoice: Invoice, place) -> None:
    """The name tells class, source and type."""
    assert place(invoice).get_name() == f"Place-{invoice.pk}.xlsx"
    assert place().get_name() == "Place.xlsx"


def test_document_type_parameter(invoice: Invoice) -> None:
    """A parameter chooses another type."""
    document = InvoicePDF(invoice, {"document_type": "xls"})
    assert document.get_document_type() == "xls"


# --- ordering --------------------------------------------------------------------------------


def test_order_says_what_the_class_says(invoice: Invoice, place) -> None:
    """The order has label, name, type, options and priority of the class."""
    order = place.spec(invoice)
    assert order == JobSpec(
        name=f"Place-{invoice.pk}.xlsx",
        document="tests.Place",
        document_type="xlsx",
        options={"prince_options": {"media": "print"}},
        priority=3,
        source=invoice,
    )


def test_order_says_what_the_call_says(invoice: Invoice, place) -> None:
    """The call wins over the class."""
    order = place.spec(invoice, name="mine.pdf", document_type="pdf", priority=0, test=False)
    assert (order.name, order.document_type, order.priority, order.test) == (
        "mine.pdf",
        "pdf",
        0,
        False,
    )


def test_enqueue_stores_no_content(invoice: Invoice) -> None:
    """The template is rendered by the worker: nothing but the recipe's label is stored."""
    job = InvoicePDF.enqueue(invoice, params={"copy": 2})
    assert (job.document, job.name) == ("shop.InvoicePDF", "invoice-17.pdf")
    stored = RenderInput.objects.get(pk=job.pk)
    assert (stored.content, stored.params) == ("", {"copy": 2})
    assert stored.options == {"prince_options": {"media": "print"}}


def test_enqueue_merges_options(invoice: Invoice, settings) -> None:
    """The class's options lie over the settings'."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {
        "DEFAULTS": {"javascript": True, "prince_options": {"media": "screen", "css_dpi": 72}}
    }
    job = InvoicePDF.enqueue(invoice)
    assert RenderInput.objects.get(pk=job.pk).options == {
        "javascript": True,
        "prince_options": {"media": "print", "css_dpi": 72},
    }


@pytest.mark.parametrize(
    ("source", "given"),
    [(None, "nothing"), (User(pk=1), "User"), (17, "int"), (Invoice, "ModelBase")],
)
def test_source_of_another_kind(source: Any, given: str) -> None:
    """What is not of the document's model is refused with both named; it has the same key."""
    Invoice.objects.create(pk=1, number="17")
    said = f"InvoicePDF is made from Invoice, not from {given}"
    for order in (InvoicePDF.enqueue, InvoicePDF.spec, InvoicePDF.preview_html):
        with pytest.raises(ValidationError, match=said) as caught:
            order(source)
        assert list(caught.value.message_dict) == ["source"]
    with pytest.raises(ValidationError, match=said):
        InvoicePDF.enqueue_many([Invoice.objects.get(), source])
    assert not RenderJob.objects.exists()


@isolate_apps("tests.apps.shop")
def test_source_of_a_proxy(invoice: Invoice, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy is its model, on either side; a lazy object is what it holds."""

    class Reminded(Invoice):
        """The same rows."""

        class Meta:
            proxy = True
            app_label = "shop"

    job = InvoicePDF.enqueue(Reminded.objects.get(pk=invoice.pk))
    assert job.source == invoice
    assert InvoicePDF.enqueue(SimpleLazyObject(lambda: invoice)).source == invoice
    monkeypatch.setattr(InvoicePDF, "model", Reminded)
    assert InvoicePDF.enqueue(invoice).source == invoice


@pytest.mark.parametrize("name", ["options", "params"])
@pytest.mark.parametrize("wrong", [[], "", [("javascript", True)], 5])
def test_order_with_no_dict(invoice: Invoice, name: str, wrong: Any) -> None:
    """What must be a dict is refused under its name, even where it is empty."""
    with pytest.raises(ValidationError, match=f"{name} must be a dict") as caught:
        InvoicePDF.enqueue(invoice, **{name: wrong})
    assert list(caught.value.message_dict) == [name]
    assert not RenderJob.objects.exists()


def test_enqueue_many() -> None:
    """A job for each source, all of one owner."""
    owner = get_user_model().objects.create(username="anna")
    invoices = [Invoice.objects.create(number=str(number)) for number in range(3)]
    jobs = InvoicePDF.enqueue_many(invoices, owner=owner)
    assert [job.source for job in jobs] == invoices
    assert {job.owner_id for job in jobs} == {owner.pk}


def test_same_document(invoice: Invoice, place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The class says what is the same document; a key of the order goes before it."""
    monkeypatch.setattr(place, "get_idempotency_key", lambda self: f"n-{self.source.number}")
    first = place.enqueue(invoice)
    assert first.idempotency_key == f"n-{invoice.number}"
    assert place.enqueue_many([invoice]) == [first]
    assert place.enqueue(invoice, idempotency_key="another").pk != first.pk
    assert place.enqueue(invoice, idempotency_key=None).idempotency_key is None


def test_same_document_by_default(invoice: Invoice, place) -> None:
    """Each order makes another one."""
    assert place.enqueue(invoice) != place.enqueue(invoice)


def test_order_test_flag(invoice: Invoice, place, settings) -> None:
    """The class's flag wins over the setting, the call's over the class's."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"TEST_MODE": True}
    place.test = False
    assert place.enqueue(invoice).test is False
    assert place.enqueue(invoice, test=True).test is True


def test_order_with_type(invoice: Invoice, place) -> None:
    """A type that is ordered is in the name, in the job and in the template's context."""
    order = place.spec(invoice, document_type="pdf")
    assert (order.name, order.document_type) == (f"Place-{invoice.pk}.pdf", "pdf")
    assert place(invoice, requested_type="xls").get_base_context()["document_type"] == "xls"


@pytest.mark.parametrize(
    ("place_of", "message"),
    [({"language": "klingon"}, "klingon"), ({"time_zone": "Mars/Olympus"}, "Mars")],
)
def test_wrong_place(invoice: Invoice, place_of, message: str) -> None:
    """A language or time zone that is none is refused, whoever says it."""
    with pytest.raises(ValidationError, match=message):
        InvoicePDF.enqueue(invoice, **place_of)
    with pytest.raises(ValidationError, match=message):
        shortcuts.enqueue(name="x.pdf", content="x", **place_of)


def test_enqueue_snapshot(invoice: Invoice) -> None:
    """With ``snapshot`` the content is rendered and stored at once."""
    job = InvoicePDF.enqueue(invoice, snapshot=True)
    assert "<h1>Invoice 17</h1>" in RenderInput.objects.get(pk=job.pk).content
    assert job.document == "shop.InvoicePDF"


def test_snapshot_is_checked(invoice: Invoice, settings) -> None:
    """Content that is rendered now is refused now, and nothing is stored."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"MAX_CONTENT_BYTES": 10}
    with pytest.raises(ValidationError, match="at most 10 are allowed"):
        InvoicePDF.enqueue(invoice, snapshot=True)
    assert not RenderJob.objects.exists()


def test_snapshot_of_nothing(invoice: Invoice, place) -> None:
    """A template that renders nothing is refused: blank would mean, render it later."""
    place.render = lambda self: " "
    with pytest.raises(ValidationError, match="rendered nothing"):
        place.enqueue(invoice, snapshot=True)


@pytest.mark.django_db(transaction=True)
def test_snapshot_shows_the_past(sandbox: Sandbox, invoice: Invoice, place) -> None:
    """What changes after the order is not in the document, and no worker renders."""
    place.enqueue(invoice, snapshot=True)
    lifecycle.submit()
    assert len(place.rendered) == 1
    assert sandbox.ledger.create_calls == 1


# --- rendering -------------------------------------------------------------------------------


def test_render(invoice: Invoice) -> None:
    """The template has source and params."""
    assert "<h1>Invoice 17</h1>" in InvoicePDF(invoice).render()


@pytest.mark.django_db(transaction=True)
def test_document_completes(sandbox: Sandbox, documents_dir, invoice: Invoice) -> None:
    """From an object to a file in the storage."""
    job = run_until_finished(InvoicePDF.enqueue(invoice))
    assert job.state == State.COMPLETED
    assert read_file(job).startswith(b"%PDF-")


@pytest.mark.django_db(transaction=True)
def test_document_shows_the_present(sandbox: Sandbox, invoice: Invoice, place) -> None:
    """What changed between order and rendering is in the document, parameters included."""
    place.enqueue(invoice, params={"copy": 2})
    lifecycle.submit()
    assert [params for *_, params in place.rendered] == [{"copy": 2}]


@pytest.mark.django_db(transaction=True)
def test_document_in_language_and_time_zone(sandbox: Sandbox, place, invoice: Invoice) -> None:
    """A worker renders in language and time zone of who ordered, then goes back to its own."""
    with translation.override("de"), timezone.override("Asia/Kathmandu"):
        place.enqueue(invoice)
    lifecycle.submit()
    assert [where for *where, _ in place.rendered] == [["de", "Asia/Kathmandu"]]
    assert translation.get_language() == "en-us"
    assert timezone.get_current_timezone_name() == "UTC"


@pytest.mark.django_db(transaction=True)
def test_document_in_its_reader_s_language(sandbox: Sandbox, place, invoice: Invoice) -> None:
    """A document that says its language and time zone is rendered there, whoever ordered."""
    place.get_language = lambda self: "fr" if self.source.number == "17" else None
    place.time_zone = "Europe/Vienna"
    with translation.override("de"):
        place.enqueue(invoice)
        place.enqueue(invoice, language="es", time_zone="Asia/Tokyo")
    lifecycle.submit()
    found = {tuple(where) for *where, _ in place.rendered}
    assert found == {("fr", "Europe/Vienna"), ("es", "Asia/Tokyo")}


def test_preview_html(invoice: Invoice, place) -> None:
    """The HTML as it would be sent, in the document's language; nothing is stored or sent."""
    place.language = "de"
    assert place.preview_html(invoice, params={"copy": 2}) == "<p>here</p>"
    assert place.rendered == [("de", "UTC", {"copy": 2})]
    assert "<h1>Invoice 17</h1>" in InvoicePDF.preview_html(invoice)
    assert not RenderJob.objects.exists()


def test_render_now(sandbox: Sandbox, invoice: Invoice) -> None:
    """A synchronous document comes back as bytes, without a job."""
    assert InvoicePDF.render_now(invoice).startswith(b"%PDF-")
    assert not RenderJob.objects.exists()
    assert [call.path for call in sandbox.calls] == ["/docs"]


def test_render_now_into_a_file(sandbox: Sandbox, invoice: Invoice) -> None:
    """Into a file, its size is told."""
    target = BytesIO()
    download = InvoicePDF.render_now(invoice, target, document_type="xlsx")
    assert target.getvalue().startswith(b"PK")
    assert download.size == len(target.getvalue())


# --- who may have it -------------------------------------------------------------------------


def test_may_download_by_default(place, invoice: Invoice) -> None:
    """The owner may, others may not."""
    anna = get_user_model().objects.create(username="anna")
    ben = get_user_model().objects.create(username="ben")
    job = place.enqueue(invoice, owner=anna)
    assert place.may_download(anna, job)
    assert not place.may_download(ben, job)


def test_may_download_as_the_document_says(
    client: Client, place, invoice: Invoice, documents_dir
) -> None:
    """The download view asks the document's class, but never for a stranger."""
    place.may_download = classmethod(lambda cls, user, job: job.source.number == user.username)
    documents_dir.mkdir()
    (documents_dir / "a.xlsx").write_bytes(b"PK")
    anna = get_user_model().objects.create(username="anna")
    job = place.enqueue(invoice, owner=anna)
    RenderJob.objects.update(state=State.COMPLETED, due_at=None, file="a.xlsx")
    address = job.get_absolute_url()
    assert client.get(address).status_code == 404
    client.force_login(anna)
    assert client.get(address).status_code == 404
    client.force_login(get_user_model().objects.create(username="17"))
    assert b"".join(client.get(address)) == b"PK"


# --- in languages and zones ------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_document_in_a_zone_without_a_key(sandbox: Sandbox, place, invoice: Invoice) -> None:
    """A fixed offset, which no worker could find by name, does not fail the document."""
    with timezone.override(timezone.get_fixed_timezone(90)):
        job = place.enqueue(invoice)
    lifecycle.submit()
    assert RenderJob.objects.get(pk=job.pk).state == State.QUEUED
    assert place.rendered[0][1] == "UTC"


@pytest.mark.django_db(transaction=True)
def test_source_gone(sandbox: Sandbox, invoice: Invoice) -> None:
    """A source that was deleted before the rendering fails the job; nothing is sent."""
    job = InvoicePDF.enqueue(invoice)
    invoice.delete()
    job = run_until_finished(job)
    assert (job.state, job.error_code) == (State.FAILED, "template_error")
    assert "SourceGoneError" in job.errors
    assert sandbox.ledger.create_calls == 0


@pytest.mark.django_db(transaction=True)
def test_template_error(sandbox: Sandbox, invoice: Invoice) -> None:
    """An error in a template fails the job with its traceback in the history; nothing is sent."""
    job = run_until_finished(Broken.enqueue(invoice))
    assert (job.state, job.error_code) == (State.FAILED, "template_error")
    failed = job.events.get(kind="failed")
    assert "RuntimeError: no such total" in failed.message
    assert "in get_context" in failed.message
    assert failed.message == job.errors
    assert event_kinds(job) == ["enqueued", "failed"]
    assert sandbox.ledger.create_calls == 0


@pytest.mark.django_db(transaction=True)
def test_unregistered_label(sandbox: Sandbox, invoice: Invoice) -> None:
    """A job of a class that was renamed or removed fails as a matter of configuration."""
    job = InvoicePDF.enqueue(invoice, document="shop.Removed")
    job = run_until_finished(job)
    assert (job.state, job.error_code) == (State.FAILED, "configuration")
    assert "shop.Removed" in job.errors
    assert sandbox.ledger.create_calls == 0


@pytest.mark.django_db(transaction=True)
def test_rendered_content_is_checked(sandbox: Sandbox, settings, invoice: Invoice) -> None:
    """What a template made is checked before it costs anything, as given content is."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"MAX_CONTENT_BYTES": 10}
    job = run_until_finished(InvoicePDF.enqueue(invoice))
    assert (job.state, job.error_code) == (State.FAILED, "invalid_request")
    assert sandbox.ledger.create_calls == 0


# --- hosted documents, and where files go ------------------------------------------------------


@pytest.fixture
def programme() -> Iterator[type[Document[Invoice]]]:
    """A public document."""

    class Programme(Document[Invoice]):
        """Registered during the test."""

        template_name = "shop/invoice.html"
        hosted = True
        hosted_lifetime = timedelta(days=30)
        hosted_download_limit = 9
        storage = "default"

    yield Programme
    registry.unregister(Programme.label)


def test_hosted_class(programme: type[Document[Invoice]], invoice: Invoice) -> None:
    """The class says that it is public, for how long and how often."""
    job = programme.enqueue(invoice)
    assert job.hosted
    assert job.hosted_expires_at is not None
    left = job.hosted_expires_at - timezone.now()
    assert timedelta(days=29) < left < timedelta(days=31)
    assert job.input.options["hosted_download_limit"] == 9
    assert job.storage == "default"


def test_hosted_by_the_call(programme: type[Document[Invoice]], invoice: Invoice) -> None:
    """The call has the last word, either way."""
    private = programme.enqueue(invoice, hosted=False, storage="")
    assert (private.hosted, private.hosted_expires_at, private.storage) == (False, None, "")
    assert private.input.options == {}
    assert InvoicePDF.enqueue(invoice, hosted=True).hosted


def test_hosted_renewed(programme: type[Document[Invoice]], invoice: Invoice) -> None:
    """A newer order brings its own end; a private order is another document."""
    first = shortcuts.enqueue_or_update(programme.spec(invoice))
    again = shortcuts.enqueue_or_update(programme.spec(invoice))
    assert again == first
    assert first.hosted_expires_at is not None
    assert again.hosted_expires_at is not None
    assert again.hosted_expires_at > first.hosted_expires_at
    again.input.refresh_from_db()
    assert again.input.options["hosted_expires_at"] == again.hosted_expires_at.isoformat()
    assert shortcuts.enqueue_or_update(programme.spec(invoice, hosted=False)) != first


def test_hosted_class_render_now(
    programme: type[Document[Invoice]], invoice: Invoice, sandbox: Sandbox
) -> None:
    """What is wanted as bytes is not made public."""
    assert programme.render_now(invoice).startswith(b"%PDF-")
    assert [entry.hosted for entry in sandbox.ledger.accepted()] == [False]
