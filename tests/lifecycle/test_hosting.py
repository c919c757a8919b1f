"""Hosted documents as jobs: accepted once, finished where they are, ended on request."""

import logging
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import IntegrityError
from django.urls import reverse
from django.utils import timezone

from django_docraptor import lifecycle, shortcuts
from django_docraptor.callback_urls import make_token
from django_docraptor.client import RemoteStatus
from django_docraptor.exceptions import CallError, RejectedError
from django_docraptor.lifecycle.hosting import published
from django_docraptor.lifecycle.polling import answered
from django_docraptor.lifecycle.remote import client_for
from django_docraptor.models import RenderJob
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.states import ErrorCode, EventKind, State
from tests.support.jobs import drive, enqueue, kinds
from tests.support.socket_server import SocketServer, answer
from tests.support.threads import at_once
from tests.test_hosted import fetch

pytestmark = pytest.mark.django_db(transaction=True)


def hosted(**order) -> RenderJob:
    """A finished hosted job."""
    return drive(enqueue(hosted=True, **order))


def test_completed(sandbox: Sandbox, documents) -> None:
    """Anyone may read it at the address in the row; nothing of it is fetched or stored."""
    job = hosted(hosted_download_limit=1)
    assert job.state == State.COMPLETED
    assert (job.file.name, job.file_size, job.number_of_pages) == ("", None, 1)
    assert job.is_public
    assert "download_calls" not in sandbox.ledger.counters
    assert [fetch(job.public_url)[0], fetch(job.public_url)[0]] == [200, 404]
    assert kinds(job)[-1] == EventKind.COMPLETED
    (entry,) = sandbox.ledger.accepted()
    assert (entry.hosted, entry.asynchronous, entry.tag) == (True, True, job.tag)


def test_a_private_job_is_not_hosted(sandbox: Sandbox, documents) -> None:
    """Only who says so publishes, whatever the settings say about hosted documents."""
    job = drive(enqueue(options={"hosted_download_limit": 5}))
    assert [entry.hosted for entry in sandbox.ledger.accepted()] == [False]
    assert (job.hosted, job.public_url, job.hosted_expires_at) == (False, "", None)


def test_expires_at(sandbox: Sandbox, documents) -> None:
    """The time at which it ends is sent, and kept with the job."""
    end = timezone.now() + timedelta(days=30)
    job = hosted(hosted_expires_at=end)
    assert job.hosted_expires_at == end
    RenderJob.objects.filter(pk=job.pk).update(hosted_expires_at=timezone.now())
    job.refresh_from_db()
    assert not job.is_public


def test_expires_by_itself(sandbox: Sandbox, documents) -> None:
    """DocRaptor was told the time at which it ends."""
    job = hosted(hosted_expires_at=timezone.now() + timedelta(seconds=1))
    assert _soon(lambda: fetch(job.public_url)[0] == 404)


def _soon(true: Callable[[], bool]) -> bool:
    stop = time.monotonic() + 5
    while not true():
        if time.monotonic() > stop:
            return False
        time.sleep(0.05)
    return True


def test_expires_before_it_is_sent(sandbox: Sandbox, documents) -> None:
    """What would be billed and gone at once is not sent."""
    job = enqueue(hosted=True, hosted_expires_at=timezone.now() + timedelta(days=1))
    RenderJob.objects.filter(pk=job.pk).update(hosted_expires_at=timezone.now())
    job = drive(job)
    assert (job.state, job.error_code) == (State.FAILED, ErrorCode.INVALID_REQUEST)
    assert "hosted_expires_at" in job.errors
    assert sandbox.calls == []


def test_waiting_page(sandbox: Sandbox, documents, admin_client) -> None:
    """It leads to the document, and says so when that has ended; the address is not in it."""
    job = hosted()
    url = reverse("django_docraptor:waiting", args=[job.pk])
    text = admin_client.get(url).content.decode()
    assert f"url={job.get_absolute_url()}" in text
    assert job.public_url not in text
    assert admin_client.get(f"{url}?inline=1")["Location"] == job.public_url
    shortcuts.expire(job)
    text = admin_client.get(url).content.decode()
    assert "no longer available" in text
    assert job.get_absolute_url() not in text


def test_without_an_address(sandbox: Sandbox, documents) -> None:
    """A document that is finished nobody knows where is not complete; a retry asks again, free."""
    job = enqueue(hosted=True)
    lifecycle.submit()
    job.refresh_from_db()
    for url in ("", "javascript:alert(1)", "http://[", "ftp://host/x"):
        remote = RemoteStatus(status="completed", download_id="x", download_url=url)
        RenderJob.objects.filter(pk=job.pk).update(state=State.QUEUED, due_at=timezone.now())
        job.refresh_from_db()
        published(job, remote)
        assert (job.state, job.error_code) == (State.FAILED, ErrorCode.STATUS_UNAVAILABLE)
    assert shortcuts.retry(job)
    assert drive(job).is_public
    assert len(sandbox.ledger.accepted()) == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault(on="create", action="reset", accept=True, times=1),
        Fault(on="create", action="cut", mode="close", times=1),
        Fault(on="create", action="status", status_code=502, accept=True, times=1),
    ],
    ids=lambda fault: fault.action,
)
def test_lost_answer(sandbox: Sandbox, documents, fault: Fault) -> None:
    """S: a create of unknown outcome is found in the log by its tag and not made again."""
    sandbox.add_fault(fault)
    job = hosted(test=False)
    assert job.is_public
    assert EventKind.UNCONFIRMED in kinds(job)
    assert [entry.billed for entry in sandbox.ledger.accepted()] == [True]


