"""Which steps are woken, and when: once a transaction, one wake-up for the next due job."""

import logging
from collections.abc import Iterator

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from django_docraptor import lifecycle, wakeups
from django_docraptor.models import Heartbeat, RenderGroup, RenderJob, seconds_from_now
from django_docraptor.runners import Step
from django_docraptor.sandbox import Sandbox
from django_docraptor.states import ACTIVE_STATES, FINAL_STATES, State
from tests.support.jobs import enqueue, pause_account, skip_time
from tests.support.runners import RECORDING_RUNNER, RecordingRunner

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def runner(settings) -> Iterator[type[RecordingRunner]]:
    """The runner in force, which records what it is asked to wake."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RUNNER": RECORDING_RUNNER}
    RecordingRunner.reset()
    yield RecordingRunner
    RecordingRunner.reset()


@pytest.fixture
def engine(sandbox: Sandbox, runner, settings) -> Sandbox:
    """The sandbox, with the recording runner in force."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RUNNER": RECORDING_RUNNER}
    return sandbox


def create_quietly(state: State, seconds: float) -> RenderJob:
    """Return a job in the state that is due in ``seconds``; its notification is forgotten."""
    job = enqueue()
    due_at = None if state in FINAL_STATES else seconds_from_now(seconds)
    RenderJob.objects.filter(pk=job.pk).update(
        state=state, attempt=1, due_at=due_at, sent_at=seconds_from_now(0)
    )
    RecordingRunner.sent.clear()
    return job


# --- one notification ------------------------------------------------------------------------


def test_notify_returns_whether_runner_accepted_the_message(runner) -> None:
    """A message that the runner takes is reported as accepted."""
    assert wakeups.notify(Step.SUBMIT) is True
    assert runner.sent == [(Step.SUBMIT, 0.0)]


def test_notify_warns_once_if_runner_raises(runner, monkeypatch, caplog) -> None:
    """A queue that is down gives False and one warning, however often a message is sent."""
    monkeypatch.setattr(wakeups, "_last_warned_at", float("-inf"))
    runner.error = ConnectionRefusedError("connection refused")
    with caplog.at_level(logging.WARNING, logger="django_docraptor"):
        assert [wakeups.notify(Step.SUBMIT) for _ in range(3)] == [False] * 3
    (warning,) = caplog.records
    assert "next tick" in warning.getMessage()
    assert "connection refused" in warning.getMessage()


@pytest.mark.fault("E2")
def test_job_is_finished_by_ticks_if_queue_is_down(runner, engine: Sandbox, documents_dir) -> None:
    """A job whose notification failed is stored, and the next rounds complete it."""
    runner.error = ConnectionRefusedError("connection refused")
    job = enqueue()
    for _ in range(3):
        lifecycle.run_once()
        skip_time(2)
    assert RenderJob.objects.get(pk=job.pk).state == State.COMPLETED
    assert engine.ledger.create_calls == 1


# --- notifications on commit -----------------------------------------------------------------


def test_notification_waits_for_commit(runner) -> None:
    """No worker is notified before it can see the job."""
    with transaction.atomic():
        enqueue()
        assert runner.sent == []
    assert runner.steps() == ["submit"]


def test_notification_is_immediate_outside_a_transaction(runner) -> None:
    """In autocommit the notification is sent at once."""
    enqueue()
    assert runner.steps() == ["submit"]


def test_transaction_sends_one_notification(runner) -> None:
    """Five jobs in a transaction send one notification."""
    with transaction.atomic():
        for _ in range(5):
            enqueue()
    assert runner.steps() == ["submit"]


def test_transaction_sends_one_notification_per_step(runner) -> None:
    """Different steps are notified separately."""
    with transaction.atomic():
        wakeups.notify_on_commit(Step.SUBMIT)
        wakeups.notify_on_commit(Step.DISPATCH)
        wakeups.notify_on_commit(Step.SUBMIT)
    assert runner.steps() == ["submit", "dispatch"]


