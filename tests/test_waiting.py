"""Waiting for a job in a thread."""

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
def test_wait_returns_the_finished_job(sandbox: Sandbox, documents_dir) -> None:
    """The job is returned as it is when a worker has finished it."""
    job = enqueue()
    with background_worker():
        done = wait_for_job(job, timeout=20)
    assert done.state == State.COMPLETED
    assert job.state == State.PENDING


@pytest.mark.django_db(transaction=True)
def test_wait_times_out_without_touching_the_job(sandbox: Sandbox) -> None:
    """After the timeout an error is raised, and the job was not changed."""
    job = enqueue()
    before = time.monotonic()
    with pytest.raises(TimeoutError, match=f"Job {job.pk} was not finished after 0.3 s"):
        wait_for_job(job, timeout=0.3)
    assert 0.3 <= time.monotonic() - before < 5
    assert RenderJob.objects.get().state == State.PENDING
    assert sandbox.calls == []


@pytest.mark.parametrize("state", sorted(FINAL_STATES))
def test_wait_returns_a_final_job_at_once(state: State) -> None:
    """A final job is returned without waiting, even in a transaction."""
    job = enqueue()
    RenderJob.objects.update(state=state, due_at=None)
    assert wait_for_job(job, timeout=0).state == state


def test_wait_refuses_to_run_in_a_transaction() -> None:
    """No worker can see the job before the commit, so an error is raised at once."""
    job = enqueue()
    before = time.monotonic()
    with pytest.raises(RuntimeError, match="after the atomic block"):
        wait_for_job(job, timeout=20)
    assert time.monotonic() - before < 5
