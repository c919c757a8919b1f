"""A request that is repeated renders no second document."""

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest

from django_docraptor import shortcuts
from django_docraptor.models import RenderJob
from django_docraptor.sandbox import Sandbox
from django_docraptor.states import State
from tests.apps.shop.documents import InvoicePDF
from tests.support.jobs import HTML, run_until_finished
from tests.support.responses import read_body, respond

pytestmark = pytest.mark.django_db


def test_reload_renders_no_second_document(
    request_: HttpRequest, sandbox: Sandbox, documents_dir
) -> None:
    """Reloading the page renders the document once, before and after it is finished."""
    for _ in range(2):
        assert respond(request_).status_code == 302
    run_until_finished(RenderJob.objects.get())
    for _ in range(2):
        assert read_body(respond(request_)).startswith(b"%PDF-")
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
def test_any_changed_argument_is_another_document(
    request_: HttpRequest, changes: dict[str, Any]
) -> None:
    """Whatever changes what is sent to DocRaptor makes another document."""
    assert respond(request_)["Location"] != respond(request_, **changes)["Location"]


def test_changed_defaults_are_another_document(request_: HttpRequest, settings: Any) -> None:
    """The project's default options are part of what is sent."""
    first = respond(request_)["Location"]
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"DEFAULTS": {"javascript": True}}
    assert respond(request_)["Location"] != first


def test_each_user_has_a_separate_document(request_: HttpRequest) -> None:
    """Two users with equal documents get separate jobs."""
    first = respond(request_)["Location"]
    request_.user = get_user_model().objects.create_user("other", password=None)
    assert respond(request_)["Location"] != first
    assert RenderJob.objects.count() == 2


def test_cancelled_document_is_rendered_again_once(request_: HttpRequest) -> None:
    """A cancelled document is enqueued again, once."""
    first = respond(request_)["Location"]
    shortcuts.cancel(RenderJob.objects.get())
    second, third = respond(request_)["Location"], respond(request_)["Location"]
    assert first != second
    assert second == third


def test_document_without_its_file_is_rendered_again(
    request_: HttpRequest, sandbox: Sandbox, documents_dir
) -> None:
    """A document whose file was deleted is enqueued again."""
    respond(request_)
    run_until_finished(RenderJob.objects.get())
    RenderJob.objects.update(file="")
    assert respond(request_).status_code == 302
    assert RenderJob.objects.count() == 2


def test_hosted_document_is_redirected_to_until_it_expires(
    request_: HttpRequest, sandbox: Sandbox, documents_dir
) -> None:
    """Reloading redirects to the hosted document; after it expired, another one is enqueued."""
    respond(request_, hosted=True)
    job = run_until_finished(RenderJob.objects.get())
    response = respond(request_, hosted=True)
    assert (response.status_code, response["Location"]) == (302, job.public_url)
    assert respond(request_)["Location"] != job.public_url
    assert RenderJob.objects.count() == 2
    shortcuts.expire(job)
    respond(request_, hosted=True)
    assert RenderJob.objects.filter(hosted=True).count() == 2


@pytest.mark.parametrize("given", [{"url": "https://shop.example/17"}, {"document": "shop.X"}])
def test_spec_without_content_needs_an_idempotency_key(
    request_: HttpRequest, given: dict[str, Any]
) -> None:
    """Without content a reload cannot be recognised, so an idempotency key is required."""
    with pytest.raises(ValidationError) as caught:
        respond(request_, content="", **given)
    assert list(caught.value.message_dict) == ["idempotency_key"]
    assert not RenderJob.objects.exists()
    assert respond(request_, content="", idempotency_key="17-1", **given).status_code == 302


def test_idempotency_key_of_another_user_is_forbidden(request_: HttpRequest) -> None:
    """An idempotency key of another user's job gives no access to it."""
    respond(request_, idempotency_key="17-1")
    request_.user = get_user_model().objects.create_user("other", password=None)
    with pytest.raises(PermissionDenied):
        respond(request_, idempotency_key="17-1")


@pytest.mark.django_db(transaction=True)
def test_forbidden_request_leaves_the_existing_job(
    request_: HttpRequest, sandbox: Sandbox, documents_dir, published_tasks, monkeypatch
) -> None:
    """A refusal does not change the job that has the key."""
    respond(request_, document=InvoicePDF.label, idempotency_key="17-1")
    job = run_until_finished(RenderJob.objects.get())
    before = RenderJob.objects.values().get()
    published_tasks.clear()
    monkeypatch.setattr(InvoicePDF, "may_download", lambda user, job: False)
    with pytest.raises(PermissionDenied):
        respond(request_, document=InvoicePDF.label, idempotency_key="17-1")
    assert RenderJob.objects.values().get() == before
    assert job.state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) == 1
    assert published_tasks == []