def test_each_transaction_sends_its_own_notification(runner) -> None:
    """The next transaction notifies again."""
    for _ in range(2):
        with transaction.atomic():
            enqueue()
    assert runner.steps() == ["submit", "submit"]


@pytest.mark.fault("E1")
def test_rollback_sends_no_notification(runner) -> None:
    """A rollback leaves no job and no notification."""
    with transaction.atomic():
        enqueue()
        transaction.set_rollback(True)
    assert runner.sent == []
    assert not RenderJob.objects.exists()


def roll_back_a_savepoint() -> None:
    """Enqueue in a savepoint that is rolled back."""
    with transaction.atomic():
        enqueue(name="lost")
        transaction.set_rollback(True)


def test_savepoint_rollback_sends_no_notification(runner) -> None:
    """The only job was in a savepoint that rolled back: no notification."""
    with transaction.atomic():
        roll_back_a_savepoint()
    assert runner.sent == []


def test_notification_after_a_lost_savepoint_is_sent(runner) -> None:
    """A notification that was dropped with its savepoint does not suppress a later one."""
    with transaction.atomic():
        roll_back_a_savepoint()
        enqueue(name="kept")
    assert runner.steps() == ["submit"]
    assert RenderJob.objects.get().name == "kept"


def test_notification_before_a_lost_savepoint_is_sent(runner) -> None:
    """A notification of the outer transaction survives the rollback of a savepoint."""
    with transaction.atomic():
        enqueue(name="kept")
        roll_back_a_savepoint()
    assert runner.steps() == ["submit"]


def test_released_savepoints_send_one_notification(runner) -> None:
    """Savepoints that were released send one notification together."""
    with transaction.atomic():
        for _ in range(3):
            with transaction.atomic():
                enqueue()
        enqueue()
    assert runner.steps() == ["submit"]


def test_notification_is_sent_after_a_savepoint_lost_around_a_released_one(runner) -> None:
    """A notification of an inner savepoint is dropped with the outer one; a later one is sent."""
    with transaction.atomic():
        with transaction.atomic():
            with transaction.atomic():
                enqueue(name="inner")
            enqueue(name="outer")
            transaction.set_rollback(True)
        assert not RenderJob.objects.exists()
        with transaction.atomic():
            enqueue(name="kept")
    assert runner.steps() == ["submit"]


@pytest.mark.fault("E7")
def test_failing_hook_of_another_app_leaves_job_to_the_tick(runner) -> None:
    """Another app's on_commit hook that raises drops our notification; the job is due."""

    def explode() -> None:
        raise RuntimeError("another app")

    def work() -> None:
        with transaction.atomic():
            transaction.on_commit(explode)
            enqueue()

    with pytest.raises(RuntimeError):
        work()
    assert runner.sent == []
    assert RenderJob.objects.due().filter(state=State.PENDING).count() == 1


