"""Jobs for hosted documents: accepted once, completed at DocRaptor, expired on request."""

import logging
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone

from django_docraptor import lifecycle, shortcuts, wakeups
from django_docraptor.callback_urls import make_token
from django_docraptor.client import RemoteStatus
from django_docraptor.exceptions import CallError, RejectedError
from django_docraptor.health import health_problems
from django_docraptor.lifecycle.accounts import claim
from django_docraptor.lifecycle.clients import client_for
from django_docraptor.lifecycle.polling import handle_status, publish_or_fail
from django_docraptor.models import DiscardedDocument, RenderJob, seconds_from_now
from django_docraptor.models.clock import Now
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.states import ErrorCode, EventKind, State
from tests.support.jobs import (
    create_job,
    enqueue,
    event_kinds,
    run_until_finished,
    wait_for_renders,
)
from tests.support.socket_server import SocketServer, respond
from tests.support.threads import run_in_threads
from tests.test_hosted import fetch

pytestmark = pytest.mark.django_db(transaction=True)


def hosted_job(**options) -> RenderJob:
    """Return a completed hosted job."""
    return run_until_finished(enqueue(hosted=True, **options))


def test_hosted_job_completes_without_a_download(sandbox: Sandbox, documents_dir) -> None:
    """A hosted document is public at the row's URL, and is neither downloaded nor stored."""
    job = hosted_job(hosted_download_limit=1, test=False)
    assert job.state == State.COMPLETED
    assert (job.file.name, job.file_size, job.number_of_pages) == ("", None, 1)
    assert job.is_public
    assert "download_calls" not in sandbox.ledger.counters
    assert [fetch(job.public_url)[0], fetch(job.public_url)[0]] == [200, 404]
    assert event_kinds(job)[-1] == EventKind.COMPLETED
    (entry,) = sandbox.ledger.accepted()
    assert (entry.hosted, entry.asynchronous, entry.tag) == (True, True, job.tag)


def test_job_is_not_hosted_by_hosting_options_alone(sandbox: Sandbox, documents_dir) -> None:
    """Options about hosted documents do not publish a job that is not hosted."""
    job = run_until_finished(enqueue(options={"hosted_download_limit": 5}))
    assert [entry.hosted for entry in sandbox.ledger.accepted()] == [False]
    assert (job.hosted, job.public_url, job.hosted_expires_at) == (False, "", None)


def test_hosted_expires_at_is_stored(sandbox: Sandbox, documents_dir) -> None:
    """The expiry time is kept with the job, which is not public afterwards."""
    end = timezone.now() + timedelta(days=30)
    job = hosted_job(hosted_expires_at=end)
    assert job.hosted_expires_at == end
    RenderJob.objects.filter(pk=job.pk).update(hosted_expires_at=timezone.now())
    job.refresh_from_db()
    assert not job.is_public


def test_docraptor_expires_a_document_at_its_time(sandbox: Sandbox, documents_dir) -> None:
    """DocRaptor is told the expiry time and stops serving the document then."""
    job = hosted_job(hosted_expires_at=timezone.now() + timedelta(seconds=1))
    assert _becomes_true(lambda: fetch(job.public_url)[0] == 404)


def _becomes_true(true: Callable[[], bool]) -> bool:
    """Wait up to five seconds for a condition."""
    stop = time.monotonic() + 5
    while not true():
        if time.monotonic() > stop:
            return False
        time.sleep(0.05)
    return True


def test_document_that_expired_before_sending_is_not_sent(sandbox: Sandbox, documents_dir) -> None:
    """A document that would expire at once is not sent, since it would be billed."""
    job = enqueue(hosted=True, hosted_expires_at=timezone.now() + timedelta(days=1))
    RenderJob.objects.filter(pk=job.pk).update(hosted_expires_at=timezone.now())
    job = run_until_finished(job)
    assert (job.state, job.error_code) == (State.FAILED, ErrorCode.INVALID_REQUEST)
    assert "hosted_expires_at" in job.errors
    assert sandbox.calls == []


def test_status_page_links_to_a_hosted_document(
    sandbox: Sandbox, documents_dir, admin_client
) -> None:
    """The status page leads to the document until it expires, without containing its public URL."""
    job = hosted_job()
    url = reverse("django_docraptor:status", args=[job.pk])
    text = admin_client.get(url).content.decode()
    assert f"url={job.get_absolute_url()}" in text
    assert job.public_url not in text
    assert admin_client.get(f"{url}?inline=1")["Location"] == job.public_url
    shortcuts.expire(job)
    text = admin_client.get(url).content.decode()
    assert "no longer available" in text
    assert job.get_absolute_url() not in text


