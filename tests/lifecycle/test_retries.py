"""A retry asks before it pays: it resumes the attempt that DocRaptor has, until that is gone."""

import pytest

from django_docraptor import lifecycle, shortcuts
from django_docraptor.lifecycle import transitions
from django_docraptor.models import RenderJob
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.states import EventKind, State
from tests.support.jobs import (
    create_job,
    downloadable_job,
    enqueue,
    event_kinds,
    run_until_finished,
)

pytestmark = pytest.mark.django_db(transaction=True)

REFUSED = {"action": "status", "status_code": 403}
UNKNOWN = Fault(on="status", action="status", status_code=404)


def failed_job(sandbox: Sandbox, *faults: Fault, code: str) -> RenderJob:
    """Return a production job that DocRaptor accepted, and that failed with the code."""
    job = downloadable_job(test=False) if faults[0].on == "download" else enqueue(test=False)
    for fault in faults:
        sandbox.add_fault(fault)
    job = run_until_finished(job, hours=80)
    assert (job.state, job.error_code) == (State.FAILED, code)
    return job


def retry(job: RenderJob, *, hours: float = 80) -> RenderJob:
    """Retry a failed job and return it when it is finished.

    Args:
        hours: between two rounds of the engine; by default longer than RETRY_FOR.
    """
    assert shortcuts.retry(job)
    return run_until_finished(job, hours=hours)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault(on="download", **REFUSED, times=2), "download_refused"),
        (Fault(on="download", action="status", status_code=400, times=2), "download_refused"),
        (Fault(on="download", action="status", status_code=500, times=2), "download_failed"),
        (Fault(on="download", action="html", times=2), "not_a_document"),
        (Fault(on="download", action="endless", times=1), "document_too_large"),
        (Fault(on="status", action="status", status_code=404, times=2), "status_unavailable"),
        (Fault(on="status", action="status", status_code=500, times=2), "status_unavailable"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.status_code or value.action,
)
def test_retry_after_acceptance_is_billed_once(
    sandbox: Sandbox, documents_dir, settings, fault: Fault, code: str
) -> None:
    """A job that failed after its acceptance is stored by a retry, without another create call."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"MAX_DOCUMENT_BYTES": 1_000_000}
    job = retry(failed_job(sandbox, fault, code=code))
    assert (job.state, job.attempt, job.error_code) == (State.COMPLETED, 1, "")
    assert len(sandbox.ledger.accepted()) == 1


def test_retry_after_a_timeout_asks_for_the_status(sandbox: Sandbox, documents_dir) -> None:
    """A job that timed out because a clock jumped is stored by a retry, and is billed once."""
    job = enqueue(test=False)
    lifecycle.submit()
    RenderJob.objects.update(deadline_at=job.created_at, due_at=job.created_at)
    sandbox.add_fault(Fault(on="status", action="unknown_state", state="working", times=1))
    lifecycle.poll()
    job.refresh_from_db()
    assert (job.state, job.error_code) == (State.FAILED, "timed_out")
    job = retry(job)
    assert (job.state, job.attempt) == (State.COMPLETED, 1)
    assert len(sandbox.ledger.accepted()) == 1


@pytest.mark.fault("P5")
def test_render_without_end_can_be_made_anew(sandbox: Sandbox, documents_dir) -> None:
    """A document that is rendered for longer than DocRaptor allows is gone, once a retry asked."""
    endless = Fault(on="render", action="stall", times=1)
    job = retry(failed_job(sandbox, endless, code="timed_out"), hours=0.2)
    assert (job.state, job.error_code, job.resume_state) == (State.FAILED, "document_gone", None)
    assert "'working'" in job.errors
    assert job.may_have_been_billed
    assert len(sandbox.ledger.accepted()) == 1
    job = retry(job)
    assert (job.state, job.attempt) == (State.COMPLETED, 2)
    assert len(sandbox.ledger.accepted()) == 2


@pytest.mark.fault("P5")
@pytest.mark.parametrize(
    ("status", "minutes"), [("working", 8), ("queued", 60), ("paused", 60)], ids=str
)
def test_render_that_may_still_end_is_asked_for_again(
    sandbox: Sandbox, documents_dir, settings, status: str, minutes: int
) -> None:
    """Before DocRaptor must have ended it, each retry waits for the same attempt."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"DEADLINE": 60}
    unfinished = Fault(on="status", action="unknown_state", state=status)
    sandbox.add_fault(unfinished)
    job = run_until_finished(enqueue(test=False), hours=minutes / 120)
    assert job.error_code == "timed_out"
    job = retry(job, hours=minutes / 120)
    assert (job.error_code, job.resume_state) == ("timed_out", State.QUEUED)
    sandbox.clear_faults()
    assert retry(job).state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) == 1


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault(on="status", action="status", status_code=404, times=4), "status_unavailable"),
        (Fault(on="download", **REFUSED, times=4), "download_refused"),
        (Fault(on="download", action="status", status_code=400, times=4), "download_refused"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.status_code,
)
def test_second_retry_of_a_gone_document_starts_anew(
    sandbox: Sandbox, documents_dir, fault: Fault, code: str
) -> None:
    """If DocRaptor refuses it again when a retry asks, the job fails as gone and is not billed.

    Only another retry, by a person who was told so, creates the document again.
    """
    gone = retry(failed_job(sandbox, fault, code=code))
    assert (gone.state, gone.error_code) == (State.FAILED, "document_gone")
    assert (gone.resume_state, gone.may_have_been_billed) == (None, True)
    assert len(sandbox.ledger.accepted()) == 1
    job = retry(gone)
    assert (job.state, job.attempt) == (State.COMPLETED, 2)
    assert len(sandbox.ledger.accepted()) == 2


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault(on="status", action="status", status_code=404, body="html"), "status_unavailable"),
        (Fault(on="status", action="status", status_code=403), "status_unavailable"),
        (Fault(on="status", action="status", status_code=500), "status_unavailable"),
        (Fault(on="download", **REFUSED, body="html"), "download_failed"),
        (Fault(on="download", **REFUSED, body="empty"), "download_failed"),
        (
            Fault(on="download", **REFUSED, reason="Too many simultaneous document requests"),
            "download_failed",
        ),
        (Fault(on="download", action="status", status_code=500), "download_failed"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.status_code}-{value.body}",
)
def test_document_is_not_gone_because_something_else_refuses_it(
    sandbox: Sandbox, documents_dir, fault: Fault, code: str
) -> None:
    """A wrong address, another account's key, a proxy and a busy service prove nothing."""
    job = failed_job(sandbox, fault, code=code)
    for _ in range(2):
        job = retry(job)
        assert (job.state, job.error_code) == (State.FAILED, code)
        assert job.resume_state is not None
    sandbox.clear_faults()
    job = retry(job)
    assert (job.state, job.attempt) == (State.COMPLETED, 1)
    assert len(sandbox.ledger.accepted()) == 1


