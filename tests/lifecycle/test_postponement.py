"""What a failed call does to a job, in every step."""

from collections.abc import Callable

import pytest

from django_docraptor import lifecycle
from django_docraptor.models import Account, RenderJob, seconds_from_now
from django_docraptor.models.clock import Now
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.states import State
from tests.support.jobs import (
    downloadable_job,
    enqueue,
    event_kinds,
    paused_accounts,
    run_until_finished,
    skip_time,
)

pytestmark = pytest.mark.django_db(transaction=True)


def fail_repeatedly(count: int) -> None:
    """Run the engine so many times, each time later than any back-off."""
    for _ in range(count):
        skip_time(301)
        Account.objects.update(circuit_open_until=None)
        lifecycle.run_once()


def told_failures(job: RenderJob, kind: str) -> list[int]:
    """Return which of the consecutive failures the history has, by their number."""
    events = job.events.filter(kind=kind).order_by("id")
    return [event.detail.get("failures", 1) for event in events]


@pytest.mark.once
@pytest.mark.fault("S11", "P10")
@pytest.mark.parametrize("on", ["create", "status", "download", "logs"])
def test_outage_leaves_few_events(sandbox: Sandbox, documents_dir, on: str) -> None:
    """The history of an outage has its first failures, and then each at twice the number."""
    job = downloadable_job(test=False) if on == "download" else enqueue(test=False)
    if on == "logs":
        sandbox.add_fault(Fault(on="create", action="reset", accept=True, times=1))
    if on in ("logs", "status"):
        lifecycle.submit()
    code = 429 if on == "create" else 503
    sandbox.add_fault(Fault(on=on, action="status", status_code=code))
    before = len(event_kinds(job))
    # A lost outcome is the first failure, and its log is read less often.
    fail_repeatedly(200 if on == "logs" else 40)
    job.refresh_from_db()
    assert 32 < job.failures < 64
    told = told_failures(job, "not_accepted" if on == "create" else "step_failed")
    assert told == [*range(2 if on == "logs" else 1, 17), 32]
    kinds = event_kinds(job)
    assert len(kinds) == before + len(told) * (2 if on == "create" else 1)
    if on == "create":
        assert kinds == ["enqueued", *["submitting", "not_accepted"] * 17]
    sandbox.clear_faults()
    assert run_until_finished(job).state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) == 1


@pytest.mark.fault("S12")
@pytest.mark.parametrize("on", ["create", "status"])
def test_wrong_key_is_told_once_in_the_history(
    sandbox: Sandbox, documents_dir, settings, on: str
) -> None:
    """A key that stays wrong for weeks is tested again and again, and leaves one event."""
    job = enqueue()
    if on == "status":
        lifecycle.submit()
    before, calls = len(event_kinds(job)), len(sandbox.calls)
    sandbox.change_settings(api_key="right")
    fail_repeatedly(16)
    assert len(sandbox.calls) > calls + 4
    kinds = event_kinds(job)
    assert kinds[before:] == (["submitting", "not_accepted"] if on == "create" else ["step_failed"])
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"API_KEY": "right"}
    assert run_until_finished(job).state == State.COMPLETED


@pytest.mark.fault("S12")
@pytest.mark.parametrize(
    ("state", "call", "step"),
    [
        (State.QUEUED, "status", lifecycle.poll),
        (State.DOWNLOADING, "download", lifecycle.download),
        (State.UNCONFIRMED, "logs", lifecycle.reconcile),
    ],
)
def test_401_pauses_the_account_in_every_step(
    sandbox: Sandbox, state: State, call: str, step: Callable[[], object]
) -> None:
    """A wrong key pauses the account; the job waits in its state, and no failure is counted."""
    job = enqueue()
    RenderJob.objects.filter(pk=job.pk).update(
        state=state,
        attempt=1,
        status_id="known",
        download_id="known",
        sent_at=Now(),
        deadline_at=seconds_from_now(900),
        due_at=Now(),
    )
    sandbox.add_fault(Fault(on=call, action="status", status_code=401))
    step()
    assert paused_accounts() == ["default"]
    job.refresh_from_db()
    assert (job.state, job.failures, job.download_attempts) == (state, 0, 0)
    assert event_kinds(job)[-1] == "step_failed"
    assert RenderJob.objects.filter(pk=job.pk, lease_token="").due().exists()
    sandbox.clear_faults()
    calls = len(sandbox.calls)
    step()
    assert len(sandbox.calls) == calls