def test_completed_status_without_a_public_url_fails_the_job(
    sandbox: Sandbox, documents_dir
) -> None:
    """A finished document without a usable URL fails the job, and its retry asks again unbilled."""
    job = enqueue(hosted=True)
    lifecycle.submit()
    job.refresh_from_db()
    for url in ("", "javascript:alert(1)", "http://[", "ftp://host/x"):
        remote = RemoteStatus(status="completed", download_id="x", download_url=url)
        RenderJob.objects.filter(pk=job.pk).update(state=State.QUEUED, due_at=Now())
        job.refresh_from_db()
        publish_or_fail(job, remote)
        assert (job.state, job.error_code) == (State.FAILED, ErrorCode.STATUS_UNAVAILABLE)
    assert shortcuts.retry(job)
    assert run_until_finished(job).is_public
    assert len(sandbox.ledger.accepted()) == 1


@pytest.mark.fault("S7", "S8", "S10")
@pytest.mark.parametrize(
    "fault",
    [
        Fault(on="create", action="reset", accept=True, times=1),
        Fault(on="create", action="cut", mode="close", times=1),
        Fault(on="create", action="status", status_code=502, accept=True, times=1),
    ],
    ids=lambda fault: fault.action,
)
def test_lost_create_response_of_a_hosted_job_is_found_by_tag(
    sandbox: Sandbox, documents_dir, fault: Fault
) -> None:
    """A hosted create call with an unknown outcome is found in the log and not repeated."""
    sandbox.add_fault(fault)
    job = hosted_job(test=False)
    assert job.is_public
    assert EventKind.UNCONFIRMED in event_kinds(job)
    assert [entry.billed for entry in sandbox.ledger.accepted()] == [True]


