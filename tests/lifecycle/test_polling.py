"""Asking for a document's status, under every fault."""

import pytest

from django_docraptor import lifecycle, retry
from django_docraptor.client import Client, RemoteStatus
from django_docraptor.lifecycle.accounts import claim
from django_docraptor.lifecycle.clients import client_for
from django_docraptor.lifecycle.polling import handle_status
from django_docraptor.models import RenderJob
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.states import State
from tests.support.jobs import (
    enqueue,
    event_kinds,
    run_until_finished,
    run_until_given_up,
    skip_time,
)

pytestmark = pytest.mark.django_db(transaction=True)


def submitted_job(**options) -> RenderJob:
    """Return a job that DocRaptor has accepted."""
    job = enqueue(**options)
    lifecycle.submit()
    return RenderJob.objects.get(pk=job.pk, state=State.QUEUED)


@pytest.mark.fault("P1")
@pytest.mark.parametrize(
    "fault",
    [
        Fault(on="status", action="status", status_code=500, times=3),
        Fault(on="status", action="status", status_code=503, body="html", times=3),
        Fault(on="status", action="status", status_code=429, retry_after=7, times=2),
        Fault(on="status", action="reset", times=2),
        Fault(on="status", action="hang", seconds=5, times=1),
        Fault(on="status", action="html", times=2),
        Fault(on="status", action="cut", times=2),
    ],
    ids=lambda fault: f"{fault.action}-{fault.status_code}",
)
@pytest.mark.usefixtures("timeouts_for_fault")
def test_temporary_status_error_is_retried(sandbox: Sandbox, documents_dir, fault: Fault) -> None:
    """A status call that fails is repeated later, and the job completes without an error."""
    job = submitted_job()
    sandbox.add_fault(fault)
    job = run_until_finished(job)
    assert job.state == State.COMPLETED
    assert event_kinds(job).count("step_failed") == fault.times
    assert (job.errors, job.error_code) == ("", "")


@pytest.mark.fault("P1")
def test_status_retry_after_is_respected(sandbox: Sandbox) -> None:
    """The next poll waits for as long as Retry-After says."""
    job = submitted_job()
    sandbox.add_fault(
        Fault(on="status", action="status", status_code=429, retry_after=300, times=1)
    )
    skip_time(2)
    lifecycle.poll()
    skip_time(290)
    assert lifecycle.poll().claimed == 0
    skip_time(15)
    assert lifecycle.poll().claimed == 1
    job.refresh_from_db()
    assert job.state == State.DOWNLOADING


@pytest.mark.fault("P1")
def test_repeated_status_errors_fail_the_job(sandbox: Sandbox) -> None:
    """A job fails after three days of status errors, and a retry resumes it unbilled."""
    job = submitted_job()
    sandbox.add_fault(Fault(on="status", action="status", status_code=500))
    job = run_until_given_up(job)
    assert (job.state, job.error_code) == (State.FAILED, "status_unavailable")
    assert job.resume_state == State.QUEUED
    assert "HTTP 500" in job.errors


@pytest.mark.fault("P2")
def test_unknown_status_is_polled_again(sandbox: Sandbox, documents_dir, caplog) -> None:
    """An unknown status is logged, and the job is polled again."""
    job = submitted_job()
    sandbox.add_fault(Fault(on="status", action="unknown_state", state="paused", times=2))
    assert run_until_finished(job).state == State.COMPLETED
    assert "unknown status 'paused'" in caplog.text


@pytest.mark.fault("P3")
@pytest.mark.parametrize("code", [400, 403, 404, 410])
@pytest.mark.parametrize("body", ["xml", "json"])
def test_refused_status_fails_the_job_after_an_hour(sandbox: Sandbox, body: str, code: int) -> None:
    """After an hour of nothing but DocRaptor's own refusals the job fails, resumably."""
    job = submitted_job()
    sandbox.add_fault(Fault(on="status", action="status", status_code=code, body=body))
    job = run_until_finished(job, hours=0.3)
    assert (job.state, job.error_code) == (State.FAILED, "status_unavailable")
    assert job.resume_state == State.QUEUED
    assert "for 72 minutes (5 tries in a row)" in job.errors
    assert len(sandbox.ledger.accepted()) == 1


