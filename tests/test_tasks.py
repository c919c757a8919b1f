"""The doorbell: how it is rung, what a refused ring costs, and that it never rings itself."""

import logging
import socket
import time
from collections.abc import Iterator

import pytest
from celery import Celery
from celery.signals import before_task_publish
from django.db import transaction

from django_docraptor import lifecycle, tasks
from django_docraptor.models import Account, Heartbeat, RenderJob, seconds_from_now
from django_docraptor.sandbox import Sandbox
from django_docraptor.states import ACTIVE_STATES, FINAL_STATES, State
from tests.celery import app
from tests.support.jobs import enqueue, skip_time

pytestmark = pytest.mark.django_db(transaction=True)

TASKS = [tasks.submit, tasks.poll, tasks.collect, tasks.wake, tasks.tick]


class Ring(str):
    """Name of a task that was published, and how."""

    headers: dict[str, object]
    body: tuple[object, ...]
    properties: dict[str, object]


@pytest.fixture
def published_tasks() -> Iterator[list[Ring]]:
    """Every message that is handed to the broker, in order."""
    published: list[Ring] = []

    def note(sender: str, headers: dict, body: tuple, properties: dict, **kwargs: object) -> None:
        ring = Ring(sender.removeprefix("django_docraptor."))
        ring.headers, ring.body, ring.properties = headers, body, properties
        published.append(ring)

    before_task_publish.connect(note)
    yield published
    before_task_publish.disconnect(note)


@pytest.fixture
def bells(settings) -> None:
    """The doorbell is on, as in production."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RUNNER": "celery"}


@pytest.fixture
def refused() -> Iterator[object]:
    """A task whose broker refuses connections."""
    with socket.socket() as taken:  # bound but not listening: nobody else can take the port
        taken.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{taken.getsockname()[1]}/0"
        other = Celery("refused", broker=url, set_as_current=False)

        @other.task(name="refused", shared=False)
        def step() -> None:
            """Never runs."""

        yield step
        other.close()


def put(state: State, seconds: float) -> RenderJob:
    """A job in some state that is due so many seconds from now."""
    job = enqueue()
    due_at = None if state in FINAL_STATES else seconds_from_now(seconds)
    RenderJob.objects.filter(pk=job.pk).update(
        state=state, attempt=1, due_at=due_at, sent_at=seconds_from_now(0)
    )
    return job


# --- options ---------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_task_options(task) -> None:
    """No late acknowledgement, no retry, no result: each of them bills twice or gets stuck."""
    assert task.acks_late is False
    assert task.max_retries == 0
    assert task.ignore_result is True
    assert not getattr(task, "autoretry_for", ())
    assert task.soft_time_limit is None
    assert task.expires == tasks.EXPIRES


def test_tasks_are_registered() -> None:
    """A worker of the project knows each step by its name."""
    names = {f"django_docraptor.{name}" for name in ("submit", "poll", "collect", "wake", "tick")}
    assert names <= set(app.tasks)


# --- one ring --------------------------------------------------------------------------------


def test_ring_publishes_nothing_but_a_name(published_tasks: list[Ring]) -> None:
    """A message carries no argument, and expires."""
    assert tasks.ring(tasks.submit) is True
    (ring,) = published_tasks
    assert ring == "submit"
    args, kwargs, _embedded = ring.body
    assert (list(args), kwargs) == ([], {})
    assert ring.headers["expires"] is not None
    assert ring.headers["ignore_result"] is True


def test_ring_refused(refused, monkeypatch, caplog) -> None:
    """A broker that refuses costs moments: False, and one warning, however often."""
    monkeypatch.setattr(tasks, "_last_warning", float("-inf"))
    before = time.monotonic()
    with caplog.at_level(logging.WARNING, logger="django_docraptor"):
        assert [tasks.ring(refused) for _ in range(3)] == [False] * 3
    assert time.monotonic() - before < 5
    warnings = [one for one in caplog.records if one.name == "django_docraptor"]
    assert len(warnings) == 1
    assert "next tick" in warnings[0].getMessage()


def test_ring_refused_after_commit(refused, sandbox: Sandbox, bells, documents_dir) -> None:
    """E2: with the broker away the job is stored, and the next tick makes its document."""
    with transaction.atomic():
        job = enqueue()
        transaction.on_commit(lambda: tasks.ring(refused))
    lifecycle.run_once()
    skip_time(2)
    lifecycle.run_once()
    lifecycle.run_once()
    assert RenderJob.objects.get(pk=job.pk).state == State.COMPLETED
    assert sandbox.ledger.create_calls == 1


@pytest.fixture
def brokerless(monkeypatch) -> Iterator[Celery]:
    """Celery as it is in a project that says nothing of it."""
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)
    other = Celery("brokerless")
    yield other
    app.set_current()
    other.close()


def test_ring_without_a_broker(brokerless: Celery, published_tasks, sandbox, bells, caplog) -> None:
    """Celery's own default, RabbitMQ on this machine, is not called on; nor does anybody warn."""
    assert tasks.ring(tasks.submit) is False
    enqueue()
    assert published_tasks == []
    assert caplog.messages == []