def test_runner_none_registers_no_hook(settings) -> None:
    """With RUNNER "none" a transaction has no hook of ours."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RUNNER": "none"}
    with transaction.atomic():
        enqueue()
        assert transaction.get_connection().run_on_commit == []


# --- after a step ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "step"),
    [
        (State.PENDING, "submit"),
        (State.UNCONFIRMED, "reconcile"),
        (State.QUEUED, "poll"),
        (State.WORKING, "poll"),
        (State.DOWNLOADING, "download"),
    ],
)
def test_dispatch_notifies_the_step_of_each_due_state(runner, state: State, step: str) -> None:
    """Each state has the step that works on it."""
    create_quietly(state, -1)
    wakeups.dispatch()
    assert [name for name in runner.steps() if name != "dispatch"] == [step]


def test_dispatch_notifies_the_step_of_a_due_group(runner) -> None:
    """A due group has a step of its own, and one that is due later a wake-up."""
    group = RenderGroup.objects.create(name="x", total=1, due_at=seconds_from_now(20))
    wakeups.dispatch()
    ((step, delay),) = runner.sent
    assert step == Step.DISPATCH
    assert 15 < delay < 25
    RenderGroup.objects.filter(pk=group.pk).update(due_at=seconds_from_now(-1))
    wakeups.dispatch()
    assert "merge" in runner.steps()
    wakeups.run_step(Step.MERGE)
    assert RenderGroup.objects.get().state == "cancelled"


def test_dispatch_recovers_an_interrupted_create(runner, engine: Sandbox) -> None:
    """A create whose worker died becomes unconfirmed and is looked up."""
    job = create_quietly(State.SUBMITTING, -1)
    wakeups.dispatch()
    assert RenderJob.objects.get(pk=job.pk).state == State.UNCONFIRMED
    assert runner.steps()[0] == "reconcile"


def test_dispatch_notifies_several_workers_for_many_downloads(runner, engine: Sandbox) -> None:
    """Many finished documents are downloaded by several workers, but not by a hundred."""
    create_quietly(State.DOWNLOADING, -1)
    wakeups.dispatch()
    assert runner.steps().count("download") == 1
    for _ in range(wakeups.MAX_DOWNLOAD_NOTIFICATIONS + 5):
        create_quietly(State.DOWNLOADING, -1)
    wakeups.dispatch()
    assert runner.steps().count("download") == wakeups.MAX_DOWNLOAD_NOTIFICATIONS


def test_dispatch_schedules_one_wakeup(runner, engine: Sandbox) -> None:
    """Jobs that are due later get one wake-up, however often the schedule is read."""
    create_quietly(State.QUEUED, 20)
    create_quietly(State.WORKING, 40)
    for _ in range(3):
        wakeups.dispatch()
    ((step, delay),) = runner.sent
    assert step == Step.DISPATCH
    assert 15 < delay < 25


def test_wakeup_of_a_distant_job_comes_within_the_bound(runner, engine: Sandbox) -> None:
    """A worker holds no message for hours."""
    create_quietly(State.QUEUED, 7200)
    wakeups.dispatch()
    ((_step, delay),) = runner.sent
    assert delay == wakeups.MAX_DELAY
    scheduled_at = Heartbeat.objects.get().wakeup_at
    assert scheduled_at is not None
    scheduled = scheduled_at - RenderJob.objects.get().created_at
    assert scheduled.total_seconds() <= wakeups.MAX_DELAY + 5


@pytest.mark.parametrize("state", [None, *sorted(FINAL_STATES)])
def test_dispatch_sends_nothing_if_all_jobs_are_final(runner, state: State | None) -> None:
    """With nothing left to do no worker is notified and no wake-up is scheduled."""
    if state:
        create_quietly(state, 0)
    wakeups.dispatch()
    assert runner.sent == []


# --- few queries -----------------------------------------------------------------------------


def test_idle_tick_takes_one_query(runner) -> None:
    """With nothing to do a tick is one statement, which also records the heartbeat."""
    create_quietly(State.COMPLETED, 0)
    Heartbeat.objects.update_or_create(pk=Heartbeat.KEY, defaults={"ticked_at": None})
    with CaptureQueriesContext(connection) as queries:
        wakeups.tick()
    # MariaDB's isolation level is set when the test's connection is opened again.
    assert len([query for query in queries if not query["sql"].startswith("SET SESSION")]) == 1
    assert Heartbeat.objects.get().ticked_at is not None
    assert runner.sent == []


@pytest.mark.parametrize("state", sorted(ACTIVE_STATES))
def test_tick_schedules_a_wakeup_for_each_unfinished_state(
    runner, engine: Sandbox, state: State
) -> None:
    """A job in any unfinished state gets its wake-up from a tick, even if all others were lost."""
    create_quietly(state, 30)
    wakeups.tick()
    assert runner.steps() == ["dispatch"]


def test_poll_downloads_a_lone_document(runner, engine: Sandbox, documents_dir) -> None:
    """The worker that learns of one finished document downloads it without another message."""
    job = enqueue()
    lifecycle.submit()
    RenderJob.objects.update(due_at=seconds_from_now(0))
    runner.sent.clear()
    wakeups.run_step(Step.POLL)
    job.refresh_from_db()
    assert (job.state, job.download_attempts) == (State.COMPLETED, 1)
    assert runner.steps() == ["dispatch"]  # in case the worker had died meanwhile


def test_poll_notifies_others_before_it_downloads(runner, engine: Sandbox, documents_dir) -> None:
    """Of several finished documents it downloads one, and notifies workers for the rest first."""
    jobs = [enqueue() for _ in range(5)]
    lifecycle.submit()
    RenderJob.objects.update(due_at=seconds_from_now(0))
    runner.sent.clear()
    wakeups.run_step(Step.POLL)
    assert RenderJob.objects.filter(state=State.COMPLETED).count() == 1
    assert RenderJob.objects.filter(state=State.DOWNLOADING).count() == len(jobs) - 1
    assert runner.steps().count("download") == wakeups.MAX_DOWNLOAD_NOTIFICATIONS


# --- no busy loops ---------------------------------------------------------------------------


def test_submit_without_a_free_slot_does_not_notify_itself(
    runner, engine: Sandbox, settings
) -> None:
    """Pending jobs that wait for a slot do not make the step run again at once."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"MAX_IN_FLIGHT": 1}
    create_quietly(State.WORKING, 30)
    enqueue()
    runner.sent.clear()
    wakeups.run_step(Step.SUBMIT)
    ((step, delay),) = runner.sent
    assert (step, delay > 0) == (Step.DISPATCH, True)
    assert engine.ledger.create_calls == 0