@pytest.mark.fault("P3")
@pytest.mark.parametrize("code", [403, 404])
def test_refused_status_is_asked_again_for_most_of_an_hour(
    sandbox: Sandbox, documents_dir, code: int
) -> None:
    """Refusals that end within the hour cost nothing but the wait."""
    job = submitted_job()
    sandbox.add_fault(Fault(on="status", action="status", status_code=code, times=25))
    assert run_until_finished(job).state == State.COMPLETED


@pytest.mark.fault("P3")
def test_refusals_after_an_outage_have_their_own_hour(sandbox: Sandbox, documents_dir) -> None:
    """A service that refuses while it starts, after a day of 502, is not believed at once."""
    job = submitted_job()
    for fault in (
        Fault(on="status", action="status", status_code=502, times=3),
        Fault(on="status", action="status", status_code=404, times=1),
        Fault(on="status", action="status", status_code=502, times=1),
        Fault(on="status", action="status", status_code=404, times=1),
    ):
        sandbox.add_fault(fault)
    assert run_until_finished(job, hours=10).state == State.COMPLETED


@pytest.mark.fault("P9")
@pytest.mark.parametrize("code", [403, 404])
@pytest.mark.parametrize("body", ["html", "empty", "garbage"])
def test_page_of_a_cdn_does_not_fail_the_job(
    sandbox: Sandbox, documents_dir, code: int, body: str
) -> None:
    """A 403 or 404 page of a CDN is retried for as long as a 5xx, and the job completes."""
    job = submitted_job()
    sandbox.add_fault(Fault(on="status", action="status", status_code=code, body=body, times=7))
    assert run_until_finished(job, hours=10).state == State.COMPLETED
    assert sandbox.ledger.status_calls == 8


@pytest.mark.fault("P9")
def test_endless_page_of_a_cdn_fails_the_job(sandbox: Sandbox) -> None:
    """A CDN's page that does not go away fails the job in the end; a retry resumes it unbilled."""
    job = submitted_job()
    sandbox.add_fault(Fault(on="status", action="status", status_code=403, body="html"))
    job = run_until_finished(job, hours=10)
    assert (job.error_code, job.resume_state) == ("status_unavailable", State.QUEUED)
    assert sandbox.ledger.status_calls == 9
    assert f"Is DOCRAPTOR['BASE_URL'], {sandbox.url}, this very site?" in job.errors


@pytest.mark.fault("P1")
def test_too_many_documents_at_once_are_no_refusal(sandbox: Sandbox, documents_dir) -> None:
    """A structured 403 that says "too many at once" waits for as long as a 429."""
    job = submitted_job()
    reason = "Too many simultaneous document requests"
    sandbox.add_fault(Fault(on="status", action="status", status_code=403, reason=reason, times=7))
    assert run_until_finished(job, hours=10).state == State.COMPLETED


@pytest.mark.fault("P4")
@pytest.mark.parametrize("word", ["failed", "killed"])
def test_render_failure_fails_the_job_with_all_reasons(sandbox: Sandbox, word: str) -> None:
    """A document that DocRaptor could not render fails with all reasons, without a callback."""
    reasons = "Name can't be blank\nName is too long (maximum is 200 characters)"
    sandbox.add_fault(Fault(on="render", action="fail", reason=reasons, state=word))
    job = run_until_finished(enqueue())
    assert (job.state, job.error_code, job.errors) == (State.FAILED, "render_failed", reasons)
    assert sandbox.ledger.callback_calls == 0


@pytest.mark.fault("P5")
def test_endless_render_times_out_at_the_deadline(sandbox: Sandbox) -> None:
    """A job whose document is never finished fails at its deadline."""
    sandbox.add_fault(Fault(on="render", action="stall"))
    job = submitted_job()
    skip_time(2)
    lifecycle.poll()
    job.refresh_from_db()
    assert job.state == State.WORKING
    skip_time(700)
    lifecycle.poll()
    job.refresh_from_db()
    assert (job.state, job.error_code) == (State.FAILED, "timed_out")
    assert job.may_have_been_billed


