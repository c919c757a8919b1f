"""What a failed call does to a job, in every step."""

from collections.abc import Callable

import pytest

from django_docraptor import lifecycle
from django_docraptor.models import Account, RenderJob, seconds_from_now
from django_docraptor.models.clock import Now
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.states import ACCOUNT_PAUSE_SECONDS, State
from tests.support.jobs import enqueue, event_kinds

pytestmark = pytest.mark.django_db(transaction=True)


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
    assert list(Account.paused_until_by_name()) == ["default"]
    job.refresh_from_db()
    assert (job.state, job.failures, job.download_attempts) == (state, 0, 0)
    assert event_kinds(job)[-1] == "step_failed"
    due = RenderJob.objects.filter(pk=job.pk)
    assert not due.filter(due_at__lt=seconds_from_now(ACCOUNT_PAUSE_SECONDS - 60)).exists()
    assert due.filter(due_at__lt=seconds_from_now(ACCOUNT_PAUSE_SECONDS + 60)).exists()
