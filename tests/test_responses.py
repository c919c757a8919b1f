"""Documents as answers: headers, the wait, the waiting page, and that a reload is never billed."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.files.storage import FileSystemStorage
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponseBase
from django.test import RequestFactory
from django.urls import reverse

from django_docraptor import lifecycle, shortcuts
from django_docraptor.exceptions import NotADocumentError, ServerError
from django_docraptor.models import RenderJob
from django_docraptor.responses import DocumentResponse, document_response, download_response
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.shortcuts import JobSpec
from django_docraptor.states import State
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice
from tests.support.jobs import HTML, run_until_finished
from tests.support.threads import background_worker

pytestmark = pytest.mark.django_db

PAGE = "http://testserver/invoices/?page=2"


@pytest.fixture
def owner() -> AbstractBaseUser:
    """Who asks for the document."""
    return get_user_model().objects.create_user("owner", password=None)


@pytest.fixture
def request_(rf: RequestFactory, owner: AbstractBaseUser) -> HttpRequest:
    """The owner's request, from a page of the site."""
    request = rf.get("/invoices/17/pdf/", headers={"Referer": PAGE})
    request.user = owner
    return request


@pytest.fixture
def quick(sandbox: Sandbox, settings: Any) -> Sandbox:
    """A service whose documents are looked for often."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"POLL": {"floor": 0.05}}
    return sandbox


def order(**changes: Any) -> JobSpec:
    """A small order for the bill."""
    return JobSpec(**{"name": "hello.pdf", "content": HTML, "test": False, **changes})


def answer(request: HttpRequest, **changes: Any) -> HttpResponseBase:
    """What a request that does not wait gets for an order."""
    return document_response(request, order(**changes), wait=0)


def body(response: Any) -> bytes:
    """What is streamed; the file is closed, as the server does (who would end our transaction)."""
    content: bytes = response.getvalue()
    for close in response._resource_closers:
        close()
    return content


# --- DocumentResponse ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document_type", "content_type"),
    [
        ("pdf", "application/pdf"),
        ("xls", "application/vnd.ms-excel"),
        ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ],
)
def test_headers(document_type: str, content_type: str) -> None:
    """A document says what it is and how long; nobody keeps it or guesses at it."""
    response = DocumentResponse(BytesIO(b"12345"), name="größe", document_type=document_type)
    assert response["Content-Type"] == content_type
    assert response["Content-Length"] == "5"
    named = f"inline; filename*=utf-8''gr%C3%B6%C3%9Fe.{document_type}"
    assert response["Content-Disposition"] == named
    assert response["X-Content-Type-Options"] == "nosniff"
    assert {"private", "no-store"} <= set(response["Cache-Control"].split(", "))


def test_headers_attachment() -> None:
    """On request the browser saves it."""
    response = DocumentResponse(BytesIO(b"1"), name="a", document_type="pdf", as_attachment=True)
    assert response["Content-Disposition"] == 'attachment; filename="a.pdf"'


def test_now(sandbox: Sandbox, settings: Any) -> None:
    """One synchronous call, streamed from a file on disk that is gone afterwards."""
    response = DocumentResponse.render_now(order(test=True))
    assert len(list(settings.DOCRAPTOR["SPOOL_DIR"].iterdir())) == 1
    content = body(response)
    assert content.startswith(b"%PDF-")
    assert response["Content-Length"] == str(len(content))
    assert [entry.asynchronous for entry in sandbox.ledger.accepted()] == [False]
    assert not RenderJob.objects.exists()
    assert list(settings.DOCRAPTOR["SPOOL_DIR"].iterdir()) == []


def test_now_of_a_class(sandbox: Sandbox) -> None:
    """A declared document, as it is at this moment."""
    invoice = Invoice.objects.create(number="17")
    response = DocumentResponse.render_now(
        InvoicePDF.spec(invoice, snapshot=True), as_attachment=True
    )
    assert response["Content-Disposition"] == 'attachment; filename="invoice-17.pdf"'
    assert body(response).startswith(b"%PDF-")


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(on="create", action="status", status_code=500), ServerError),
        (Fault(on="create", action="cut", mode="close", keep_bytes=40), NotADocumentError),
    ],
    ids=["error", "cut"],
)
def test_now_fails(sandbox: Sandbox, settings: Any, fault: Fault, error: type[Exception]) -> None:
    """What is no document is an error, not an answer; it leaves nothing on disk."""
    sandbox.add_fault(fault)
    with pytest.raises(error):
        DocumentResponse.render_now(order(test=True))
    assert list(settings.DOCRAPTOR["SPOOL_DIR"].iterdir()) == []


def test_now_fails_without_telling_the_key(sandbox: Sandbox, settings: Any) -> None:
    """The error quotes what came without the API key, and speaks of no file that is gone."""
    key = settings.DOCRAPTOR["API_KEY"]
    sandbox.add_fault(Fault(on="create", action="status", status_code=200, reason=f"Bad key {key}"))
    with pytest.raises(NotADocumentError, match="Bad key") as caught:
        DocumentResponse.render_now(order(test=True))
    assert key not in str(caught.value)
    assert ".bad" not in str(caught.value)


# --- the wait --------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_quick_document_is_in_the_first_answer(quick: Sandbox, request_, documents_dir) -> None:
    """While a worker makes it the request waits, and streams it: one document on the bill."""
    with background_worker():
        response = document_response(request_, order(), wait=20)
    assert response.status_code == 200
    assert body(response).startswith(b"%PDF-")
    assert response["Content-Disposition"] == 'inline; filename="hello.pdf"'
    assert [entry.billed for entry in quick.ledger.accepted()] == [True]


@pytest.mark.django_db(transaction=True)
def test_slow_document_has_a_waiting_page(request_: HttpRequest) -> None:
    """When nobody makes it in time, the answer is where to wait; the job goes on."""
    before = time.monotonic()
    response = document_response(request_, order(), wait=0.4)
    assert 0.4 <= time.monotonic() - before < 5
    job = RenderJob.objects.get()
    assert response.status_code == 302
    target = urlsplit(response["Location"])
    assert target.path == reverse("django_docraptor:status", args=[job.pk])
    assert parse_qs(target.query) == {"inline": ["1"], "back": [PAGE]}
    assert "no-store" in response["Cache-Control"]
    assert job.state == State.PENDING


def test_wait_in_a_transaction(request_: HttpRequest) -> None:
    """No worker sees a job before the commit: there is nothing to wait for."""
    before = time.monotonic()
    assert document_response(request_, order(), wait=20).status_code == 302
    assert time.monotonic() - before < 5


def test_as_attachment(request_: HttpRequest) -> None:
    """A document to be saved waits to be saved."""
    response = document_response(request_, order(), wait=0, as_attachment=True, back="/there/")
    assert parse_qs(urlsplit(response["Location"]).query) == {"back": ["/there/"]}


def test_back_to_another_site(request_: HttpRequest) -> None:
    """A link from elsewhere does not lead back there."""
    request_.META["HTTP_REFERER"] = "https://evil.example/"
    assert "evil" not in answer(request_)["Location"]


def test_failed_document(request_: HttpRequest, sandbox: Sandbox) -> None:
    """One that could not be made has its page too."""
    sandbox.add_fault(Fault(on="render", action="fail"))
    first = answer(request_)
    run_until_finished(RenderJob.objects.get())
    assert answer(request_)["Location"] == first["Location"]


# --- never billed twice ----------------------------------------------------------------------


def test_reload(request_: HttpRequest, sandbox: Sandbox, documents_dir) -> None:
    """The same document is made once, while it waits, when it is there, and ever after."""
    for _ in range(2):
        assert answer(request_).status_code == 302
    run_until_finished(RenderJob.objects.get())
    for _ in range(2):
        assert body(answer(request_)).startswith(b"%PDF-")
    assert len(sandbox.ledger.accepted()) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"content": HTML + "<p>1</p>"},
        {"name": "other.pdf"},
        {"document_type": "xlsx"},
        {"options": {"javascript": True}},
        {"test": True},
        {"account": "other"},
        {"idempotency_key": "mine"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_another_document(request_: HttpRequest, changes: dict[str, Any]) -> None:
    """Whatever is sent differently is another document."""
    assert answer(request_)["Location"] != answer(request_, **changes)["Location"]


def test_defaults_count(request_: HttpRequest, settings: Any) -> None:
    """The project's defaults are part of what is sent."""
    first = answer(request_)["Location"]
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"DEFAULTS": {"javascript": True}}
    assert answer(request_)["Location"] != first


