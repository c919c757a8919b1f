"""A job from pending to completed, over real HTTP, in one thread."""

import hashlib

import pytest

from django_docraptor.sandbox import Sandbox
from django_docraptor.states import State
from tests.support.jobs import HTML, enqueue, event_kinds, read_file, run_until_finished

pytestmark = pytest.mark.django_db(transaction=True)


def test_run_turns_a_pending_job_into_a_verified_file(sandbox: Sandbox, documents_dir) -> None:
    """A pending job becomes a verified file in the storage, with every event recorded."""
    job = run_until_finished(enqueue())
    assert job.state == State.COMPLETED
    assert event_kinds(job) == ["enqueued", "submitting", "accepted", "rendered", "completed"]
    data = read_file(job)
    assert hashlib.sha256(HTML.encode()).hexdigest().encode() in data
    assert (job.file_size, job.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert job.number_of_pages == 1
    assert len(sandbox.ledger.accepted()) == 1
