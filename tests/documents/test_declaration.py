"""Document classes: labels, job specs, rendering, permissions."""

from datetime import UTC, datetime, timedelta
from datetime import timezone as fixed_zone
from io import BytesIO
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db.models.signals import post_save
from django.test import Client
from django.test.utils import isolate_apps
from django.utils import timezone, translation
from django.utils.functional import SimpleLazyObject

from django_docraptor import lifecycle, registry, shortcuts
from django_docraptor.documents import Document
from django_docraptor.lifecycle.composition import compose_request
from django_docraptor.models import RenderInput, RenderJob
from django_docraptor.sandbox import Sandbox
from django_docraptor.shortcuts import JobSpec
from django_docraptor.states import State
from tests.apps.shop.documents import Broken, InvoicePDF
from tests.apps.shop.models import Invoice, OverdueInvoice
from tests.support.jobs import event_kinds, read_file, run_until_finished
from tests.test_time_zones import Shifted

pytestmark = pytest.mark.django_db


@pytest.fixture
def locale_document() -> type[Document[Invoice]]:
    """A document that records the language and time zone in which it is rendered."""

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

    return Place


# --- declaring -------------------------------------------------------------------------------


def test_label_has_the_apps_label() -> None:
    """The label of a document in an app looks like a model's."""
    assert InvoicePDF.label == "shop.InvoicePDF"


def test_label_outside_of_apps_has_the_top_level_package(locale_document) -> None:
    """Outside of apps the label starts with the top-level package."""
    assert locale_document.label == "tests.Place"


def test_class_without_template_is_not_registered() -> None:
    """A base class without a template is not registered."""

    class Base(Document[Invoice]):
        """A base class of documents."""

    assert Base.label == ""
    assert not [label for label in registry.all_documents() if label.endswith(".Base")]


def test_default_name_has_class_source_and_type(invoice: Invoice, locale_document) -> None:
    """The default name has the class, the source and the type."""
    assert locale_document(invoice).get_name() == f"Place-{invoice.pk}.xlsx"
    assert locale_document().get_name() == "Place.xlsx"


def test_parameter_chooses_the_document_type(invoice: Invoice) -> None:
    """A parameter chooses another document type."""
    document = InvoicePDF(invoice, {"document_type": "xls"})
    assert document.get_document_type() == "xls"


# --- enqueueing ------------------------------------------------------------------------------


def test_spec_has_the_attributes_of_the_class(invoice: Invoice, locale_document) -> None:
    """The spec has the class's label, name, type, options and priority."""
    spec = locale_document.spec(invoice)
    assert spec == JobSpec(
        name=f"Place-{invoice.pk}.xlsx",
        document="tests.Place",
        document_type="xlsx",
        options={"prince_options": {"media": "print"}},
        priority=3,
        source=invoice,
    )


def test_arguments_override_the_class(invoice: Invoice, locale_document) -> None:
    """An argument overrides the class's attribute."""
    spec = locale_document.spec(
        invoice, name="mine.pdf", document_type="pdf", priority=0, test=False
    )
    assert (spec.name, spec.document_type, spec.priority, spec.test) == (
        "mine.pdf",
        "pdf",
        0,
        False,
    )


def test_enqueue_stores_no_content(invoice: Invoice) -> None:
    """The worker renders the template, so only the document's label is stored."""
    job = InvoicePDF.enqueue(invoice, params={"copy": 2})
    assert (job.document, job.name) == ("shop.InvoicePDF", "invoice-17.pdf")
    stored = RenderInput.objects.get(pk=job.pk)
    assert (stored.content, stored.params) == ("", {"copy": 2})
    assert stored.options == {"prince_options": {"media": "print"}}


