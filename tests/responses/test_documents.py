"""Views that return a document: the wait, the status page, permissions."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest
from django.urls import reverse

from django_docraptor import lifecycle
from django_docraptor.models import RenderJob
from django_docraptor.responses import document_response
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.states import State
from tests.apps.shop.documents import InvoicePDF
from tests.support.jobs import run_until_finished
from tests.support.responses import PAGE, make_spec, read_body, respond
from tests.support.threads import background_worker

pytestmark = pytest.mark.django_db


# --- the wait --------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_fast_document_is_in_the_first_response(
    fast_polling: Sandbox, request_, documents_dir
) -> None:
    """If a worker finishes in time, the document is streamed at once and billed once."""
    with background_worker():
        response = document_response(request_, make_spec(), wait=20)
    assert response.status_code == 200
    assert read_body(response).startswith(b"%PDF-")
    assert response["Content-Disposition"] == 'inline; filename="hello.pdf"'
    assert [entry.billed for entry in fast_polling.ledger.accepted()] == [True]


@pytest.mark.django_db(transaction=True)
def test_slow_document_redirects_to_the_status_page(request_: HttpRequest) -> None:
    """If the document is not ready in time, the response redirects to the status page."""
    before = time.monotonic()
    response = document_response(request_, make_spec(), wait=0.4)
    assert 0.4 <= time.monotonic() - before < 5
    job = RenderJob.objects.get()
    assert response.status_code == 302
    target = urlsplit(response["Location"])
    assert target.path == reverse("django_docraptor:status", args=[job.pk])
    assert parse_qs(target.query) == {"inline": ["1"], "return_url": [PAGE]}
    assert "no-store" in response["Cache-Control"]
    assert job.state == State.PENDING


def test_response_does_not_wait_in_a_transaction(request_: HttpRequest) -> None:
    """No worker can see the job before the commit, so the response does not wait."""
    before = time.monotonic()
    assert document_response(request_, make_spec(), wait=20).status_code == 302
    assert time.monotonic() - before < 5


def test_status_page_url_keeps_the_disposition(request_: HttpRequest) -> None:
    """A document to be saved is saved after the wait, too."""
    response = document_response(
        request_, make_spec(), wait=0, as_attachment=True, return_url="/there/"
    )
    assert parse_qs(urlsplit(response["Location"]).query) == {"return_url": ["/there/"]}


def test_return_url_to_another_site_is_dropped(request_: HttpRequest) -> None:
    """A referrer on another site is not used as the return URL."""
    request_.META["HTTP_REFERER"] = "https://evil.example/"
    assert "evil" not in respond(request_)["Location"]


def test_failed_document_redirects_to_the_status_page(
    request_: HttpRequest, sandbox: Sandbox
) -> None:
    """A failed document has a status page, too."""
    sandbox.add_fault(Fault(on="render", action="fail"))
    first = respond(request_)
    run_until_finished(RenderJob.objects.get())
    assert respond(request_)["Location"] == first["Location"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("around", [nullcontext, transaction.atomic], ids=["alone", "atomic"])
def test_forbidden_document_is_not_enqueued(
    request_: HttpRequest, sandbox: Sandbox, published_tasks, monkeypatch, around: Callable[[], Any]
) -> None:
    """A document that the user may not download is not stored, and no worker is notified."""
    monkeypatch.setattr(InvoicePDF, "may_download", lambda user, job: False)
    with around(), pytest.raises(PermissionDenied):
        respond(request_, document=InvoicePDF.label)
    assert not RenderJob.objects.exists()
    lifecycle.run_once()
    assert sandbox.ledger.entries == ()
    assert published_tasks == []


def test_anonymous_user_is_forbidden(request_: HttpRequest) -> None:
    """An anonymous user cannot own a document."""
    request_.user = AnonymousUser()
    with pytest.raises(PermissionDenied):
        respond(request_)
    assert not RenderJob.objects.exists()