def test_callback(sandbox: Sandbox, documents, settings, client) -> None:
    """A hosted attempt has its callback like any other, and it hurries the poll."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"CALLBACK_BASE_URL": "http://127.0.0.1:9"}
    job = enqueue(hosted=True)
    lifecycle.submit()
    job.refresh_from_db()
    url = reverse("django_docraptor:callback", args=[make_token(job.pk, 1)])
    assert client.post(url).status_code == 204
    lifecycle.poll()
    job.refresh_from_db()
    assert job.state == State.COMPLETED


def test_cancelled(sandbox: Sandbox, documents) -> None:
    """A job that was given up gets no address, however late the answer."""
    job = enqueue(hosted=True)
    lifecycle.submit()
    RenderJob.objects.filter(pk=job.pk).update(due_at=timezone.now())
    (claimed,) = RenderJob.objects.filter(pk=job.pk).claim(limit=1, lease=60)
    shortcuts.cancel(RenderJob.objects.get(pk=job.pk))
    answered(claimed, client_for("default").get_status(claimed.status_id))
    job.refresh_from_db()
    assert (job.state, job.public_url) == (State.CANCELLED, "")


def test_expire(sandbox: Sandbox, documents, django_user_model) -> None:
    """It is no longer public; the history says who did it; again does nothing."""
    user = django_user_model.objects.create_user("ann")
    job = hosted()
    url = job.public_url
    assert shortcuts.expire(job, by=user)
    assert fetch(url)[0] == 404
    assert (job.public_url, job.is_public) == ("", False)
    assert job.expired_at is not None
    assert not shortcuts.expire(job)
    assert [event.message for event in job.events.filter(kind=EventKind.EXPIRED)] == ["by ann"]
    assert job.state == State.COMPLETED


def test_expire_what_is_not_public(sandbox: Sandbox, documents) -> None:
    """Nothing is asked of DocRaptor for a job that is not hosted, or not there yet."""
    private, waiting = drive(enqueue()), enqueue(hosted=True)
    assert not shortcuts.expire(private)
    assert not shortcuts.expire(waiting)
    assert not [call for call in sandbox.calls if call.path.startswith("/expire")]


def test_expire_fails(sandbox: Sandbox, documents, settings) -> None:
    """If DocRaptor was not reached the row still says public, and another try ends it."""
    job = hosted()
    there = settings.DOCRAPTOR
    settings.DOCRAPTOR = there | {"BASE_URL": "http://127.0.0.1:9"}
    with pytest.raises(CallError):
        shortcuts.expire(job)
    job.refresh_from_db()
    assert job.is_public
    assert job.expired_at is None
    settings.DOCRAPTOR = there
    assert shortcuts.expire(job)


def test_expire_gone(sandbox: Sandbox, documents, settings) -> None:
    """What DocRaptor no longer has is ended, too."""
    job = hosted()
    with SocketServer(answer(status=404)) as server:
        settings.DOCRAPTOR = settings.DOCRAPTOR | {"BASE_URL": server.url}
        assert shortcuts.expire(job)
    assert not job.is_public
    assert job.expired_at is not None


def test_expire_unknown(sandbox: Sandbox, documents) -> None:
    """A refusal proves nothing: it may still be public."""
    job = hosted()
    sandbox.reset()
    with pytest.raises(RejectedError):
        shortcuts.expire(job)
    assert job.is_public


def test_expire_stale(sandbox: Sandbox, documents) -> None:
    """An object that was read before the document was finished will do."""
    job = enqueue(hosted=True)
    drive(job)
    assert job.state == State.PENDING
    assert shortcuts.expire(job)


def test_expire_lapsed(sandbox: Sandbox, documents) -> None:
    """What has ended by its time is not ended again."""
    job = hosted()
    RenderJob.objects.filter(pk=job.pk).update(hosted_expires_at=timezone.now())
    assert not shortcuts.expire(job)
    assert job.expired_at is None


def test_public(sandbox: Sandbox, documents) -> None:
    """All that is public now can be listed, for whoever has to answer for it."""
    ends = timezone.now() + timedelta(days=1)
    lasting, ending, lapsed, ended = hosted(), hosted(hosted_expires_at=ends), hosted(), hosted()
    enqueue(hosted=True)
    drive(enqueue())
    RenderJob.objects.filter(pk=lapsed.pk).update(hosted_expires_at=timezone.now())
    shortcuts.expire(ended)
    assert set(RenderJob.objects.public()) == {lasting, ending}


def test_expire_race(sandbox: Sandbox, documents) -> None:
    """Of many at once, one ends it: one event."""
    job = hosted()
    results = at_once(4, lambda: shortcuts.expire(RenderJob.objects.get(pk=job.pk)))
    assert sorted(results) == [False, False, False, True]
    assert kinds(job).count(EventKind.EXPIRED) == 1


def test_only_hosted_jobs_are_public(documents) -> None:
    """The database refuses a public address for a document that is to be private."""
    job = enqueue()
    with pytest.raises(IntegrityError):
        RenderJob.objects.filter(pk=job.pk).update(public_url="https://example.com/x")


def test_address_is_nowhere_else(sandbox: Sandbox, documents, caplog) -> None:
    """The public address is in its column: not in logs, not in the history."""
    caplog.set_level(logging.DEBUG)
    job = hosted()
    secret = job.public_url.rpartition("/")[2]
    shortcuts.expire(job)
    ours = [record for record in caplog.records if "sandbox" not in record.name]
    assert ours
    assert not [record for record in ours if secret in record.getMessage()]
    assert secret not in str(list(job.events.values()))
    assert secret not in repr(job)
