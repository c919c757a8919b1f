"""Waiting for a job's row in a thread."""

import time

import pytest

from django_docraptor.models import RenderJob
from django_docraptor.sandbox import Sandbox
from django_docraptor.states import FINAL_STATES, State
from django_docraptor.waiting import wait_for_job
from tests.support.jobs import enqueue
from tests.support.threads import background_worker

pytestmark = pytest.mark.django_db


@pytest.mark.django_db(transaction=True)
def test_job_done(sandbox: Sandbox, documents_dir) -> None:
    """What a worker makes meanwhile comes back as it then is."""
    job = enqueue()
    with background_worker():
        done = wait_for_job(job, timeout=20)
    assert done.state == State.COMPLETED
    assert job.state == State.PENDING


@pytest.mark.django_db(transaction=True)
def test_job_done_times_out(sandbox: Sandbox) -> None:
    """Waiting ends in time; it has not touched the job, which nobody works on."""
    job = enqueue()
    before = time.monotonic()
    with pytest.raises(TimeoutError, match=f"Job {job.pk} was not done after 0.3 s"):
        wait_for_job(job, timeout=0.3)
    assert 0.3 <= time.monotonic() - before < 5
    assert RenderJob.objects.get().state == State.PENDING
    assert sandbox.calls == []


@pytest.mark.parametrize("state", sorted(FINAL_STATES))
def test_job_done_already(state: State) -> None:
    """A final job is not waited for, in a transaction neither."""
    job = enqueue()
    RenderJob.objects.update(state=state, due_at=None)
    assert wait_for_job(job, timeout=0).state == state


def test_job_done_in_a_transaction() -> None:
    """Waiting for what nobody can see is a mistake that is told at once."""
    job = enqueue()
    before = time.monotonic()
    with pytest.raises(RuntimeError, match="after the atomic block"):
        wait_for_job(job, timeout=20)
    assert time.monotonic() - before < 5
