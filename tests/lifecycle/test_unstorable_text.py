"""Text with characters that the database lacks: it is stored without them, and all jobs go on.

On MariaDB the columns really have another character set; elsewhere, writes are rejected as a driver
would.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import DataError, OperationalError, connection, transaction

from django_docraptor import lifecycle, registry
from django_docraptor.client import Client, RemoteStatus
from django_docraptor.models import Account, Pause, RenderJob
from django_docraptor.sandbox import Fault
from django_docraptor.states import EventKind, State
from tests.support.databases import rejecting
from tests.support.jobs import create_job, enqueue, run_until_finished, run_until_given_up

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.databases]

SMILEY = "\U0001f600"
TEXT = f"Zażółć {SMILEY} gęślą"
# What is left of it in each character set.
STORED = {"utf8mb3": "Zażółć \ufffd gęślą", "latin1": "Za???? ? g??l?"}
COLUMNS = [
    ("django_docraptor_renderjob", "errors"),
    ("django_docraptor_renderjob", "message"),
    ("django_docraptor_renderevent", "message"),
    ("django_docraptor_account", "pause_reason"),
    ("django_docraptor_pause", "reason"),
]
# As PyMySQL and mysqlclient report it.
ERRORS = [DataError, OperationalError]


@pytest.fixture(params=["utf8mb3", "latin1"])
def charset(request: Any) -> str:
    """The character set of the tables."""
    return str(request.param)


@pytest.fixture(params=ERRORS)
def narrow_tables(request: Any, charset: str) -> Iterator[None]:
    """Tables whose texts have that character set."""
    if connection.vendor == "mysql":
        with real_charset(charset):
            yield
        return
    error = request.param(1366, "Incorrect string value")
    characters = {"utf8mb3": SMILEY, "latin1": SMILEY + "\ufffdżłćęś"}[charset]
    with rejecting_any(characters, error):
        yield


@contextmanager
def real_charset(charset: str) -> Iterator[None]:
    """Give the columns with external texts this character set."""

    def change(name: str) -> None:
        with connection.cursor() as cursor:
            for table, column in COLUMNS:
                cursor.execute(
                    f"ALTER TABLE {table} MODIFY {column} longtext CHARACTER SET {name} NOT NULL"
                )

    change(charset)
    try:
        yield
    finally:
        RenderJob.objects.all().delete()
        change("utf8mb4")


@contextmanager
def rejecting_any(characters: str, error: Exception) -> Iterator[None]:
    """Reject every write with one of these characters."""
    if not characters:
        yield
        return
    with rejecting(characters[0], error), rejecting_any(characters[1:], error):
        yield


def finished(*jobs: RenderJob) -> list[str]:
    """Run the engine and return the jobs' states."""
    return [run_until_finished(job).state for job in jobs]


@pytest.mark.fault("X8")
def test_status_text_is_stored_without_the_characters(
    sandbox, documents_dir, monkeypatch, narrow_tables, charset
) -> None:
    """Texts of a status are stored as far as possible, and all jobs of the batch go on."""
    failing, completing, *others = [enqueue() for _ in range(4)]
    lifecycle.submit()
    failing.refresh_from_db()
    completing.refresh_from_db()
    real = Client.get_status

    def get_status(client: Client, status_id: str) -> RemoteStatus:
        remote = real(client, status_id)
        if status_id == failing.status_id:
            return RemoteStatus(status="failed", validation_errors=TEXT, message=TEXT)
        if status_id == completing.status_id and remote.status == "completed":
            return RemoteStatus(status="completed", download_id=remote.download_id, message=TEXT)
        return remote

    monkeypatch.setattr(Client, "get_status", get_status)
    assert finished(*others, completing, failing) == [State.COMPLETED] * 3 + [State.FAILED]
    for job in (failing, completing):
        job.refresh_from_db()
        assert job.message == STORED[charset]
    assert failing.errors == failing.events.last().message == STORED[charset]


@pytest.mark.fault("X8")
@pytest.mark.parametrize("error", ERRORS)
def test_id_with_such_a_character_fails_the_job_only(
    sandbox, documents_dir, monkeypatch, error: type[Exception]
) -> None:
    """An ID is not stored without a character: its job fails, and all others go on."""
    odd, *others = [enqueue() for _ in range(3)]
    lifecycle.submit()
    odd.refresh_from_db()
    real = Client.get_status

    def get_status(client: Client, status_id: str) -> RemoteStatus:
        if status_id == odd.status_id:
            return RemoteStatus(status="completed", download_id=f"d{SMILEY}")
        return real(client, status_id)

    monkeypatch.setattr(Client, "get_status", get_status)
    with rejecting(SMILEY, error(1366, "Incorrect string value")):
        assert finished(*others) == [State.COMPLETED] * 2
        assert run_until_given_up(odd).state == State.FAILED
    odd.refresh_from_db()
    assert odd.error_code in ("status_unavailable", "timed_out")


