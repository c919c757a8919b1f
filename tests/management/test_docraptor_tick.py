"""`manage.py docraptor_tick` runs the engine without Celery."""

import time
from collections.abc import Iterator
from io import StringIO
from typing import Any
from urllib.parse import urlsplit

import pytest
from celery.signals import before_task_publish
from django.core.management import CommandError, call_command
from django.db import OperationalError, ProgrammingError, connection
from django.db.migrations.recorder import MigrationRecorder

from django_docraptor import advice
from django_docraptor.models import Heartbeat, RenderJob, heartbeat, seconds_from_now
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.states import HELD_UNTIL, State
from tests.support.jobs import enqueue
from tests.support.socket_server import unused_port

pytestmark = pytest.mark.django_db(transaction=True)

UNTIL_IDLE = ("--until-idle", "--interval", "0.05", "--timeout", "20")


def tick(*arguments: str) -> str:
    """Run the command and return its output."""
    out = StringIO()
    call_command("docraptor_tick", *arguments, stdout=out)
    return out.getvalue()


def test_tick_runs_one_round(sandbox: Sandbox) -> None:
    """Without options the command runs one round and reports its steps."""
    job = enqueue()
    assert tick() == "Ran 1 step.\n"
    assert RenderJob.objects.get(pk=job.pk).state == State.QUEUED


def test_idle_tick_prints_nothing(sandbox: Sandbox) -> None:
    """Without work the command prints nothing, so that cron sends no mail."""
    assert tick() == ""


def test_tick_records_a_heartbeat(sandbox: Sandbox, monkeypatch) -> None:
    """The heartbeat shows that ticks are running."""
    monkeypatch.setattr(heartbeat, "_last_recorded", {})
    tick()
    assert Heartbeat.objects.get().ticked_at is not None


def test_until_idle_finishes_every_job(sandbox: Sandbox, documents_dir) -> None:
    """The command runs until every job is finished."""
    jobs = [enqueue() for _ in range(3)]
    tick("--until-idle", "--interval", "0.05", "--timeout", "20")
    states = RenderJob.objects.values_list("state", flat=True)
    assert list(states) == [State.COMPLETED] * len(jobs)
    assert len(sandbox.ledger.accepted()) == len(jobs)


def test_until_idle_ends_at_once_without_jobs(sandbox: Sandbox) -> None:
    """Without unfinished jobs the command ends at once, which is no failure."""
    before = time.monotonic()
    tick("--until-idle", "--interval", "30")
    tick("--until-idle", "--timeout", "0")
    assert time.monotonic() - before < 5


@pytest.mark.parametrize("mode", ["--until-idle", "--loop"])
def test_timeout_fails_with_the_remaining_jobs(sandbox: Sandbox, mode: str) -> None:
    """After the timeout the command fails and says how many jobs are left."""
    sandbox.change_settings(delay=30)
    enqueue()
    with pytest.raises(CommandError, match=r"0\.2 s: 1 jobs are unfinished"):
        tick(mode, "--timeout", "0.2", "--interval", "0.05")


def test_loop_prints_the_set_up_and_each_final_job(sandbox: Sandbox, documents_dir) -> None:
    """One line at the start, and one for each job that has completed or failed, with its code."""
    sandbox.add_fault(Fault(on="render", action="fail", times=1))
    jobs = [enqueue(name="a.pdf"), enqueue(name="b.pdf")]
    first, *lines = tick(*UNTIL_IDLE).splitlines()
    assert first.startswith(f"Database: {connection.vendor}, {connection.settings_dict['NAME']}. ")
    assert first.endswith(f"DocRaptor: {sandbox.url}. Test mode: on.")
    final = [RenderJob.objects.get(pk=job.pk) for job in jobs]
    assert {job.state for job in final} == {State.COMPLETED, State.FAILED}
    endings = {State.COMPLETED: "completed", State.FAILED: "failed, render_failed"}
    expected = [f"{job.name} ({job.pk}): {endings[State(job.state)]}" for job in final]
    assert sorted(lines) == sorted(expected)


