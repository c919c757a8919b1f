"""Passwords in options: DocRaptor gets them, and no row, page, message or hash shows them."""

import json
import logging
import sys
from collections.abc import Iterator
from datetime import timedelta
from io import BytesIO
from typing import Any, BinaryIO, ClassVar

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.test import Client as Browser
from django.test import override_settings
from django.urls import reverse

from django_docraptor import again, cancel, enqueue, enqueue_or_update, render_now
from django_docraptor.client import Client, SavedDocument
from django_docraptor.documents import Document
from django_docraptor.lifecycle import transitions
from django_docraptor.lifecycle.composition import compose_request
from django_docraptor.lifecycle.reuse import request_hash
from django_docraptor.models import RenderEvent, RenderInput, RenderJob
from django_docraptor.models.clock import Now
from django_docraptor.payloads import DocumentRequest, PrinceOptions
from django_docraptor.responses import DocumentResponse
from django_docraptor.responses.idempotency import with_idempotency_key
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.shortcuts import JobSpec, retry
from django_docraptor.states import State
from tests.apps.shop.models import Invoice
from tests.support.jobs import HTML, run_until_finished

pytestmark = pytest.mark.django_db(transaction=True)

OPTIONS = {"prince_options": {"user_password": "canary", "media": "print"}}


class RecordingClient(Client):
    """Remembers the passwords that it sends."""

    sent: ClassVar[list[str | None]] = []

    def create_async_doc(self, request: DocumentRequest) -> str:
        self.sent.append(request.prince_options.user_password)
        return super().create_async_doc(request)

    def create_doc(self, request: DocumentRequest, target: BinaryIO) -> SavedDocument:
        self.sent.append(request.prince_options.user_password)
        return super().create_doc(request, target)


@pytest.fixture
def sent(sandbox: Sandbox, documents_dir: Any, settings: Any) -> Iterator[list[str | None]]:
    """The passwords that are sent."""
    path = f"{__name__}.RecordingClient"
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"CLIENT": path}
    yield RecordingClient.sent
    RecordingClient.sent.clear()


@pytest.fixture
def locked() -> type[Document[Invoice]]:
    """A document whose password is computed in the worker: the invoice's number."""

    class Locked(Document[Invoice]):
        """Registered during the test."""

        model = Invoice
        template_name = "shop/locked.html"
        reuse = timedelta(days=1)

        def render(self) -> str:
            return HTML

        def get_secret_options(self) -> Any:
            return {"prince_options": {"user_password": f"canary-{self.source.number}"}}

    return Locked


