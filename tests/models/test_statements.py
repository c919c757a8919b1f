"""Statements that run for each document: how many they are, and what they leave."""

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from django_docraptor import lifecycle
from django_docraptor.lifecycle.accounts import claim
from django_docraptor.models import RenderEvent, RenderJob, seconds_from_now
from django_docraptor.models.commits import durable_transaction
from django_docraptor.models.statements import Child, Update, update_with_child
from django_docraptor.states import EventKind, State
from tests.support.jobs import create_job, event_kinds

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.databases]


def statements(queries: CaptureQueriesContext) -> list[str]:
    """Return the first word of each statement and transaction frame."""
    return [query["sql"].split()[0] for query in queries.captured_queries]


def test_move_and_event_are_one_transaction() -> None:
    """On PostgreSQL a move is one statement; elsewhere an UPDATE and an INSERT in a transaction."""
    job = create_job(State.QUEUED)
    with CaptureQueriesContext(connection) as queries:  # of an event without a signal
        assert job.move(State.WORKING, kind=EventKind.WORKING)
    framed = ["BEGIN", "UPDATE", "INSERT", "COMMIT"]
    assert statements(queries) == (["WITH"] if connection.vendor == "postgresql" else framed)
    assert event_kinds(job) == ["enqueued", "working"]


def test_callback_is_recorded_by_few_statements() -> None:
    """The first callback takes one statement on PostgreSQL, and its event has the job's state."""
    job = create_job(State.DOWNLOADING, attempt=1)
    with CaptureQueriesContext(connection) as queries:
        assert lifecycle.record_callback(job.pk, 1)
    if connection.vendor == "postgresql":
        assert [word for word in statements(queries) if word == "WITH"] == ["WITH"] * 2
    event = job.events.get(kind=EventKind.CALLBACK)
    assert (event.from_state, event.to_state) == (State.DOWNLOADING, State.DOWNLOADING)


def test_claim_of_lapsed_job_is_alone_and_counted() -> None:
    """A job whose claim lapsed is claimed by itself, when there is no other."""
    lapsed = [
        create_job(State.QUEUED, due_at=seconds_from_now(-1), lease_token="dead") for _ in range(2)
    ]
    (job,) = claim([State.QUEUED], limit=9, lease=60)
    assert job.pk in {row.pk for row in lapsed}
    assert job.lapsed_claims == 1
    assert job.claimed_at is not None


def test_rows_that_do_not_match_get_no_child() -> None:
    """Of several rows, those that match are updated, and only they get a child."""
    claimed = [create_job(State.PENDING, lease_token=token) for token in ("mine", "theirs")]
    changes = {"lease_token": "new", "failures": 3}
    where = {"id": [job.pk for job in claimed], "lease_token": "mine"}
    child = Child(RenderEvent, "job", {"kind": EventKind.UPDATED, "to_state": State.PENDING})
    updated = update_with_child(Update(RenderJob, where, changes), child, using="default")
    assert set(updated) == {claimed[0].pk}
    assert [event_kinds(job)[1:] for job in claimed] == [["updated"], []]


def test_durable_transaction_refuses_to_be_nested() -> None:
    """Within a transaction of the caller nothing would be committed, so it is refused."""
    with (
        transaction.atomic(),
        pytest.raises(RuntimeError, match="durable"),
        durable_transaction("default", statements=1),
    ):
        pass