def test_other_users_have_their_own(request_: HttpRequest) -> None:
    """Nobody is given a job of somebody else's."""
    first = answer(request_)["Location"]
    request_.user = get_user_model().objects.create_user("other", password=None)
    assert answer(request_)["Location"] != first
    assert RenderJob.objects.count() == 2


def test_cancelled_document(request_: HttpRequest) -> None:
    """One that was given up is made anew, once."""
    first = answer(request_)["Location"]
    shortcuts.cancel(RenderJob.objects.get())
    second, third = answer(request_)["Location"], answer(request_)["Location"]
    assert first != second
    assert second == third


def test_removed_document(request_: HttpRequest, sandbox: Sandbox, documents_dir) -> None:
    """One whose file was removed is made anew."""
    answer(request_)
    run_until_finished(RenderJob.objects.get())
    RenderJob.objects.update(file="")
    assert answer(request_).status_code == 302
    assert RenderJob.objects.count() == 2


def test_hosted_document(request_: HttpRequest, sandbox: Sandbox, documents_dir) -> None:
    """It is redirected to; reloading makes no other one, until it has ended."""
    answer(request_, hosted=True)
    job = run_until_finished(RenderJob.objects.get())
    response = answer(request_, hosted=True)
    assert (response.status_code, response["Location"]) == (302, job.public_url)
    assert answer(request_)["Location"] != job.public_url
    assert RenderJob.objects.count() == 2
    shortcuts.expire(job)
    answer(request_, hosted=True)
    assert RenderJob.objects.filter(hosted=True).count() == 2