def test_refused_download_without_a_new_status_is_not_gone(sandbox: Sandbox, documents_dir) -> None:
    """A retry that only repeated the download has not asked for the status: the next one does."""
    failing = Fault(on="download", action="status", status_code=500, times=2)
    job = failed_job(
        sandbox, failing, Fault(on="download", **REFUSED, times=2), code="download_failed"
    )
    job = retry(job)
    assert (job.state, job.error_code, job.resume_state) == (
        State.FAILED,
        "download_refused",
        State.QUEUED,
    )
    assert retry(job).state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) == 1


def test_refusal_of_an_earlier_attempt_does_not_count(sandbox: Sandbox, documents_dir) -> None:
    """A new attempt starts with a clean slate: its first refusal is no proof."""
    gone = retry(
        failed_job(sandbox, Fault(on="download", **REFUSED, times=4), code="download_refused")
    )
    assert gone.error_code == "document_gone"
    sandbox.add_fault(Fault(on="download", **REFUSED, times=2))
    job = retry(gone)
    assert (job.attempt, job.error_code) == (2, "download_refused")
    assert retry(job).state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) == 2


def test_late_response_of_a_failed_job_is_used_by_its_retry(
    sandbox: Sandbox, documents_dir
) -> None:
    """If the status_id comes after the job was given up, a retry asks for it and pays nothing."""
    job = enqueue(test=False)
    lifecycle.submit()
    job = RenderJob.objects.get(pk=job.pk)
    status_id = job.status_id
    RenderJob.objects.update(
        state=State.FAILED, error_code="submit_unconfirmed", status_id="", due_at=None
    )
    assert RenderJob.objects.get().resume_state is None
    assert not transitions.mark_accepted(job, status_id)
    job = RenderJob.objects.get()
    assert (job.state, job.resume_state) == (State.FAILED, State.QUEUED)
    assert event_kinds(job)[-1] == EventKind.LATE_RESPONSE
    assert retry(job).state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) == 1


def test_late_response_of_an_earlier_attempt_changes_no_row(sandbox: Sandbox) -> None:
    """The status_id of an earlier attempt is recorded, but never given to a later one."""
    job = create_job(State.FAILED, error_code="submit_unconfirmed", attempt=2)
    job.attempt = 1
    assert not transitions.mark_accepted(job, "late")
    assert RenderJob.objects.get().status_id == ""