@pytest.mark.parametrize("name", ["broker_url", "broker_write_url"])
def test_ring_with_a_broker(brokerless: Celery, published_tasks: list[Ring], name: str) -> None:
    """Either of Celery's names of a broker will do."""
    brokerless.conf.update({name: "memory://"})
    assert tasks.ring(tasks.submit) is True
    assert published_tasks == ["submit"]


def test_ring_runs_an_eager_task(brokerless: Celery, sandbox: Sandbox, bells) -> None:
    """Eager tasks need no broker."""
    brokerless.conf.task_always_eager = True
    job = enqueue()
    assert RenderJob.objects.get(pk=job.pk).state == State.QUEUED


# --- rings on commit -------------------------------------------------------------------------


def test_ring_on_commit_waits(published_tasks: list[Ring], bells) -> None:
    """Nobody is called before there is anything to see."""
    with transaction.atomic():
        enqueue()
        assert published_tasks == []
    assert published_tasks == ["submit"]


def test_ring_on_commit_without_transaction(published_tasks: list[Ring], bells) -> None:
    """Outside a transaction the ring follows at once."""
    enqueue()
    assert published_tasks == ["submit"]


def test_ring_on_commit_once_a_transaction(published_tasks: list[Ring], bells) -> None:
    """Five jobs in a transaction: one ring."""
    with transaction.atomic():
        for _ in range(5):
            enqueue()
    assert published_tasks == ["submit"]


def test_ring_on_commit_once_a_task(published_tasks: list[Ring], bells) -> None:
    """Different tasks are different rings."""
    with transaction.atomic():
        tasks.ring_on_commit(tasks.submit)
        tasks.ring_on_commit(tasks.wake)
        tasks.ring_on_commit(tasks.submit)
    assert published_tasks == ["submit", "wake"]


def test_ring_on_commit_each_transaction(published_tasks: list[Ring], bells) -> None:
    """The next transaction rings for itself."""
    for _ in range(2):
        with transaction.atomic():
            enqueue()
    assert published_tasks == ["submit", "submit"]


def test_ring_on_commit_rolled_back(published_tasks: list[Ring], bells) -> None:
    """E1: a rollback leaves no job and no ring."""
    with transaction.atomic():
        enqueue()
        transaction.set_rollback(True)
    assert published_tasks == []
    assert not RenderJob.objects.exists()


def roll_back_a_savepoint() -> None:
    """Make a job in a savepoint that is rolled back."""
    with transaction.atomic():
        enqueue(name="lost")
        transaction.set_rollback(True)


def test_ring_on_commit_savepoint_rolled_back(published_tasks: list[Ring], bells) -> None:
    """Only a job of a rolled back savepoint: no ring."""
    with transaction.atomic():
        roll_back_a_savepoint()
    assert published_tasks == []


def test_ring_on_commit_after_a_lost_savepoint(published_tasks: list[Ring], bells) -> None:
    """A bell that went with its savepoint does not silence a later one."""
    with transaction.atomic():
        roll_back_a_savepoint()
        enqueue(name="kept")
    assert published_tasks == ["submit"]
    assert RenderJob.objects.get().name == "kept"


def test_ring_on_commit_before_a_lost_savepoint(published_tasks: list[Ring], bells) -> None:
    """A bell that hangs outside survives a savepoint inside."""
    with transaction.atomic():
        enqueue(name="kept")
        roll_back_a_savepoint()
    assert published_tasks == ["submit"]


def test_ring_on_commit_released_savepoints(published_tasks: list[Ring], bells) -> None:
    """Savepoints that were released: one ring for all."""
    with transaction.atomic():
        for _ in range(3):
            with transaction.atomic():
                enqueue()
        enqueue()
    assert published_tasks == ["submit"]