def test_class_options_override_the_defaults(invoice: Invoice, settings) -> None:
    """The class's options override DEFAULTS."""
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
    [(None, "None"), (User(pk=1), "User"), (17, "int"), (Invoice, "ModelBase")],
)
def test_source_of_another_model_is_refused(source: Any, given: str) -> None:
    """A source of another model is refused, with both models named, even if its key exists."""
    Invoice.objects.create(pk=1, number="17")
    said = f"InvoicePDF requires a source of model Invoice, not {given}"
    for function in (InvoicePDF.enqueue, InvoicePDF.spec, InvoicePDF.preview_html):
        with pytest.raises(ValidationError, match=said) as caught:
            function(source)
        assert list(caught.value.message_dict) == ["source"]
    with pytest.raises(ValidationError, match=said):
        InvoicePDF.enqueue_many([Invoice.objects.get(), source])
    assert not RenderJob.objects.exists()


@isolate_apps("tests.apps.shop")
def test_source_may_be_a_proxy_or_a_lazy_object(
    invoice: Invoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy counts as its model, and a lazy object as the object in it."""

    class Reminded(Invoice):
        """A proxy of the same rows."""

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
def test_options_and_params_must_be_dicts(invoice: Invoice, name: str, wrong: Any) -> None:
    """A value that is not a dict is reported under its name, even if it is empty."""
    with pytest.raises(ValidationError, match=f"{name} must be a mapping") as caught:
        InvoicePDF.enqueue(invoice, **{name: wrong})
    assert list(caught.value.message_dict) == [name]
    assert not RenderJob.objects.exists()


def test_enqueue_many_enqueues_each_source() -> None:
    """Each source gets a job, all with the same owner."""
    owner = get_user_model().objects.create(username="anna")
    invoices = [Invoice.objects.create(number=str(number)) for number in range(3)]
    jobs = InvoicePDF.enqueue_many(invoices, owner=owner)
    assert [job.source for job in jobs] == invoices
    assert {job.owner_id for job in jobs} == {owner.pk}


def test_class_may_define_the_idempotency_key(
    invoice: Invoice, locale_document, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The class defines the idempotency key, and an argument overrides it."""
    monkeypatch.setattr(
        locale_document, "get_idempotency_key", lambda self: f"n-{self.source.number}"
    )
    first = locale_document.enqueue(invoice)
    assert first.idempotency_key == f"n-{invoice.number}"
    assert locale_document.enqueue_many([invoice]) == [first]
    assert locale_document.enqueue(invoice, idempotency_key="another").pk != first.pk
    assert locale_document.enqueue(invoice, idempotency_key=None).idempotency_key is None


def test_each_call_enqueues_another_job_by_default(invoice: Invoice, locale_document) -> None:
    """Without a key each call stores another job."""
    assert locale_document.enqueue(invoice) != locale_document.enqueue(invoice)


def test_test_flag_of_class_and_call_override_the_setting(
    invoice: Invoice, locale_document, settings
) -> None:
    """The class's flag overrides TEST_MODE, and the call's overrides the class's."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"TEST_MODE": True}
    locale_document.test = False
    assert locale_document.enqueue(invoice).test is False
    assert locale_document.enqueue(invoice, test=True).test is True


def test_requested_type_is_in_name_job_and_context(invoice: Invoice, locale_document) -> None:
    """A requested type is used in the name, the job and the template's context."""
    spec = locale_document.spec(invoice, document_type="pdf")
    assert (spec.name, spec.document_type) == (f"Place-{invoice.pk}.pdf", "pdf")
    assert (
        locale_document(invoice, requested_type="xls").get_base_context()["document_type"] == "xls"
    )


@pytest.mark.parametrize(
    ("place_of", "message"),
    [
        ({"language": "klingon"}, "klingon"),
        ({"time_zone": "Mars/Olympus"}, "Mars"),
        ({"time_zone": "+25:00"}, r"'\+25:00' is not .* an offset such as '\+02:00'"),
    ],
)
def test_invalid_language_or_time_zone_is_rejected(
    invoice: Invoice, place_of, message: str
) -> None:
    """An invalid language or time zone is refused by every function."""
    with pytest.raises(ValidationError, match=message):
        InvoicePDF.enqueue(invoice, **place_of)
    with pytest.raises(ValidationError, match=message):
        shortcuts.enqueue(name="x.pdf", content="x", **place_of)


def test_snapshot_stores_rendered_content(invoice: Invoice) -> None:
    """With `snapshot` the content is rendered and stored at once."""
    job = InvoicePDF.enqueue(invoice, snapshot=True)
    assert "<h1>Invoice 17</h1>" in RenderInput.objects.get(pk=job.pk).content
    assert job.document == "shop.InvoicePDF"


def test_snapshot_is_validated_at_once(invoice: Invoice, settings) -> None:
    """Content that is rendered at once is validated at once, and nothing is stored."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"MAX_CONTENT_BYTES": 10}
    with pytest.raises(ValidationError, match="at most 10 are allowed"):
        InvoicePDF.enqueue(invoice, snapshot=True)
    assert not RenderJob.objects.exists()


def test_empty_snapshot_is_refused(invoice: Invoice, locale_document) -> None:
    """A template that renders nothing is refused, since empty content would be rendered later."""
    locale_document.render = lambda self: " "
    with pytest.raises(ValidationError, match="produced no output"):
        locale_document.enqueue(invoice, snapshot=True)


@pytest.mark.django_db(transaction=True)
def test_snapshot_is_not_rendered_by_the_worker(
    sandbox: Sandbox, invoice: Invoice, locale_document
) -> None:
    """A snapshot does not show later changes, and no worker renders it."""
    locale_document.enqueue(invoice, snapshot=True)
    lifecycle.submit()
    assert len(locale_document.rendered) == 1
    assert sandbox.ledger.create_calls == 1


def test_class_without_template_cannot_be_enqueued(invoice: Invoice) -> None:
    """The class and what it lacks are named; a base class of documents is not a document."""

    class Untitled(Document[Invoice]):
        """Its author has forgotten the template."""

    class Emptied(InvoicePDF):
        """A document is not registered as its base class."""

        template_name = ""

    for document in (Untitled, Emptied):
        for function in (document.enqueue, document.preview_html, document.render_now):
            with pytest.raises(ValidationError, match=rf"{document.__name__} has no template_name"):
                function(invoice)
    with pytest.raises(ImproperlyConfigured, match=r"Untitled\.on\(\) needs .*template_name"):
        Untitled.on(post_save, sender=Invoice)
    assert not RenderJob.objects.exists()


def test_class_that_renders_without_template_makes_snapshots(invoice: Invoice) -> None:
    """A class that overrides `render()` needs no template unless a worker renders it."""

    class Plain(Document[Invoice]):
        """No template."""

        def render(self) -> str:
            return f"<p>{self.source.number}</p>"

    assert Plain.preview_html(invoice) == "<p>17</p>"
    job = Plain.enqueue(invoice, snapshot=True)
    assert RenderInput.objects.get(pk=job.pk).content == "<p>17</p>"
    with pytest.raises(ValidationError, match="Plain has no template_name"):
        Plain.enqueue(invoice)


# --- rendering -------------------------------------------------------------------------------


@pytest.fixture
def reminder_document(tmp_path, settings) -> type[Document[Any]]:
    """A document whose template calls a method of a proxy, and prints a time."""
    (tmp_path / "reminder.html").write_text(
        "<p>{{ source.reminder }}</p>{% load tz %}{{ params.at|date:'H:i' }}"
    )
    settings.TEMPLATES = [settings.TEMPLATES[0] | {"DIRS": [tmp_path]}]

    class Reminder(Document[Any]):
        """Registered during the test."""

        model = OverdueInvoice
        template_name = "reminder.html"

        def get_context(self) -> dict[str, Any]:
            return {"params": {"at": datetime(2026, 1, 1, 12, tzinfo=UTC)}}

    return Reminder


def rendered_by_worker(job: RenderJob) -> str:
    """Return the HTML that a worker would send for a job, without language and time zone."""
    with timezone.override(None), translation.override("en"):
        return compose_request(RenderJob.objects.select_related("input").get(pk=job.pk)).content


@pytest.mark.parametrize("declared", [OverdueInvoice, Invoice, None])
@pytest.mark.parametrize("given", [OverdueInvoice, Invoice])
def test_worker_renders_a_proxy_as_the_preview_does(
    invoice: Invoice, reminder_document, declared: Any, given: Any
) -> None:
    """A proxy's methods work in the worker if the class declares it or the source is one."""
    reminder_document.model = declared
    source = given.objects.get(pk=invoice.pk)
    job = reminder_document.enqueue(source)
    html = reminder_document.preview_html(source)
    assert rendered_by_worker(job) == html
    is_proxy = OverdueInvoice in (declared, given)
    assert html == ("<p>Please pay 17</p>12:00" if is_proxy else "<p></p>12:00")
    assert list(RenderJob.objects.for_source(invoice)) == [job]


def test_source_without_its_proxy_is_loaded_as_the_declared_proxy(
    invoice: Invoice, reminder_document
) -> None:
    """A lazy object, and a job that was enqueued by the label, have the proxy's methods."""
    lazy = SimpleLazyObject(lambda: invoice)
    html = reminder_document.preview_html(lazy)
    assert html == "<p>Please pay 17</p>12:00"
    assert rendered_by_worker(reminder_document.enqueue(lazy)) == html
    label = reminder_document.label
    job = shortcuts.enqueue(name="a.pdf", document=label, source=invoice)
    assert rendered_by_worker(job) == html


@pytest.mark.parametrize(
    ("zone", "time"),
    [
        (fixed_zone(timedelta(hours=2)), "14:00"),
        (fixed_zone(timedelta(hours=-9, minutes=-30)), "02:30"),
        (timezone.get_fixed_timezone(345), "17:45"),
        (ZoneInfo("Asia/Tokyo"), "21:00"),
    ],
    ids=str,
)
def test_worker_renders_in_the_time_zone_of_the_preview(
    invoice: Invoice, reminder_document, zone: Any, time: str
) -> None:
    """The time zone is that in which the job was enqueued, also if it is a fixed offset."""
    with timezone.override(zone):
        html = reminder_document.preview_html(invoice)
        job = reminder_document.enqueue(invoice)
    assert html.endswith(time)
    assert rendered_by_worker(job) == html


def test_offset_can_be_requested(invoice: Invoice, reminder_document) -> None:
    """An offset is a time zone of a class and of a call."""
    reminder_document.time_zone = "+05:30"
    for options, time in (({}, "17:30"), ({"time_zone": "-01:00"}, "11:00")):
        html = reminder_document.preview_html(invoice, **options)
        assert html.endswith(time)
        assert rendered_by_worker(reminder_document.enqueue(invoice, **options)) == html


def test_time_zone_that_cannot_be_stored_is_refused(invoice: Invoice, reminder_document) -> None:
    """A time zone without name and with daylight saving is refused if a worker needs it."""
    with timezone.override(Shifted(has_summer=True)):
        with pytest.raises(ValidationError, match="neither a name nor a fixed offset") as caught:
            reminder_document.enqueue(invoice)
        assert list(caught.value.message_dict) == ["time_zone"]
        assert reminder_document.enqueue(invoice, time_zone="Europe/Vienna")
        assert reminder_document.enqueue(invoice, snapshot=True)


def test_context_has_the_source_under_its_usual_names(invoice: Invoice) -> None:
    """The source is also `object` and named after its model, as in Django's detail views."""
    context = InvoicePDF(invoice).get_base_context()
    assert [context[name] for name in ("source", "object", "invoice")] == [invoice] * 3
    overdue = OverdueInvoice.objects.get(pk=invoice.pk)
    context = InvoicePDF(overdue).get_base_context()
    assert context["overdueinvoice"] is context["invoice"] is overdue
    assert InvoicePDF(None).get_base_context()["object"] is None  # type: ignore[arg-type]


def test_get_context_overrides_the_names_of_the_source(
    invoice: Invoice, monkeypatch: pytest.MonkeyPatch, locale_document
) -> None:
    """What the class gives is not replaced by the source."""
    monkeypatch.setattr(InvoicePDF, "get_context", lambda self: {"source": "mine", "invoice": 1})
    assert "<h1>Invoice </h1>" in InvoicePDF(invoice).render()


def test_render_has_source_and_params(invoice: Invoice) -> None:
    """The template's context has the source and the parameters."""
    assert "<h1>Invoice 17</h1>" in InvoicePDF(invoice).render()


@pytest.mark.django_db(transaction=True)
def test_document_completes(sandbox: Sandbox, documents_dir, invoice: Invoice) -> None:
    """A document becomes a file in the storage."""
    job = run_until_finished(InvoicePDF.enqueue(invoice))
    assert job.state == State.COMPLETED
    assert read_file(job).startswith(b"%PDF-")


@pytest.mark.django_db(transaction=True)
def test_document_is_rendered_by_the_worker(
    sandbox: Sandbox, invoice: Invoice, locale_document
) -> None:
    """The worker renders the current source, with the stored parameters."""
    locale_document.enqueue(invoice, params={"copy": 2})
    lifecycle.submit()
    assert [params for *_, params in locale_document.rendered] == [{"copy": 2}]


@pytest.mark.django_db(transaction=True)
def test_worker_activates_the_stored_locale(
    sandbox: Sandbox, locale_document, invoice: Invoice
) -> None:
    """A worker renders in the stored language and time zone, and then restores its own."""
    with translation.override("de"), timezone.override("Asia/Kathmandu"):
        locale_document.enqueue(invoice)
    lifecycle.submit()
    assert [where for *where, _ in locale_document.rendered] == [["de", "Asia/Kathmandu"]]
    assert translation.get_language() == "en-us"
    assert timezone.get_current_timezone_name() == "UTC"


@pytest.mark.django_db(transaction=True)
def test_document_may_define_its_locale(
    sandbox: Sandbox, locale_document, invoice: Invoice
) -> None:
    """A document's own language and time zone override those of the request."""
    locale_document.get_language = lambda self: "fr" if self.source.number == "17" else None
    locale_document.time_zone = "Europe/Vienna"
    with translation.override("de"):
        locale_document.enqueue(invoice)
        locale_document.enqueue(invoice, language="es", time_zone="Asia/Tokyo")
    lifecycle.submit()
    found = {tuple(where) for *where, _ in locale_document.rendered}
    assert found == {("fr", "Europe/Vienna"), ("es", "Asia/Tokyo")}


def test_preview_html_stores_and_sends_nothing(invoice: Invoice, locale_document) -> None:
    """The preview is the HTML in the document's language; nothing is stored or sent."""
    locale_document.language = "de"
    assert locale_document.preview_html(invoice, params={"copy": 2}) == "<p>here</p>"
    assert locale_document.rendered == [("de", "UTC", {"copy": 2})]
    assert "<h1>Invoice 17</h1>" in InvoicePDF.preview_html(invoice)
    assert not RenderJob.objects.exists()


def test_render_now_returns_bytes_without_a_job(sandbox: Sandbox, invoice: Invoice) -> None:
    """A synchronous call returns the document's bytes, and no job is stored."""
    assert InvoicePDF.render_now(invoice).startswith(b"%PDF-")
    assert not RenderJob.objects.exists()
    assert [call.path for call in sandbox.calls] == ["/docs"]


def test_render_now_writes_to_a_file(sandbox: Sandbox, invoice: Invoice) -> None:
    """With a target the document is written to it, and its size is returned."""
    target = BytesIO()
    download = InvoicePDF.render_now(invoice, target, document_type="xlsx")
    assert target.getvalue().startswith(b"PK")
    assert download.size == len(target.getvalue())


# --- permissions -----------------------------------------------------------------------------


def test_owner_may_download_by_default(locale_document, invoice: Invoice) -> None:
    """By default the owner may download the document, and others may not."""
    anna = get_user_model().objects.create(username="anna")
    ben = get_user_model().objects.create(username="ben")
    job = locale_document.enqueue(invoice, owner=anna)
    assert locale_document.may_download(anna, job)
    assert not locale_document.may_download(ben, job)


def test_may_download_decides_for_users_who_are_logged_in(
    client: Client, locale_document, invoice: Invoice, documents_dir
) -> None:
    """The download view calls the class's rule, but never for an anonymous user."""
    locale_document.may_download = classmethod(
        lambda cls, user, job: job.source.number == user.username
    )
    documents_dir.mkdir()
    (documents_dir / "a.xlsx").write_bytes(b"PK")
    anna = get_user_model().objects.create(username="anna")
    job = locale_document.enqueue(invoice, owner=anna)
    RenderJob.objects.update(state=State.COMPLETED, due_at=None, file="a.xlsx")
    address = job.get_absolute_url()
    assert client.get(address).status_code == 404
    client.force_login(anna)
    assert client.get(address).status_code == 404
    client.force_login(get_user_model().objects.create(username="17"))
    assert b"".join(client.get(address)) == b"PK"


# --- errors ----------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_worker_restores_a_fixed_offset(
    sandbox: Sandbox, locale_document, invoice: Invoice
) -> None:
    """A fixed offset, which has no name, is restored."""
    with timezone.override(timezone.get_fixed_timezone(90)):
        job = locale_document.enqueue(invoice)
    lifecycle.submit()
    assert RenderJob.objects.get(pk=job.pk).state == State.QUEUED
    assert locale_document.rendered[0][1] == "UTC+01:30"


