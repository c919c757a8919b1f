"""PostgreSQL refuses conflicting transactions at its stricter isolation levels."""

import threading
import time

import pytest
from django.db import OperationalError, connection, connections

from django_docraptor import lifecycle, shortcuts
from django_docraptor.models import RenderJob
from django_docraptor.models.conflicts import is_conflict, repeat_conflicts, repeated_statements
from django_docraptor.sandbox import Sandbox
from django_docraptor.states import State
from tests.support.databases import writes
from tests.support.jobs import enqueue, event_kinds
from tests.support.threads import run_in_threads

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.databases]

ENGINES, JOBS = 4, 40


class RefusedError(Exception):
    """What a driver raises for a serialization failure."""

    sqlstate = "40001"


def refusal() -> OperationalError:
    """Return Django's error for a serialization failure."""
    error = OperationalError("could not serialize access due to concurrent update")
    error.__cause__ = RefusedError()
    return error


def test_only_a_conflict_is_repeated() -> None:
    """Other errors, and errors in a transaction of the caller, are raised at once."""
    calls: list[str] = []

    def fail(error: Exception) -> None:
        calls.append("tried")
        if len(calls) < 3:
            raise error

    repeat_conflicts(lambda: fail(refusal()), using="default", reset=lambda: calls.append("reset"))
    assert calls == ["tried", "reset", "tried"]
    calls.clear()
    with pytest.raises(OperationalError):
        repeat_conflicts(lambda: fail(OperationalError("no such table")), using="default")
    assert calls == ["tried"]
    assert is_conflict(OperationalError(1213, "Deadlock found"))
    assert not is_conflict(OperationalError(1205, "Lock wait timeout exceeded"))


def test_move_that_met_a_conflict_is_repeated(sandbox: Sandbox) -> None:
    """The move is made once, with one event, whichever of its writes was refused first."""
    job, refused = enqueue(), []

    def refuse(execute, sql, params, many, context):
        if not refused and writes(sql, "INSERT") and "cancelled" in map(str, params or ()):
            refused.append(sql)
            raise refusal()
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse):
        assert shortcuts.cancel(job)
    assert refused
    job.refresh_from_db()
    assert (job.state, event_kinds(job)) == (State.CANCELLED, ["enqueued", "cancelled"])


def seconds_to_finish(level: str) -> float:
    """Return the seconds in which four engines finish the jobs at an isolation level."""
    for number in range(JOBS):  # a document that is the same would be copied
        enqueue(name=f"{number}.pdf", content=f"<p>{level} {number}</p>")
    started = time.monotonic()
    lock, errors = threading.Lock(), []

    def run() -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL {level}")
        while time.monotonic() - started < 60:
            try:
                lifecycle.run_once()
                with repeated_statements("default"):
                    if not RenderJob.objects.active().exists():
                        return
            except OperationalError as error:
                with lock:
                    errors.append(error)
            time.sleep(0.05)

    run_in_threads(ENGINES, run)
    seconds = time.monotonic() - started
    assert errors == []
    assert set(RenderJob.objects.values_list("state", flat=True)) == {State.COMPLETED}
    return seconds


@pytest.mark.fault("X10")
@pytest.mark.skipif("connections['default'].vendor != 'postgresql'", reason="levels of PostgreSQL")
@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_strict_isolation_delays_nothing(
    sandbox: Sandbox, documents_dir, settings, level: str
) -> None:
    """Four engines finish 40 jobs in at most twice the time of READ COMMITTED."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"POLL": {"floor": 0.2, "ceiling": 0.5}}
    usual = seconds_to_finish("READ COMMITTED")
    RenderJob.objects.all().delete()
    assert seconds_to_finish(level) < 2 * usual + 1
    assert len(sandbox.ledger.accepted()) == 2 * JOBS
    assert connections["default"].vendor == "postgresql"