def test_ring_on_commit_lost_around_a_released_savepoint(
    published_tasks: list[Ring], bells
) -> None:
    """A bell of a savepoint inside goes with the one around it; what follows rings again."""
    with transaction.atomic():
        with transaction.atomic():
            with transaction.atomic():
                enqueue(name="inner")
            enqueue(name="outer")
            transaction.set_rollback(True)
        assert not RenderJob.objects.exists()
        with transaction.atomic():
            enqueue(name="kept")
    assert published_tasks == ["submit"]


def test_ring_on_commit_of_another_app_fails_first(published_tasks: list[Ring], bells) -> None:
    """E7: another app's hook that raises takes our ring with it; the job is there for a tick."""

    def explode() -> None:
        raise RuntimeError("another app")

    def work() -> None:
        with transaction.atomic():
            transaction.on_commit(explode)
            enqueue()

    with pytest.raises(RuntimeError):
        work()
    assert published_tasks == []
    assert RenderJob.objects.due().filter(state=State.PENDING).count() == 1


def test_ring_on_commit_off(published_tasks: list[Ring], settings) -> None:
    """RING_ON_COMMIT off: jobs wait for the next tick."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RUNNER": "none"}
    enqueue()
    assert published_tasks == []


# --- what follows a step ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "name"),
    [
        (State.PENDING, "submit"),
        (State.UNCONFIRMED, "reconcile"),
        (State.QUEUED, "poll"),
        (State.WORKING, "poll"),
        (State.DOWNLOADING, "collect"),
    ],
)
def test_follow_up_rings_what_is_due(
    published_tasks: list[Ring], settings, state: State, name: str
) -> None:
    """For each state the step that looks after it."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RUNNER": "none"}
    put(state, -1)
    tasks.follow_up()
    assert [ring for ring in published_tasks if ring != "wake"] == [name]


def test_follow_up_lapsed_create(published_tasks: list[Ring], sandbox: Sandbox) -> None:
    """A create whose worker died is unconfirmed from now on, and looked up."""
    job = put(State.SUBMITTING, -1)
    tasks.follow_up()
    assert RenderJob.objects.get(pk=job.pk).state == State.UNCONFIRMED
    assert published_tasks[0] == "reconcile"


def test_follow_up_many_downloads(published_tasks: list[Ring], sandbox: Sandbox) -> None:
    """Many finished documents are fetched by several workers, but not by a hundred."""
    put(State.DOWNLOADING, -1)
    tasks.follow_up()
    assert published_tasks.count("collect") == 1
    published_tasks.clear()
    for _ in range(tasks.COLLECTORS + 5):
        put(State.DOWNLOADING, -1)
    tasks.follow_up()
    assert published_tasks.count("collect") == tasks.COLLECTORS


def test_follow_up_sets_one_alarm(published_tasks: list[Ring], sandbox: Sandbox) -> None:
    """What is due later gets one wake-up, however often one asks."""
    put(State.QUEUED, 20)
    put(State.WORKING, 40)
    for _ in range(3):
        tasks.follow_up()
    assert published_tasks == ["wake"]
    assert published_tasks[0].headers["eta"] is not None


def test_follow_up_far_away(published_tasks: list[Ring], sandbox: Sandbox) -> None:
    """A worker holds no message for hours: the wake-up comes within its bound."""
    put(State.QUEUED, 7200)
    tasks.follow_up()
    armed = Heartbeat.objects.get().wakeup_at - RenderJob.objects.get().created_at
    assert armed.total_seconds() <= tasks.LATEST + 5


@pytest.mark.parametrize("state", [None, *sorted(FINAL_STATES)])
def test_follow_up_idle(published_tasks: list[Ring], settings, state: State | None) -> None:
    """With nothing left to do nobody is called and no alarm is set."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RUNNER": "none"}
    if state:
        put(state, 0)
    tasks.follow_up()
    assert published_tasks == []


# --- little asked ----------------------------------------------------------------------------


def test_tick_idle_asks_once(
    published_tasks: list[Ring], settings, django_assert_num_queries
) -> None:
    """With nothing to do a tick is one statement, which also notes that it ticked."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RUNNER": "none"}
    put(State.COMPLETED, 0)
    Heartbeat.objects.update_or_create(pk=Heartbeat.KEY, defaults={"ticked_at": None})
    with django_assert_num_queries(1):
        tasks.tick()
    assert Heartbeat.objects.get().ticked_at is not None
    assert published_tasks == []


