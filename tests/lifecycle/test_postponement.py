"""What a failed call does to a job, in every step."""

from collections.abc import Callable

import pytest

from django_docraptor import lifecycle
from django_docraptor.models import RenderJob, seconds_from_now
from django_docraptor.models.clock import Now
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.states import State
from tests.support.jobs import enqueue, event_kinds, paused_accounts

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
    assert paused_accounts() == ["default"]
    job.refresh_from_db()
    assert (job.state, job.failures, job.download_attempts) == (state, 0, 0)
    assert event_kinds(job)[-1] == "step_failed"
    assert RenderJob.objects.filter(pk=job.pk, lease_token="").due().exists()
    sandbox.clear_faults()
    calls = len(sandbox.calls)
    step()
    assert len(sandbox.calls) == calls