@pytest.mark.fault("P5")
def test_job_is_polled_once_more_at_its_deadline(sandbox: Sandbox, documents_dir) -> None:
    """A job past its deadline is polled once more, since its document may be finished."""
    job = submitted_job()
    skip_time(3600)
    assert run_until_finished(job).state == State.COMPLETED


@pytest.mark.fault("P2")
@pytest.mark.parametrize("download_id", ["", "a\x00b", "..", "x" * 201])
def test_finished_document_without_a_download_id_is_named(
    sandbox: Sandbox, documents_dir, monkeypatch, download_id: str
) -> None:
    """It is asked for until the deadline; then the error says so, and a retry pays nothing."""
    data = {"status": "completed", "download_id": download_id}
    job = submitted_job(test=False)
    with monkeypatch.context() as patch:
        patch.setattr(Client, "get_status", lambda self, status_id: RemoteStatus.from_json(data))
        skip_time(700)
        lifecycle.poll()
    job.refresh_from_db()
    assert (job.state, job.error_code) == (State.FAILED, "timed_out")
    assert "no usable download_id" in job.errors
    assert "terminates" not in job.errors
    assert retry(job)
    assert run_until_finished(job).state == State.COMPLETED
    assert len(sandbox.ledger.billed()) == 1


@pytest.mark.fault("P6")
def test_engine_resumes_after_a_long_pause(sandbox: Sandbox, documents_dir) -> None:
    """After ten minutes without a worker every job goes on where it was."""
    jobs = [submitted_job(), enqueue()]
    skip_time(600)
    assert [run_until_finished(job).state for job in jobs] == [State.COMPLETED] * 2
    assert len(sandbox.ledger.accepted()) == 2


def test_poll_with_a_wrong_key_fails_no_job(sandbox: Sandbox, documents_dir, settings) -> None:
    """A wrong key pauses the account and fails no job, not even past its deadline."""
    job = submitted_job()
    right = settings.DOCRAPTOR
    sandbox.change_settings(api_key="right")
    settings.DOCRAPTOR = right | {"API_KEY": "wrong"}
    skip_time(2)
    lifecycle.poll()
    job.refresh_from_db()
    assert job.state == State.QUEUED
    settings.DOCRAPTOR = right | {"API_KEY": "right"}
    skip_time(900)
    assert run_until_finished(job).state == State.COMPLETED


def test_late_status_does_not_move_a_job_back(sandbox: Sandbox) -> None:
    """A working job stays working if an older response says queued."""
    sandbox.change_settings(delay=30)
    job = submitted_job()
    sandbox.add_fault(Fault(on="status", action="unknown_state", state="working", times=1))
    skip_time(2)
    lifecycle.poll()
    sandbox.add_fault(Fault(on="status", action="unknown_state", state="queued", times=1))
    skip_time(2)
    lifecycle.poll()
    job.refresh_from_db()
    assert job.state == State.WORKING
    assert event_kinds(job).count("working") == 1


def test_unfinished_document_is_asked_for_after_the_interval(sandbox: Sandbox, settings) -> None:
    """After a poll without a result, the job is due when the interval is over, and not before."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"POLL": {"floor": 30, "ceiling": 30}}
    submitted_job()
    sandbox.add_fault(Fault(on="status", action="unknown_state", state="queued"))
    skip_time(37)
    assert lifecycle.poll().claimed == 1
    skip_time(22)  # the interval is up to a fifth shorter or longer
    assert lifecycle.poll().claimed == 0
    skip_time(15)
    assert lifecycle.poll().claimed == 1


def test_poller_without_lease_saves_nothing(sandbox: Sandbox) -> None:
    """A poller that lost its lease saves nothing, whatever the status is."""
    submitted_job()
    skip_time(2)
    (stalled,) = claim([State.QUEUED], limit=1, lease=60)
    skip_time(61)
    (current,) = claim([State.QUEUED], limit=1, lease=60)
    remote = client_for("default").get_status(stalled.status_id)
    handle_status(stalled, remote)
    current.refresh_from_db()
    assert current.state == State.QUEUED