@pytest.mark.fault("X8")
def test_rejection_is_stored_without_the_characters(
    sandbox, documents_dir, narrow_tables, charset
) -> None:
    """The reasons of a 422 are stored as far as possible, and all jobs of the batch go on."""
    sandbox.add_fault(
        Fault(on="create", action="status", status_code=422, reason=TEXT, match="odd")
    )
    odd, *others = [enqueue(name=name) for name in ("odd", "a", "b", "c")]
    assert finished(odd, *others) == [State.FAILED] + [State.COMPLETED] * 3
    odd.refresh_from_db()
    assert (odd.error_code, odd.errors) == ("rejected", STORED[charset])


@pytest.mark.fault("X8")
def test_passing_error_is_stored_without_the_characters(
    sandbox, documents_dir, narrow_tables, charset
) -> None:
    """The text of an error that passes does not stop a job or its account."""
    reason = {"reason": TEXT, "times": 1}
    sandbox.add_fault(
        Fault(on="create", action="status", status_code=401, **reason),
        Fault(on="create", action="status", status_code=403, **reason),
        Fault(on="status", action="status", status_code=503, **reason),
        Fault(on="download", action="status", status_code=503, **reason),
    )
    job = enqueue()
    lifecycle.submit()
    assert STORED[charset] in Pause.objects.get().reason
    assert finished(job) == [State.COMPLETED]
    assert sum(STORED[charset] in event.message for event in job.events.all()) == 4


@pytest.mark.fault("X8")
def test_circuit_opens_with_the_text_of_the_failure(narrow_tables, charset) -> None:
    """The reason why a circuit opened is stored as far as possible."""
    Account.objects.create(name="flaky", failures=99)
    Account.record_failure("flaky", TEXT)
    assert Account.objects.get().pause_reason == STORED[charset]


@pytest.mark.fault("X8")
def test_traceback_is_stored_without_the_characters(
    sandbox, documents_dir, monkeypatch, narrow_tables, charset
) -> None:
    """The traceback of a template is stored as far as possible, and all jobs go on."""

    class Broken:
        """A document whose template raises."""

        def render(self, job: RenderJob, job_input: object) -> str:
            raise ValueError(TEXT)

    monkeypatch.setattr(registry, "get", lambda label: Broken())
    odd, *others = [enqueue() for _ in range(3)]
    RenderJob.objects.filter(pk=odd.pk).update(document="shop.Broken")
    odd.input.content = ""
    odd.input.save()
    assert finished(odd, *others) == [State.FAILED] + [State.COMPLETED] * 2
    odd.refresh_from_db()
    assert odd.error_code == "template_error"
    assert odd.errors.strip().endswith(f"ValueError: {STORED[charset]}")


@pytest.mark.fault("X8")
def test_event_in_a_transaction_is_stored_without_the_characters(narrow_tables, charset) -> None:
    """Within a transaction of the project, the rejected write does not end the transaction."""
    job = create_job(State.FAILED)
    with transaction.atomic():
        job.record_event(EventKind.DELIVERY_FAILED, note=TEXT, detail={"text": [TEXT]})
        assert job.move(State.PENDING, kind=EventKind.RETRIED, note=TEXT, due_at=job.created_at)
    messages = [event.message for event in job.events.all()][1:]
    assert messages == [STORED[charset]] * 2


def test_other_database_errors_are_raised(sandbox) -> None:
    """A write that fails for another reason is not repeated, whatever its texts are."""
    job = create_job(State.QUEUED)
    tries = []

    def fail(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        tries.append(sql)
        raise OperationalError(1213, "Deadlock found")

    with connection.execute_wrapper(fail), pytest.raises(OperationalError):
        job.update_leased(errors=TEXT)
    assert len(tries) == 1


@pytest.mark.parametrize(("text", "tries"), [("plain", 1), ("ż", 2), (SMILEY, 3)])
def test_write_is_repeated_only_with_other_text(text: str, tries: int) -> None:
    """A value that is rejected for another reason is not written again and again."""
    job = create_job(State.QUEUED)
    seen = []

    def fail(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        seen.append(sql)
        raise DataError(1264, "Out of range value")

    with connection.execute_wrapper(fail), pytest.raises(DataError):
        job.update_leased(errors=text)
    assert len(seen) == tries
