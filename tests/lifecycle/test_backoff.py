"""What a wrong key does to a job, whichever step meets it."""

from collections.abc import Callable

import pytest
from django.db.models.functions import Now

from django_docraptor import lifecycle
from django_docraptor.models import Account, RenderJob, seconds_from_now
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.states import ACCOUNT_PAUSE_SECONDS, State
from tests.support.jobs import enqueue, kinds

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("state", "call", "step"),
    [
        (State.QUEUED, "status", lifecycle.poll),
        (State.DOWNLOADING, "download", lifecycle.collect),
        (State.UNCONFIRMED, "logs", lifecycle.reconcile),
    ],
)
def test_401_pauses_the_account(
    sandbox: Sandbox, state: State, call: str, step: Callable[[], object]
) -> None:
    """The account's calls stop; the job waits in its state for as long, and no try is counted."""
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
    assert kinds(job)[-1] == "try_failed"
    due = RenderJob.objects.filter(pk=job.pk)
    assert not due.filter(due_at__lt=seconds_from_now(ACCOUNT_PAUSE_SECONDS - 60)).exists()
    assert due.filter(due_at__lt=seconds_from_now(ACCOUNT_PAUSE_SECONDS + 60)).exists()