@pytest.mark.parametrize("given", [{"url": "https://shop.example/17"}, {"document": "shop.X"}])
def test_unknown_content(request_: HttpRequest, given: dict[str, Any]) -> None:
    """Without content there is no telling a reload from a new document: say when it is new."""
    with pytest.raises(ValidationError) as caught:
        answer(request_, content="", **given)
    assert list(caught.value.message_dict) == ["idempotency_key"]
    assert not RenderJob.objects.exists()
    assert answer(request_, content="", idempotency_key="17-1", **given).status_code == 302


def test_key_of_somebody_else(request_: HttpRequest) -> None:
    """A key that another user's job has opens nothing."""
    answer(request_, idempotency_key="17-1")
    request_.user = get_user_model().objects.create_user("other", password=None)
    with pytest.raises(PermissionDenied):
        answer(request_, idempotency_key="17-1")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("around", [nullcontext, transaction.atomic], ids=["alone", "atomic"])
def test_refused_order(
    request_: HttpRequest, sandbox: Sandbox, published_tasks, monkeypatch, around: Callable[[], Any]
) -> None:
    """What the document's rule refuses is not made, not billed and rings nobody."""
    monkeypatch.setattr(InvoicePDF, "may_download", lambda user, job: False)
    with around(), pytest.raises(PermissionDenied):
        answer(request_, document=InvoicePDF.label)
    assert not RenderJob.objects.exists()
    lifecycle.run_once()
    assert sandbox.ledger.entries == ()
    assert published_tasks == []


@pytest.mark.django_db(transaction=True)
def test_refused_order_of_a_job_that_is_there(
    request_: HttpRequest, sandbox: Sandbox, documents_dir, published_tasks, monkeypatch
) -> None:
    """A refusal leaves the job that has the key as it is."""
    answer(request_, document=InvoicePDF.label, idempotency_key="17-1")
    job = run_until_finished(RenderJob.objects.get())
    before = RenderJob.objects.values().get()
    published_tasks.clear()
    monkeypatch.setattr(InvoicePDF, "may_download", lambda user, job: False)
    with pytest.raises(PermissionDenied):
        answer(request_, document=InvoicePDF.label, idempotency_key="17-1")
    assert RenderJob.objects.values().get() == before
    assert job.state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) == 1
    assert published_tasks == []


def test_anonymous(request_: HttpRequest) -> None:
    """Nobody in particular has no documents."""
    request_.user = AnonymousUser()
    with pytest.raises(PermissionDenied):
        answer(request_)
    assert not RenderJob.objects.exists()


# --- serve -----------------------------------------------------------------------------------


class PublicBucket(FileSystemStorage):
    """A storage that could sign its addresses, and is told not to."""

    querystring_auth = False

    def url(self, name: str, expire: int = 0) -> str:
        return f"https://files.example/{name}"


class OwnDomain(FileSystemStorage):
    """A storage under a domain of its own that leaves it to its class whether it signs."""

    custom_domain = "files.example"

    def url(self, name: str, expire: int = 0) -> str:
        return f"https://{self.custom_domain}/{name}"


class OwnDomainOfS3(OwnDomain):
    """As that of S3: it signs with CloudFront's key alone, whatever ``querystring_auth`` says."""

    querystring_auth = True
    cloudfront_signer: object = None


class OwnDomainOfCloudFront(OwnDomainOfS3):
    """As that of S3 with CloudFront's key."""

    cloudfront_signer = object()


def keep_in(storage: type[FileSystemStorage], settings: Any, documents: Path) -> None:
    """Change the storage's class; the files stay where they are."""
    backend = {"BACKEND": f"{__name__}.{storage.__name__}", "OPTIONS": {"location": documents}}
    settings.STORAGES = settings.STORAGES | {"docraptor": backend}


def test_serve_without_file(sandbox: Sandbox, documents_dir) -> None:
    """A completed job whose file was removed has no document."""
    job = run_until_finished(shortcuts.enqueue(name="hello.pdf", content=HTML))
    job.file = ""
    with pytest.raises(Http404):
        download_response(job)


def test_serve_from_a_public_storage(sandbox: Sandbox, settings: Any, documents_dir: Path) -> None:
    """An address that does not expire is given to nobody: the file is streamed."""
    job = run_until_finished(shortcuts.enqueue(name="hello.pdf", content=HTML))
    keep_in(PublicBucket, settings, documents_dir)
    assert body(download_response(job)).startswith(b"%PDF-")


@pytest.mark.parametrize(
    ("storage", "status"),
    [(OwnDomainOfS3, 200), (OwnDomainOfCloudFront, 302), (OwnDomain, 302)],
    ids=["s3", "cloudfront", "azure"],
)
def test_serve_from_a_domain_of_ones_own(
    sandbox: Sandbox, settings: Any, documents_dir: Path, storage: type[OwnDomain], status: int
) -> None:
    """S3's addresses do not expire there, unless CloudFront's key signs them; Azure's do."""
    job = run_until_finished(shortcuts.enqueue(name="hello.pdf", content=HTML))
    keep_in(storage, settings, documents_dir)
    response = download_response(job)
    assert response.status_code == status
    if status == 200:
        assert body(response).startswith(b"%PDF-")
