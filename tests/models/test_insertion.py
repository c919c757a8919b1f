"""Jobs are stored with their inputs and first events, in few statements."""

import pytest
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext

from django_docraptor.models import RenderInput, RenderJob
from django_docraptor.shortcuts import JobSpec, enqueue, enqueue_many
from django_docraptor.states import EventKind, State
from tests.support.databases import rejecting

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.databases]


def test_single_job_takes_few_statements() -> None:
    """On PostgreSQL, a job is one statement without a transaction; elsewhere it is three in one."""
    with CaptureQueriesContext(connection) as queries:
        job = enqueue(name="a.pdf", content="<p>A</p>")
        assert job.created_at
    assert len(queries) == (1 if connection.vendor == "postgresql" else 5)


@pytest.mark.parametrize("count", [1, 2, 60])
def test_rows_are_the_same_however_many(count: int) -> None:
    """One job, some and many have the same columns."""
    specs = [JobSpec(name=f"{n}.pdf", content=f"<p>{n}</p>") for n in range(count)]
    for number, returned in enumerate(enqueue_many(specs)):
        job = RenderJob.objects.get(pk=returned.pk)
        assert (job.name, job.state) == (f"{number}.pdf", State.PENDING)
        assert job.created_at == job.due_at == returned.created_at == returned.due_at
        assert job.input.content == f"<p>{number}</p>"
        event = job.events.get()
        assert (event.kind, event.to_state, event.attempt) == (EventKind.ENQUEUED, State.PENDING, 0)
        assert event.at >= job.created_at
        returned.save()  # it is known to be stored


def test_nothing_is_stored_if_the_database_refuses_a_part() -> None:
    """Without a transaction of the caller, too, a job is stored as a whole or not at all."""
    with rejecting("Refused", IntegrityError("refused")), pytest.raises(IntegrityError):
        enqueue(name="a.pdf", content="<p>Refused</p>")
    assert not RenderJob.objects.exists()
    assert not RenderInput.objects.exists()
