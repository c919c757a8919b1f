"""Generate the document of a finished job again: ``again()``."""

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.utils import timezone

from django_docraptor.documents.repetition import again
from django_docraptor.models import RenderInput, RenderJob
from django_docraptor.sandbox import Sandbox
from django_docraptor.states import EventKind, State
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice
from tests.support.admin_jobs import create_admin_job
from tests.support.jobs import HTML, create_job, enqueue, run_until_finished

pytestmark = pytest.mark.django_db


def test_again_makes_a_second_document(sandbox: Sandbox) -> None:
    """The new job is linked in both directions, sends the stored HTML, and is billed."""
    anna = get_user_model().objects.create(username="anna")
    old = enqueue(name="hello.pdf", content=HTML, params={"copy": 2}, test=False)
    old = run_until_finished(old)
    new = again(old, by=anna)
    assert new.again_of == old.pk
    event = old.events.get(kind=EventKind.AGAIN)
    assert (event.detail, event.message) == ({"job": str(new.pk)}, "by anna")
    new = run_until_finished(new)
    assert new.state == State.COMPLETED
    assert new.file.name != old.file.name
    assert new.input.content == HTML
    assert new.input.params == {"copy": 2}
    assert len(sandbox.ledger.accepted()) == 2


def test_stored_html_is_sent_unless_the_current_is_asked_for(invoice: Invoice) -> None:
    """A snapshot stays one; with ``from_current`` a worker renders the template."""
    options = {"content": "<p>then</p>", "document": InvoicePDF.label, "source": invoice}
    old = create_admin_job(State.COMPLETED, options)
    assert again(old).input.content == "<p>then</p>"
    new = again(old, from_current=True)
    assert (new.input.content, new.source) == ("", invoice)


def test_one_idempotency_key_gives_one_job() -> None:
    """A second call with the same key returns the same job, and the history names it once."""
    old = create_job(State.FAILED)
    assert again(old, idempotency_key="k") == again(old, idempotency_key="k")
    assert old.events.filter(kind=EventKind.AGAIN).count() == 1
    assert RenderJob.objects.filter(again_of=old.pk).count() == 1


@pytest.mark.parametrize("key", ["old", "other"])
def test_key_of_another_job_is_refused(key: str) -> None:
    """Neither the job itself nor an unrelated one is returned as its repetition."""
    old = create_job(State.FAILED)
    RenderJob.objects.filter(pk=old.pk).update(idempotency_key="old")
    other = enqueue(idempotency_key="other")
    with pytest.raises(ValidationError, match=f"'{key}' is the key of job .* another key"):
        again(old, idempotency_key=key)
    assert set(RenderJob.objects.all()) == {old, other}
    assert not old.events.filter(kind=EventKind.AGAIN).exists()


def test_unfinished_job_is_refused() -> None:
    """Its document is still being generated: a second one would be billed beside it."""
    job = create_job(State.QUEUED)
    with pytest.raises(ValidationError, match="unfinished"):
        again(job)
    assert RenderJob.objects.count() == 1


def test_pruned_input_is_refused() -> None:
    """Without its input nothing says what was asked for."""
    job = create_job(State.COMPLETED)
    RenderInput.objects.filter(pk=job.pk).delete()
    with pytest.raises(ValidationError, match="no longer stored"):
        again(job)
    assert RenderJob.objects.count() == 1


def test_gone_source_is_refused_if_it_is_needed(invoice: Invoice) -> None:
    """A document of stored HTML needs no source; one that a worker renders does."""
    options = {"document": InvoicePDF.label, "source": invoice}
    stored = create_admin_job(State.COMPLETED, options)
    rendered = create_admin_job(State.COMPLETED, options | {"content": ""})
    Invoice.objects.all().delete()
    assert again(stored).object_id == ""
    with pytest.raises(ValidationError, match="no longer exists"):
        again(rendered)


def test_hosted_document_is_public_as_long_as_the_first() -> None:
    """Its lifetime is kept, not the time at which the first one expired."""
    expires_at = timezone.now() + timedelta(days=2)
    old = create_job(State.COMPLETED, hosted=True, hosted_expires_at=expires_at)
    RenderJob.objects.filter(pk=old.pk).update(
        created_at=timezone.now() - timedelta(days=5),
        hosted_expires_at=timezone.now() - timedelta(days=3),
    )
    new = again(RenderJob.objects.get(pk=old.pk))
    assert new.hosted_expires_at is not None
    left = new.hosted_expires_at - timezone.now()
    assert timedelta(days=1, hours=23) < left <= timedelta(days=2)