def test_loop_prints_why_nothing_moves_once(sandbox: Sandbox) -> None:
    """While jobs wait after an error, the loop prints the error when it changes, not each round."""
    sandbox.add_fault(
        Fault(on="create", action="status", status_code=401, reason="Unauthorized", times=1)
    )
    enqueue()
    out = StringIO()
    arguments = ("--loop", "--timeout", "0.5", "--interval", "0.05")
    with pytest.raises(CommandError):
        call_command("docraptor_tick", *arguments, stdout=out)
    _start, *lines = out.getvalue().splitlines()
    assert [line.partition("Unauthorized")[0] for line in lines] == ["Waiting. Last error: "]


def test_loop_prints_no_secret(sandbox: Sandbox, documents_dir, settings: Any) -> None:
    """The output has no API key, no content and no public URL."""
    url = urlsplit(sandbox.url)
    with_password = f"{url.scheme}://user:password@{url.netloc}"
    key, settings.DOCRAPTOR = "canary-key", settings.DOCRAPTOR | {"API_KEY": "canary-key"}
    reason = f"Your key {key} is over its limit."
    sandbox.add_fault(Fault(on="create", action="status", status_code=403, reason=reason, times=1))
    enqueue(content="<p>canary-content</p>", hosted=True)
    enqueue(content="<p>canary-content</p>")
    out = StringIO()
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"BASE_URL": with_password}
    call_command("docraptor_tick", *UNTIL_IDLE, stdout=out)
    job = RenderJob.objects.get(hosted=True)
    assert job.public_url
    assert "is over its limit." in out.getvalue()
    for secret in (key, "canary-content", job.public_url, "password"):
        assert secret not in out.getvalue()


@pytest.mark.parametrize("mode", [(), ("--until-idle", "--interval", "0.05", "--timeout", "20")])
def test_verbosity_0_is_silent(sandbox: Sandbox, documents_dir, mode: tuple[str, ...]) -> None:
    """With --verbosity 0 nothing is printed, whatever happens."""
    sandbox.add_fault(Fault(on="render", action="fail", times=1))
    enqueue()
    enqueue()
    assert tick(*mode, "--verbosity", "0") == ""


def test_interrupted_loop_stops(sandbox: Sandbox, monkeypatch) -> None:
    """Ctrl-C ends the loop without a traceback."""

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)
    assert tick("--loop").endswith("Stopped.\n")
    assert tick("--loop", "--verbosity", "0") == ""


def test_tick_publishes_nothing(sandbox: Sandbox, documents_dir, settings) -> None:
    """No message is published."""
    published: list[Any] = []

    def note(**kwargs: Any) -> None:
        published.append(kwargs)

    enqueue()
    before_task_publish.connect(note)
    try:
        tick("--until-idle", "--interval", "0.05", "--timeout", "20")
    finally:
        before_task_publish.disconnect(note)
    assert published == []


def test_loop_survives_a_database_error(sandbox: Sandbox, documents_dir, caplog) -> None:
    """A database error ends the round, is logged, and the next round runs."""
    enqueue()
    failures = []

    def down(execute, sql, params, many, context):
        if not failures:
            failures.append(sql)
            raise OperationalError("server closed the connection unexpectedly")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(down):
        tick("--until-idle", "--interval", "0.05", "--timeout", "20")
    assert failures
    assert "Database unavailable" in caplog.text
    assert RenderJob.objects.get().state == State.COMPLETED


@pytest.fixture
def _unmigrated() -> Iterator[None]:
    """The migration of the app is not applied, and its tables are missing."""
    applied = MigrationRecorder(connection).migration_qs.filter(app="django_docraptor")
    rows = list(applied.values_list("app", "name"))
    applied.delete()

    def missing(execute, sql, params, many, context):
        if "django_docraptor_" in sql:
            raise ProgrammingError('relation "django_docraptor_renderjob" does not exist')
        return execute(sql, params, many, context)

    with connection.execute_wrapper(missing):
        yield
    for app, name in rows:
        MigrationRecorder(connection).record_applied(app, name)