def test_hosted_job_accepts_callbacks(sandbox: Sandbox, documents_dir, settings, client) -> None:
    """A callback for a hosted attempt makes its poll due."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"CALLBACK_BASE_URL": "http://127.0.0.1:9"}
    job = enqueue(hosted=True)
    lifecycle.submit()
    job.refresh_from_db()
    url = reverse("django_docraptor:callback", args=[make_token(job.pk, 1)])
    assert client.post(url).status_code == 204
    lifecycle.poll()
    job.refresh_from_db()
    assert job.state == State.COMPLETED


def test_cancelled_hosted_job_gets_no_public_url(sandbox: Sandbox, documents_dir) -> None:
    """A cancelled job is not published, however late the status arrives."""
    job = enqueue(hosted=True)
    lifecycle.submit()
    RenderJob.objects.filter(pk=job.pk).update(due_at=Now())
    (claimed,) = claim([State.QUEUED], limit=1, lease=60)
    shortcuts.cancel(RenderJob.objects.get(pk=job.pk))
    handle_status(claimed, client_for("default").get_status(claimed.status_id))
    job.refresh_from_db()
    assert (job.state, job.public_url) == (State.CANCELLED, "")


def test_expire_ends_public_access_and_records_the_user(
    sandbox: Sandbox, documents_dir, django_user_model
) -> None:
    """An expired document is not public, and its history names the user; again does nothing."""
    user = django_user_model.objects.create_user("ann")
    job = hosted_job()
    url = job.public_url
    assert shortcuts.expire(job, by=user)
    assert fetch(url)[0] == 404
    assert (job.public_url, job.is_public) == ("", False)
    assert job.expired_at is not None
    assert not shortcuts.expire(job)
    assert [event.message for event in job.events.filter(kind=EventKind.EXPIRED)] == ["by ann"]
    assert job.state == State.COMPLETED


def test_expire_of_a_document_that_is_not_public_makes_no_call(
    sandbox: Sandbox, documents_dir
) -> None:
    """DocRaptor is not called for a job that is private or not finished."""
    private, waiting = run_until_finished(enqueue()), enqueue(hosted=True)
    assert not shortcuts.expire(private)
    assert not shortcuts.expire(waiting)
    assert not [call for call in sandbox.calls if call.path.startswith("/expire")]


def test_failed_expire_leaves_the_document_public(
    sandbox: Sandbox, documents_dir, settings
) -> None:
    """If DocRaptor is not reached, the row remains public, and another call expires it."""
    job = hosted_job()
    there = settings.DOCRAPTOR
    settings.DOCRAPTOR = there | {"BASE_URL": "http://127.0.0.1:9"}
    with pytest.raises(CallError):
        shortcuts.expire(job)
    job.refresh_from_db()
    assert job.is_public
    assert job.expired_at is None
    settings.DOCRAPTOR = there
    assert shortcuts.expire(job)


def test_expire_of_a_document_missing_at_docraptor_succeeds(
    sandbox: Sandbox, documents_dir, settings
) -> None:
    """A document that DocRaptor does not have is recorded as expired."""
    job = hosted_job()
    with SocketServer(respond(status=404)) as server:
        settings.DOCRAPTOR = settings.DOCRAPTOR | {"BASE_URL": server.url}
        assert shortcuts.expire(job)
    assert not job.is_public
    assert job.expired_at is not None


def test_refused_expire_leaves_the_document_public(sandbox: Sandbox, documents_dir) -> None:
    """A refused call proves nothing, so the row remains public."""
    job = hosted_job()
    sandbox.reset()
    with pytest.raises(RejectedError):
        shortcuts.expire(job)
    assert job.is_public


def test_expire_accepts_a_stale_object(sandbox: Sandbox, documents_dir) -> None:
    """An instance that was read before the job completed can be expired."""
    job = enqueue(hosted=True)
    run_until_finished(job)
    assert job.state == State.PENDING
    assert shortcuts.expire(job)


def test_expire_of_a_document_past_its_time_does_nothing(sandbox: Sandbox, documents_dir) -> None:
    """A document that has expired at its time is not expired again."""
    job = hosted_job()
    RenderJob.objects.filter(pk=job.pk).update(hosted_expires_at=timezone.now())
    assert not shortcuts.expire(job)
    assert job.expired_at is None


def test_public_queryset_has_only_unexpired_hosted_jobs(sandbox: Sandbox, documents_dir) -> None:
    """The queryset `public()` lists every document that is public now, and no other."""
    ends = timezone.now() + timedelta(days=1)
    lasting, ending, lapsed, ended = (
        hosted_job(),
        hosted_job(hosted_expires_at=ends),
        hosted_job(),
        hosted_job(),
    )
    enqueue(hosted=True)
    run_until_finished(enqueue())
    RenderJob.objects.filter(pk=lapsed.pk).update(hosted_expires_at=Now())
    shortcuts.expire(ended)
    assert set(RenderJob.objects.public()) == {lasting, ending}


def test_parallel_expires_record_one_event(sandbox: Sandbox, documents_dir) -> None:
    """Of four parallel calls, one expires the document and one event is recorded."""
    job = hosted_job()
    results = run_in_threads(4, lambda: shortcuts.expire(RenderJob.objects.get(pk=job.pk)))
    assert sorted(results) == [False, False, False, True]
    assert event_kinds(job).count(EventKind.EXPIRED) == 1


def test_private_job_cannot_have_a_public_url(documents_dir) -> None:
    """A constraint refuses a public URL for a job that is not hosted."""
    job = enqueue()
    with pytest.raises(IntegrityError):
        RenderJob.objects.filter(pk=job.pk).update(public_url="https://example.com/x")


def test_public_url_is_not_in_logs_or_history(sandbox: Sandbox, documents_dir, caplog) -> None:
    """The public URL is stored in its column only, not in logs and not in events."""
    caplog.set_level(logging.DEBUG)
    job = hosted_job()
    secret = job.public_url.rpartition("/")[2]
    shortcuts.expire(job)
    ours = [record for record in caplog.records if "sandbox" not in record.name]
    assert ours
    assert not [record for record in ours if secret in record.getMessage()]
    assert secret not in str(list(job.events.values()))
    assert secret not in repr(job)


# --- after the deletion of the job -----------------------------------------------------------


def delete_twice_read() -> None:
    """Delete an object that was read before its document was public."""
    job = RenderJob.objects.get()
    job.public_url = ""
    job.delete()


DELETIONS: list[Callable[[], object]] = [
    lambda: RenderJob.objects.get().delete(),
    lambda: RenderJob.objects.only("pk").get().delete(),
    lambda: RenderJob.objects.all().delete(),
    delete_twice_read,
]


@pytest.mark.fault("F13")
@pytest.mark.parametrize("delete", DELETIONS)
def test_document_of_a_deleted_job_expires(
    sandbox: Sandbox, documents_dir, delete: Callable[[], object]
) -> None:
    """The next tick expires it, however the row is deleted, and forgets it."""
    url = hosted_job().public_url
    delete()
    assert fetch(url)[0] == 200  # no call to DocRaptor within the transaction
    wakeups.tick()
    assert fetch(url)[0] == 404
    assert not DiscardedDocument.objects.exists()


def test_rolled_back_deletion_keeps_the_document(sandbox: Sandbox, documents_dir) -> None:
    """A row that stays keeps its document."""
    url = hosted_job().public_url
    with transaction.atomic():
        RenderJob.objects.all().delete()
        transaction.set_rollback(True)
    lifecycle.run_once()
    assert fetch(url)[0] == 200


def test_document_that_cannot_be_expired_is_tried_again(
    sandbox: Sandbox, documents_dir, caplog
) -> None:
    """It waits longer each time; after a day, it is a problem, until DocRaptor has expired it."""
    job = hosted_job()
    RenderJob.objects.all().delete()
    sandbox.add_fault(Fault(on="expire", action="status", status_code=500, times=1))
    lifecycle.run_once()
    document = DiscardedDocument.objects.get()
    assert document.failures == 1
    assert "is still public" in caplog.text
    assert job.download_id not in caplog.text
    lifecycle.run_once()  # not due
    assert DiscardedDocument.objects.get().failures == 1

    DiscardedDocument.objects.update(
        due_at=seconds_from_now(-1), discarded_at=seconds_from_now(-90_000)
    )
    (problem,) = (text for text in health_problems() if "still public" in text)
    assert problem.startswith("1 hosted document of a deleted job")
    assert lifecycle.run_once() == 1
    assert fetch(job.public_url)[0] == 404
    assert not [text for text in health_problems() if "still public" in text]


def test_document_that_has_expired_by_itself_is_forgotten(sandbox: Sandbox, documents_dir) -> None:
    """Without a call, if its time is over; after one, if DocRaptor no longer has it."""
    hosted_job(hosted_expires_at=timezone.now() + timedelta(days=1))
    RenderJob.objects.all().delete()
    DiscardedDocument.objects.update(expires_at=timezone.now())
    sandbox.add_fault(Fault(on="expire", action="status", status_code=500))
    lifecycle.run_once()
    assert not DiscardedDocument.objects.exists()
    sandbox.clear_faults()
    hosted_job()
    RenderJob.objects.all().delete()
    sandbox.add_fault(Fault(on="expire", action="status", status_code=404))
    lifecycle.run_once()
    assert not DiscardedDocument.objects.exists()


@pytest.mark.fault("F13")
def test_document_of_an_account_without_a_key_waits(
    sandbox: Sandbox, documents_dir, settings
) -> None:
    """An account whose key is missing fails nothing else."""
    hosted_job()
    RenderJob.objects.all().delete()
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"API_KEY": ""}
    lifecycle.run_once()
    assert DiscardedDocument.objects.get().failures == 1


def test_two_ticks_expire_a_document_once(sandbox: Sandbox, documents_dir) -> None:
    """The call of one process is not made by another meanwhile."""
    hosted_job()
    RenderJob.objects.all().delete()
    sandbox.add_fault(Fault(on="expire", action="slow", seconds=0.5))
    assert sorted(run_in_threads(2, lifecycle.expire_discarded)) == [0, 1]
    assert not DiscardedDocument.objects.exists()


def test_job_that_is_not_public_leaves_nothing(sandbox: Sandbox, documents_dir, caplog) -> None:
    """Neither an expired document nor one that was never made; one being sent is logged."""
    shortcuts.expire(hosted_job())
    run_until_finished(enqueue())
    enqueue(hosted=True)
    RenderJob.objects.all().delete()
    assert not DiscardedDocument.objects.exists()
    assert "hosted" not in caplog.text
    job = create_job(State.SUBMITTING, hosted=True)
    RenderJob.objects.all().delete()
    assert f"Job {job.pk} is deleted while DocRaptor makes its hosted document" in caplog.text


@pytest.mark.fault("F13")
def test_document_in_the_making_of_a_deleted_job_expires(sandbox: Sandbox, documents_dir) -> None:
    """A hosted document that DocRaptor has accepted is expired when its status says it is made."""
    enqueue(hosted=True)
    lifecycle.submit()
    RenderJob.objects.all().delete()
    assert DiscardedDocument.objects.get().status_id
    wait_for_renders()
    assert lifecycle.expire_discarded() == 1
    assert all(document.expired for document in sandbox._application.store.latest_first())