@pytest.fixture
def without_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package cryptography is not installed."""
    for name in ("cryptography", "cryptography.fernet"):
        monkeypatch.setitem(sys.modules, name, None)


def rows() -> str:
    """Return every column of every row."""
    models = (RenderJob, RenderInput, RenderEvent)
    return json.dumps([list(model.objects.values()) for model in models], default=str)


# --- passed at enqueue -----------------------------------------------------------------------


@pytest.mark.fault("X7")
@pytest.mark.parametrize("where", ["options", "DEFAULTS", "PrinceOptions"])
def test_password_is_sent_and_not_shown(
    sent: list[str | None], settings: Any, client: Browser, caplog: Any, where: str
) -> None:
    """Before and after its job is finished, the password is in no row, page, log or repr."""
    caplog.set_level(logging.DEBUG)
    if where == "DEFAULTS":
        settings.DOCRAPTOR = settings.DOCRAPTOR | {"DEFAULTS": OPTIONS}
    options: Any = {"DEFAULTS": {}, "options": OPTIONS}.get(
        where, {"prince_options": PrinceOptions(user_password="canary")}
    )
    job = enqueue(name="a.pdf", content=HTML, options=options)
    client.force_login(User.objects.create_superuser("admin"))
    url = reverse("admin:django_docraptor_renderjob_change", args=[job.pk])
    for is_finished in (False, True):
        job = run_until_finished(job) if is_finished else job
        page = client.get(url).content.decode()
        told = [rows(), page, caplog.text, repr(job), str(job.input), repr(job.input.options)]
        assert [text for text in told if "canary" in text] == []
        assert "encrypted:" not in page
    assert job.state == State.COMPLETED
    assert sent == ["canary"]


def test_failed_job_is_retried_with_its_password(sandbox: Sandbox, sent: list[str | None]) -> None:
    """The password is kept for a retry."""
    sandbox.add_fault(Fault(on="create", action="status", status_code=422, times=1))
    job = run_until_finished(enqueue(name="a.pdf", content=HTML, options=OPTIONS))
    assert job.state == State.FAILED
    assert retry(job)
    assert run_until_finished(job).state == State.COMPLETED
    assert sent == ["canary", "canary"]


@pytest.mark.fault("X7")
@pytest.mark.usefixtures("sandbox", "documents_dir")
@pytest.mark.parametrize("way", ["stored", "hosted", "reused"])
def test_password_is_deleted_when_the_document_is_completed(way: str) -> None:
    """Nothing needs it any more, however the document was completed; other options stay."""
    given: dict[str, Any] = {"hosted": True} if way == "hosted" else {}
    if way == "reused":
        given = {"source": Invoice.objects.create(number="17"), "reuse": timedelta(days=1)}
        run_until_finished(enqueue(name="a.pdf", content=HTML, options=OPTIONS, **given))
    job = enqueue(name="a.pdf", content=HTML, options=OPTIONS, **given)
    assert job.has_secrets
    job = run_until_finished(job)
    assert (job.state, job.has_secrets) == (State.COMPLETED, False)
    assert job.input.options == {"prince_options": {"user_password": "deleted", "media": "print"}}


@pytest.mark.fault("X7")
@pytest.mark.usefixtures("sandbox", "documents_dir")
def test_password_of_an_update_is_deleted_too() -> None:
    """A pending job that is updated has the password of the latest request, or none."""
    given = {"name": "a.pdf", "content": HTML, "source": Invoice.objects.create(number="17")}
    job = enqueue_or_update(JobSpec(**given))
    for options in ({}, OPTIONS, {}, OPTIONS):
        assert enqueue_or_update(JobSpec(**given, options=options)) == job
        job.refresh_from_db()
        assert job.has_secrets == bool(options)
    assert run_until_finished(job).state == State.COMPLETED
    assert "encrypted:" not in rows()


def test_completion_and_deletion_of_the_password_are_one_step(
    sent: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that dies between the two leaves a job that is completed again, not a password."""

    def die(options: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    job = enqueue(name="a.pdf", content=HTML, options=OPTIONS)
    with monkeypatch.context() as patched:
        patched.setattr(transitions, "delete_secrets", die)
        with pytest.raises(KeyboardInterrupt):
            run_until_finished(job)
    job.refresh_from_db()
    assert (job.state, job.has_secrets) == (State.DOWNLOADING, True)
    RenderJob.objects.update(due_at=Now())
    assert run_until_finished(job).state == State.COMPLETED
    assert "encrypted:" not in rows()
    assert sent == ["canary"]


@pytest.mark.parametrize("where", ["DEFAULTS", "class"])
def test_another_document_has_the_declared_password(
    sent: list[str | None], settings: Any, where: str
) -> None:
    """A password of the settings or the class is that of now."""

    class Sealed(Document[Invoice]):
        """Registered during the test."""

        model = Invoice
        template_name = "shop/locked.html"
        options: ClassVar[Any] = OPTIONS if where == "class" else {}

        def render(self) -> str:
            return HTML

    def declare(password: str) -> None:
        options = {"prince_options": {"user_password": password}}
        if where == "class":
            Sealed.options = options
        else:
            settings.DOCRAPTOR = settings.DOCRAPTOR | {"DEFAULTS": options}

    declare("canary")
    job = run_until_finished(Sealed.enqueue(Invoice.objects.create(number="17")))
    declare("encrypted:renewed")  # not taken for a stored one
    assert run_until_finished(again(job)).state == State.COMPLETED
    assert sent == ["canary", "encrypted:renewed"]


def test_another_document_without_its_password_is_refused(sent: list[str | None]) -> None:
    """It would be open to everybody. A failed job still has its password."""
    # The tag only looks like what stands for a deleted password.
    job = run_until_finished(
        enqueue(name="a.pdf", content=HTML, options=OPTIONS | {"tag": "deleted"})
    )
    with pytest.raises(ValidationError, match=r"prince_options\.user_password: deleted"):
        again(job)
    assert RenderJob.objects.count() == 1
    failed = enqueue(name="b.pdf", content=HTML, options=OPTIONS)
    assert cancel(failed)
    failed.refresh_from_db()
    assert run_until_finished(again(failed)).state == State.COMPLETED
    assert sent == ["canary", "canary"]


def test_changed_secret_key_fails_the_job_and_tells_the_remedy(sent: list[str | None]) -> None:
    """Nothing is sent without the password; with the former key as a fallback, a retry is."""
    with override_settings(SECRET_KEY="former"):
        job = enqueue(name="a.pdf", content=HTML, options=OPTIONS)
    job = run_until_finished(job)
    assert (job.state, job.error_code, sent) == (State.FAILED, "configuration_error", [])
    assert "SECRET_KEY_FALLBACKS" in job.errors
    assert retry(job)
    with override_settings(SECRET_KEY_FALLBACKS=["former"]):
        assert run_until_finished(job).state == State.COMPLETED
    assert sent == ["canary"]


@pytest.mark.usefixtures("without_library")
def test_without_the_library_a_password_is_not_stored(sent: list[str | None]) -> None:
    """A job with a password is refused; a synchronous call, which stores nothing, is not."""
    with pytest.raises(ValidationError, match=r"django-docraptor\[passwords\]"):
        enqueue(name="a.pdf", content=HTML, options=OPTIONS)
    assert not RenderJob.objects.exists()
    render_now(BytesIO(), name="a.pdf", content=HTML, options=OPTIONS)
    assert sent == ["canary"]


# --- computed in the worker ------------------------------------------------------------------


@pytest.mark.fault("X7")
@pytest.mark.usefixtures("without_library")
@pytest.mark.parametrize("snapshot", [False, True])
def test_computed_password_is_never_stored(
    sent: list[str | None], locked: type[Document[Invoice]], snapshot: bool
) -> None:
    """It is computed for each attempt, with the source as it is then, and needs no library."""
    invoice = Invoice.objects.create(number="17")
    job = locked.enqueue(invoice, snapshot=snapshot)
    assert job.input.options == {}
    Invoice.objects.update(number="18")
    assert run_until_finished(job).state == State.COMPLETED
    assert sent == ["canary-18"]
    assert "canary" not in rows()


def test_computed_password_overrides_and_keeps_other_options(
    sent: list[str | None], locked: type[Document[Invoice]]
) -> None:
    """Options are merged one by one."""
    job = locked.enqueue(Invoice.objects.create(number="17"), options=OPTIONS)
    request = compose_request(job)
    assert request.prince_options == PrinceOptions(user_password="canary-17", media="print")


def test_synchronous_calls_compute_the_password(
    sent: list[str | None], locked: type[Document[Invoice]]
) -> None:
    """A call without a job has it, too, by the class and by a spec."""
    invoice = Invoice.objects.create(number="17")
    assert locked.render_now(invoice).startswith(b"%PDF-")
    DocumentResponse.render_now(locked.spec(invoice, snapshot=True)).close()
    assert sent == ["canary-17", "canary-17"]


@pytest.mark.fault("X7")
def test_password_that_is_no_text_is_not_repeated(
    sent: list[str | None], locked: type[Document[Invoice]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error of a job names the option, not its value."""
    wrong = {"prince_options": {"user_password": b"canary"}}
    monkeypatch.setattr(locked, "get_secret_options", lambda self: wrong)
    job = run_until_finished(locked.enqueue(Invoice.objects.create(number="17")))
    assert (job.state, sent) == (State.FAILED, [])
    assert "prince_options" in job.errors
    assert "canary" not in job.errors


# --- comparisons -----------------------------------------------------------------------------


def test_other_password_is_another_document(
    sent: list[str | None], locked: type[Document[Invoice]]
) -> None:
    """A document is copied if its password is the same, and made if it is another."""
    invoice = Invoice.objects.create(number="17")
    for number in ("17", "17", "18"):
        Invoice.objects.update(number=number)
        assert run_until_finished(locked.enqueue(invoice)).state == State.COMPLETED
    assert sent == ["canary-17", "canary-18"]


@pytest.mark.fault("X7")
def test_hashes_do_not_allow_guessing() -> None:
    """The hashes of a request with a password depend on SECRET_KEY; those of others do not."""
    plain = DocumentRequest(name="a.pdf", content=HTML)
    secret = DocumentRequest(
        name="a.pdf", content=HTML, prince_options=PrinceOptions(user_password="canary")
    )

    def hashes(options: dict[str, Any], request: DocumentRequest) -> tuple[str, str | None]:
        spec = JobSpec(name="a.pdf", content=HTML, options=options)
        return request_hash(request), with_idempotency_key(spec).idempotency_key

    before = hashes({}, plain), hashes(OPTIONS, secret)
    with override_settings(SECRET_KEY="another"):
        after = hashes({}, plain), hashes(OPTIONS, secret)
    assert before[0] == after[0]
    assert not set(before[1]) & set(after[1])