def test_submit_schedules_a_wakeup_after_it_sent_a_job(runner, engine: Sandbox) -> None:
    """A run that sent a job and left nothing due schedules the next wake-up only."""
    enqueue()
    runner.sent.clear()
    wakeups.run_step(Step.SUBMIT)
    assert runner.steps() == ["dispatch"]


def test_submit_for_a_paused_account_does_not_notify_itself(runner, engine: Sandbox) -> None:
    """Jobs of a paused account wait for the end of the pause."""
    enqueue()
    pause_account("default", "HTTP 401")
    runner.sent.clear()
    wakeups.run_step(Step.SUBMIT)
    assert runner.steps() == ["dispatch"]
    assert engine.ledger.create_calls == 0


@pytest.mark.parametrize("step", [Step.SUBMIT, Step.POLL])
def test_duplicate_messages_do_not_multiply(
    runner, engine: Sandbox, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that claimed nothing notifies no other step: one wake-up at most."""
    monkeypatch.setattr(wakeups, "RECHECK_DELAY", 60.0)  # however long the five runs take
    create_quietly(State.DOWNLOADING, -1)
    for _ in range(5):
        wakeups.run_step(step)
    assert runner.steps() == ["dispatch"]


def test_early_wakeup_schedules_no_second_one(runner, engine: Sandbox) -> None:
    """Wake-ups that are delivered twice do not multiply."""
    create_quietly(State.QUEUED, 30)
    for _ in range(10):
        wakeups.run_step(Step.DISPATCH)
    assert runner.steps() == ["dispatch"]


@pytest.mark.fault("E4")
def test_duplicate_messages_create_one_document(runner, engine: Sandbox) -> None:
    """A message that is delivered ten times creates once."""
    enqueue()
    for _ in range(10):
        wakeups.run_step(Step.SUBMIT)
    assert engine.ledger.create_calls == 1


def test_messages_alone_complete_a_job(runner, engine: Sandbox, documents_dir) -> None:
    """A worker that runs what the messages ask for completes the job, and then all is quiet."""
    job = enqueue()
    runner.sent.clear()
    wakeups.tick()
    for _ in range(30):
        if not runner.sent:
            break
        step, delay = runner.sent.pop(0)
        skip_time(2 if delay else 0)
        wakeups.run_step(step)
    assert RenderJob.objects.get(pk=job.pk).state == State.COMPLETED
    assert runner.sent == []
