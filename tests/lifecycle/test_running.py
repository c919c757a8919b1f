"""The whole life of a document, over real HTTP, on one thread."""

import hashlib

import pytest

from django_docraptor.sandbox import Sandbox
from django_docraptor.states import State
from tests.support.jobs import HTML, drive, enqueue, kinds, read

pytestmark = pytest.mark.django_db(transaction=True)


def test_run_completes(sandbox: Sandbox, documents) -> None:
    """A pending job becomes a verified file in the storage, with its whole story told."""
    job = drive(enqueue())
    assert job.state == State.COMPLETED
    assert kinds(job) == ["enqueued", "submitting", "accepted", "rendered", "completed"]
    data = read(job)
    assert hashlib.sha256(HTML.encode()).hexdigest().encode() in data
    assert (job.file_size, job.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert job.number_of_pages == 1
    assert len(sandbox.ledger.accepted()) == 1