@pytest.mark.django_db(transaction=True)
def test_deleted_source_fails_the_job(sandbox: Sandbox, invoice: Invoice) -> None:
    """A source that was deleted before rendering fails the job, and nothing is sent."""
    job = InvoicePDF.enqueue(invoice)
    invoice.delete()
    job = run_until_finished(job)
    assert (job.state, job.error_code) == (State.FAILED, "template_error")
    assert "SourceGoneError" in job.errors
    assert sandbox.ledger.create_calls == 0


@pytest.mark.django_db(transaction=True)
def test_template_error_fails_the_job_with_a_traceback(sandbox: Sandbox, invoice: Invoice) -> None:
    """A template error fails the job with its traceback in the history, and nothing is sent."""
    job = run_until_finished(Broken.enqueue(invoice))
    assert (job.state, job.error_code) == (State.FAILED, "template_error")
    failed = job.events.get(kind="failed")
    assert "RuntimeError: no such total" in failed.message
    assert "in get_context" in failed.message
    assert failed.message == job.errors
    assert event_kinds(job) == ["enqueued", "failed"]
    assert sandbox.ledger.create_calls == 0


@pytest.mark.django_db(transaction=True)
def test_unregistered_document_fails_the_job(sandbox: Sandbox, invoice: Invoice) -> None:
    """A job of a removed class fails with a configuration error."""
    job = shortcuts.enqueue(name="removed.pdf", document="shop.Removed", source=invoice)
    job = run_until_finished(job)
    assert (job.state, job.error_code) == (State.FAILED, "configuration_error")
    assert "shop.Removed" in job.errors
    assert sandbox.ledger.create_calls == 0