@pytest.mark.usefixtures("_unmigrated")
def test_missing_tables_are_told_in_one_line() -> None:
    """Before the migration, the command says what to run."""
    with pytest.raises(CommandError, match=r"^The tables .* Run manage.py migrate.$"):
        tick()


@pytest.mark.usefixtures("_unmigrated")
def test_schema_without_tables_is_skipped(monkeypatch) -> None:
    """The command that visits every tenant goes on with the next one."""
    monkeypatch.setattr(connection, "schema_name", "public", raising=False)
    err = StringIO()
    call_command("docraptor_tick", stderr=err)
    assert err.getvalue().startswith("Skipped: The tables of django_docraptor are missing or old")
    assert "in the schema 'public'. Run manage.py migrate." in err.getvalue()


@pytest.mark.django_db(transaction=True)
def test_migration_without_its_tables_is_none() -> None:
    """A router may keep the tables out of a database in which Django records the migration."""
    table = RenderJob._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO hidden_jobs")
    try:
        with pytest.raises(CommandError, match=r"^The tables .* Run manage.py migrate.$"):
            tick()
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE hidden_jobs RENAME TO {table}")


@pytest.mark.usefixtures("_unmigrated")
def test_loop_waits_for_the_migration(caplog) -> None:
    """The loop says once what to run, without a traceback, and goes on."""
    with pytest.raises(CommandError, match=r"manage\.py migrate"):
        tick("--loop", "--timeout", "0.3", "--interval", "0.05")
    assert caplog.text.count("manage.py migrate") == 1
    assert "Traceback" not in caplog.text


def test_tick_tells_the_last_error_of_what_it_will_try_again(settings) -> None:
    """A sandbox that is not running is told by the tick that has met it, with the remedy."""
    url = f"http://127.0.0.1:{unused_port()}"
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"BASE_URL": url, "RUNNER": "none"}
    enqueue()
    steps, reason = tick().splitlines()
    assert steps == "Ran 1 step."
    assert reason.startswith(f"Waiting, to try again. Last error: The request to {url} was not")
    assert "Is the sandbox running? Start it" in reason


def test_tick_tells_how_to_resume_a_paused_account(sandbox: Sandbox) -> None:
    """A rejected key is told with what happens after its correction."""
    sandbox.change_settings(api_key="another")
    enqueue()
    _steps, reason = tick().splitlines()
    assert reason.startswith("Account “default” is paused until")
    assert reason.endswith(str(advice.RESUME))


def test_tick_that_does_nothing_says_that_jobs_are_held(sandbox: Sandbox) -> None:
    """A held job, and one that is only postponed, are the reasons why nothing moves."""
    held, postponed = enqueue(name="held.pdf"), enqueue()
    rows = RenderJob.objects
    rows.filter(pk=held.pk).update(due_at=HELD_UNTIL, held_at=seconds_from_now(-1))
    columns = {"failing_since": seconds_from_now(-7200), "errors": "HTTP 503"}
    rows.filter(pk=postponed.pk).update(due_at=seconds_from_now(200), **columns)
    first, second = tick().splitlines()
    assert first.startswith("1 job is held, such as “held.pdf”")
    assert "postponed again and again for 2 hours, because of: HTTP 503." in second


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        ("--interval", "-1", "argument --interval: '-1' is not a non-negative number"),
        ("--interval", "nan", "argument --interval: 'nan' is not"),
        ("--interval", "1e10", "argument --interval: 1e10 seconds is too long; the maximum is"),
        ("--timeout", "-1", "argument --timeout: '-1' is not"),
        ("--timeout", "soon", "argument --timeout: 'soon' is not"),
    ],
)
def test_invalid_number_is_explained(option: str, value: str, problem: str) -> None:
    """The error is one line that names the option, before anything is done."""
    with pytest.raises(CommandError, match=problem):
        tick("--loop", option, value)
    assert not Heartbeat.objects.exists()
