"""Learning how a document stands: rows P of the fault matrix, and the poll schedule."""

from statistics import fmean

import pytest

from django_docraptor import lifecycle
from django_docraptor.lifecycle.backoff import poll_interval
from django_docraptor.lifecycle.polling import answered
from django_docraptor.lifecycle.remote import client_for
from django_docraptor.models import RenderJob
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.states import State
from tests.support.jobs import drive, enqueue, kinds, skip_time

pytestmark = pytest.mark.django_db(transaction=True)


def submitted(**order) -> RenderJob:
    """A job that DocRaptor has accepted."""
    job = enqueue(**order)
    lifecycle.submit()
    return RenderJob.objects.get(pk=job.pk, state=State.QUEUED)


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
def test_P1_passing_faults(sandbox: Sandbox, documents, fault: Fault) -> None:
    """A status call that fails is asked again later; the document is not lost."""
    job = submitted()
    sandbox.add_fault(fault)
    job = drive(job)
    assert job.state == State.COMPLETED
    assert kinds(job).count("try_failed") == fault.times
    assert (job.errors, job.error_code) == ("", "")


def test_P1_retry_after_is_honoured(sandbox: Sandbox) -> None:
    """DocRaptor says when to come back: not before."""
    job = submitted()
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


def test_P1_for_ever(sandbox: Sandbox) -> None:
    """A status that can never be had fails the job in the end, and a retry resumes it unbilled."""
    job = submitted()
    sandbox.add_fault(Fault(on="status", action="status", status_code=500))
    job = drive(job)
    assert (job.state, job.error_code) == (State.FAILED, "status_unavailable")
    assert job.resume_state == State.QUEUED
    assert "HTTP 500" in job.errors


def test_P2_unknown_word(sandbox: Sandbox, documents, caplog) -> None:
    """A status word that we do not know means: keep looking."""
    job = submitted()
    sandbox.add_fault(Fault(on="status", action="unknown_state", state="paused", times=2))
    assert drive(job).state == State.COMPLETED
    assert "unknown status 'paused'" in caplog.text


def test_P3_status_not_found(sandbox: Sandbox) -> None:
    """404 five times over: DocRaptor does not know the document."""
    job = submitted()
    sandbox.add_fault(Fault(on="status", action="status", status_code=404))
    job = drive(job)
    assert (job.state, job.error_code) == (State.FAILED, "status_unavailable")
    assert sandbox.ledger.status_calls == 5


@pytest.mark.parametrize("word", ["failed", "killed"])
def test_P4_remote_failure(sandbox: Sandbox, word: str) -> None:
    """A document that DocRaptor could not make fails with all of its reasons, whole."""
    reasons = "Name can't be blank\nName is too long (maximum is 200 characters)"
    sandbox.add_fault(Fault(on="render", action="fail", reason=reasons, state=word))
    job = drive(enqueue())
    assert (job.state, job.error_code, job.errors) == (State.FAILED, "render_failed", reasons)
    assert sandbox.ledger.callback_calls == 0


def test_P5_stays_working(sandbox: Sandbox) -> None:
    """A document that never ends is given up at its deadline."""
    sandbox.add_fault(Fault(on="render", action="stall"))
    job = submitted()
    skip_time(2)
    lifecycle.poll()
    job.refresh_from_db()
    assert job.state == State.WORKING
    skip_time(700)
    lifecycle.poll()
    job.refresh_from_db()
    assert (job.state, job.error_code) == (State.FAILED, "timed_out")
    assert job.may_have_been_billed


def test_P5_not_failed_without_asking(sandbox: Sandbox, documents) -> None:
    """Past its deadline a job is asked for once more: it may be finished."""
    job = submitted()
    skip_time(3600)
    assert drive(job).state == State.COMPLETED


def test_P6_a_long_pause(sandbox: Sandbox, documents) -> None:
    """Nothing ran for ten minutes: everything goes on where it was."""
    jobs = [submitted(), enqueue()]
    skip_time(600)
    assert [drive(job).state for job in jobs] == [State.COMPLETED] * 2
    assert len(sandbox.ledger.accepted()) == 2


def test_poll_401_pauses_the_account(sandbox: Sandbox, documents, settings) -> None:
    """A key that stopped working fails no job, not even past the deadline."""
    job = submitted()
    right = settings.DOCRAPTOR
    sandbox.change_settings(api_key="right")
    settings.DOCRAPTOR = right | {"API_KEY": "wrong"}
    skip_time(2)
    lifecycle.poll()
    job.refresh_from_db()
    assert job.state == State.QUEUED
    settings.DOCRAPTOR = right | {"API_KEY": "right"}
    skip_time(900)
    assert drive(job).state == State.COMPLETED


def test_poll_a_late_queued_never_moves_back(sandbox: Sandbox) -> None:
    """A working job stays working, whatever an older answer says."""
    sandbox.change_settings(delay=30)
    job = submitted()
    sandbox.add_fault(Fault(on="status", action="unknown_state", state="working", times=1))
    skip_time(2)
    lifecycle.poll()
    sandbox.add_fault(Fault(on="status", action="unknown_state", state="queued", times=1))
    skip_time(2)
    lifecycle.poll()
    job.refresh_from_db()
    assert job.state == State.WORKING
    assert kinds(job).count("working") == 1


def test_poll_never_holds_a_lease_after_it_ended(sandbox: Sandbox) -> None:
    """A poller that lost its lease writes nothing, whatever it learned."""
    submitted()
    skip_time(2)
    due = RenderJob.objects.filter(state=State.QUEUED)
    (stalled,) = due.claim(limit=1, lease=60)
    skip_time(61)
    (current,) = due.claim(limit=1, lease=60)
    remote = client_for("default").get_status(stalled.status_id)
    answered(stalled, remote)
    current.refresh_from_db()
    assert current.state == State.QUEUED


@pytest.mark.parametrize(("render", "calls"), [(5, 6), (60, 20), (600, 40)])
def test_poll_interval_few_calls(render: float, calls: int) -> None:
    """Polling alone needs few calls, and the wait after the end is a small share of the render."""
    seen = [_watched(render) for _ in range(400)]
    assert fmean(made for made, _ in seen) <= calls
    assert max(made for made, _ in seen) <= 1.2 * calls
    assert fmean(wait for _, wait in seen) <= max(0.75, 0.11 * render)
    assert max(wait for _, wait in seen) <= max(1.4, 0.22 * render)


def _watched(render: float) -> tuple[int, float]:
    """Calls until a render is seen to have ended, and the wait after its end."""
    age, made = 0.0, 0
    while age < render:
        age += poll_interval(age)
        made += 1
    return made, age - render