@pytest.mark.django_db(transaction=True)
def test_rendered_content_is_validated_before_sending(
    sandbox: Sandbox, settings, invoice: Invoice
) -> None:
    """Rendered content is validated like given content, before it is sent."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"MAX_CONTENT_BYTES": 10}
    job = run_until_finished(InvoicePDF.enqueue(invoice))
    assert (job.state, job.error_code) == (State.FAILED, "invalid_request")
    assert sandbox.ledger.create_calls == 0


# --- hosted documents, and where files go ------------------------------------------------------


@pytest.fixture
def hosted_document() -> type[Document[Invoice]]:
    """A document class that is hosted."""

    class Programme(Document[Invoice]):
        """Registered during the test."""

        template_name = "shop/invoice.html"
        hosted = True
        hosted_lifetime = timedelta(days=30)
        hosted_download_limit = 9
        storage = "default"

    return Programme


def test_hosted_class_sets_lifetime_and_limit(
    hosted_document: type[Document[Invoice]], invoice: Invoice
) -> None:
    """The class defines that its documents are hosted, how long and how often."""
    job = hosted_document.enqueue(invoice)
    assert job.hosted
    assert job.hosted_expires_at is not None
    left = job.hosted_expires_at - timezone.now()
    assert timedelta(days=29) < left < timedelta(days=31)
    assert job.input.options["hosted_download_limit"] == 9
    assert job.storage == "default"


def test_call_overrides_hosted(hosted_document: type[Document[Invoice]], invoice: Invoice) -> None:
    """The call's argument overrides the class's, both ways."""
    private = hosted_document.enqueue(invoice, hosted=False, storage="")
    assert (private.hosted, private.hosted_expires_at, private.storage) == (False, None, "")
    assert private.input.options == {}
    assert InvoicePDF.enqueue(invoice, hosted=True).hosted


def test_updated_hosted_job_has_a_new_expiry_time(
    hosted_document: type[Document[Invoice]], invoice: Invoice
) -> None:
    """An update brings a new expiry time; a private document is another one."""
    first = shortcuts.enqueue_or_update(hosted_document.spec(invoice))
    again = shortcuts.enqueue_or_update(hosted_document.spec(invoice))
    assert again == first
    assert first.hosted_expires_at is not None
    assert again.hosted_expires_at is not None
    assert again.hosted_expires_at > first.hosted_expires_at
    again.input.refresh_from_db()
    assert again.input.options["hosted_expires_at"] == again.hosted_expires_at.isoformat()
    assert shortcuts.enqueue_or_update(hosted_document.spec(invoice, hosted=False)) != first


def test_render_now_of_a_hosted_class_is_private(
    hosted_document: type[Document[Invoice]], invoice: Invoice, sandbox: Sandbox
) -> None:
    """A document that is returned as bytes is not published."""
    assert hosted_document.render_now(invoice).startswith(b"%PDF-")
    assert [entry.hosted for entry in sandbox.ledger.accepted()] == [False]


class OfShop(Document[Invoice]):
    """A document whose account follows from its object."""

    template_name = "shop/invoice.html"
    account = "north"

    def get_account(self) -> str:
        """Return the account that follows from the invoice."""
        return "vip" if self.source.number == "vip" else super().get_account()


ACCOUNTS = {"north": {"TEST_MODE": False}, "vip": {}, "south": {}}


@pytest.mark.django_db
def test_account_of_a_document(settings) -> None:
    """The class's account, or the one that follows from the object, is that of the job."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"ACCOUNTS": ACCOUNTS}
    plain, vip = (Invoice.objects.create(number=name) for name in ("a", "vip"))
    jobs = [OfShop.enqueue(plain), OfShop.enqueue(vip), OfShop.enqueue(vip, account="south")]
    assert [(job.account, job.test) for job in jobs] == [
        ("north", False),
        ("vip", True),
        ("south", True),
    ]
    with pytest.raises(ValidationError, match="Did you mean 'south'"):
        OfShop.enqueue(vip, account="soth")
    assert OfShop._docraptor_accounts() == ("default", "north", "south", "vip")
    assert InvoicePDF._docraptor_accounts() == ("default",)


@pytest.mark.django_db(transaction=True)
def test_trigger_has_the_account_of_its_document(settings) -> None:
    """What a signal enqueues is made by the document's account."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"ACCOUNTS": ACCOUNTS}
    trigger = OfShop.on_save()
    try:
        Invoice.objects.create(number="vip")
    finally:
        trigger.disconnect()
    assert RenderJob.objects.get().account == "vip"