@pytest.mark.parametrize("state", sorted(ACTIVE_STATES))
def test_tick_is_not_idle(published_tasks: list[Ring], sandbox: Sandbox, state: State) -> None:
    """A job in any unfinished state gets its alarm from a tick, had it lost every other."""
    put(state, 30)
    tasks.tick()
    assert published_tasks == ["wake"]


def test_poll_fetches_a_lone_document(
    published_tasks: list[Ring], sandbox: Sandbox, documents_dir
) -> None:
    """Who learns that one document is finished fetches it, without another message."""
    job = enqueue()
    lifecycle.submit()
    RenderJob.objects.update(due_at=seconds_from_now(0))
    tasks.poll()
    job.refresh_from_db()
    assert (job.state, job.download_attempts) == (State.COMPLETED, 1)
    assert published_tasks == ["wake"]  # in case it had died on the way


def test_poll_leaves_the_others_to_all(
    published_tasks: list[Ring], sandbox: Sandbox, documents_dir
) -> None:
    """Of several finished documents it fetches one, and rings for the rest first."""
    jobs = [enqueue() for _ in range(5)]
    lifecycle.submit()
    RenderJob.objects.update(due_at=seconds_from_now(0))
    tasks.poll()
    assert RenderJob.objects.filter(state=State.COMPLETED).count() == 1
    assert RenderJob.objects.filter(state=State.DOWNLOADING).count() == len(jobs) - 1
    assert published_tasks.count("collect") == tasks.COLLECTORS


# --- no hot loops ----------------------------------------------------------------------------


def test_submit_without_a_slot_does_not_ring_itself(
    published_tasks: list[Ring], sandbox, settings
) -> None:
    """Pending jobs that wait for a slot are no reason to run again at once."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"MAX_IN_FLIGHT": 1}
    put(State.WORKING, 30)
    enqueue()
    tasks.submit()
    assert published_tasks == ["wake"]
    assert published_tasks[0].headers["eta"] is not None
    assert sandbox.ledger.create_calls == 0


def test_submit_rings_on_while_it_gets_on(published_tasks: list[Ring], sandbox: Sandbox) -> None:
    """A run that sent a job and left nothing due arms the alarm only."""
    enqueue()
    tasks.submit()
    assert published_tasks == ["wake"]


def test_submit_for_a_paused_account_does_not_ring_itself(
    published_tasks: list[Ring], sandbox
) -> None:
    """Jobs of a paused account wait for the end of the pause."""
    enqueue()
    Account.pause("default", 600, "HTTP 401")
    tasks.submit()
    assert published_tasks == ["wake"]
    assert sandbox.ledger.create_calls == 0


@pytest.mark.parametrize("task", [tasks.submit, tasks.poll], ids=lambda task: task.name)
def test_duplicates_do_not_breed(published_tasks: list[Ring], sandbox: Sandbox, task) -> None:
    """A run that found nothing of its own to do rings for nobody else: one alarm at most."""
    put(State.DOWNLOADING, -1)
    for _ in range(5):
        task()
    assert published_tasks == ["wake"]


def test_wake_that_finds_nothing_due_arms_no_second_alarm(
    published_tasks: list[Ring], sandbox
) -> None:
    """Wake-ups that come twice do not multiply."""
    put(State.QUEUED, 30)
    for _ in range(10):
        tasks.wake()
    assert published_tasks == ["wake"]


def test_duplicate_rings_make_one_document(sandbox: Sandbox) -> None:
    """E4: a message that is delivered ten times creates once."""
    enqueue()
    for _ in range(10):
        tasks.submit()
    assert sandbox.ledger.create_calls == 1


def test_tasks_bring_a_job_to_its_end(
    published_tasks: list[Ring], sandbox: Sandbox, documents_dir
) -> None:
    """Whoever runs what the rings ask for completes the job, and then all is quiet."""
    job = enqueue()
    tasks.tick()
    for _ in range(30):
        if not published_tasks:
            break
        name = str(published_tasks.pop(0))
        skip_time(2 if name == "wake" else 0)
        app.tasks[f"django_docraptor.{name}"]()
    assert RenderJob.objects.get(pk=job.pk).state == State.COMPLETED
    assert published_tasks == []
