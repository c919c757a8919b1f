"""The probes of runner, broker, worker, ticks and jobs."""

import pytest
from celery import current_app

from django_docraptor import advice, health
from django_docraptor.diagnosis import engine
from django_docraptor.models import Heartbeat, heartbeat, seconds_from_now
from django_docraptor.sandbox import Sandbox
from tests.diagnosis.conftest import Configure, only
from tests.support.jobs import enqueue, pause_account, skip_time
from tests.support.runners import RECORDING_RUNNER, RecordingRunner
from tests.support.socket_server import unused_port

pytestmark = pytest.mark.django_db(transaction=True)

INLINE_RUNNER = "tests.support.runners.InlineRunner"


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch) -> None:
    """Heartbeats are recorded at once, and a worker that does not come is not waited for."""
    monkeypatch.setattr(heartbeat, "_last_recorded", {})
    monkeypatch.setattr(engine, "WORKER_SECONDS", 0.3)
    RecordingRunner.reset()


def seen(**seconds: float) -> None:
    """Set the heartbeats of so many seconds ago."""
    Heartbeat.objects.get_or_create(pk=Heartbeat.KEY)
    Heartbeat.objects.update(**{key: seconds_from_now(-value) for key, value in seconds.items()})


def test_no_queue_is_a_choice(configure: Configure) -> None:
    """With RUNNER = "none" there is no broker and no worker to look for."""
    configure(RUNNER="none")
    assert only(engine.probe_runner())[0] == "ok"
    assert [*engine.probe_broker(), *engine.probe_worker()] == []


def test_runner_that_cannot_be_loaded(configure: Configure) -> None:
    """The remedy is its library, or another one."""
    configure(RUNNER="shop.runners.Missing")
    status, text = only(engine.probe_runner())
    assert (status, "cannot be loaded: No module named 'shop'" in text) == ("fail", True)


def test_runner_that_lacks_something(configure: Configure) -> None:
    """Each limitation is a warning."""
    configure(RUNNER=INLINE_RUNNER)
    status, text = only(engine.probe_runner())
    assert (status, "It runs in the process that enqueues." in text) == ("warn", True)


def test_broker_that_answers(configure: Configure) -> None:
    """The broker of these tests is in memory."""
    configure(RUNNER="celery")
    assert only(engine.probe_broker())[0] == "ok"


def test_broker_that_is_down(configure: Configure, monkeypatch) -> None:
    """The error is told, with the setting, and without the password."""
    configure(RUNNER="celery")
    url = f"redis://:pa55word@127.0.0.1:{unused_port()}/0"
    monkeypatch.setattr(current_app.conf, "broker_url", url)
    status, text = only(engine.probe_broker())
    assert (status, "CELERY_BROKER_URL" in text) == ("fail", True)
    assert "Connection refused" in text
    assert "pa55word" not in text


def test_worker_that_takes_a_message(configure: Configure) -> None:
    """A message that only looks at the schedule shows that a worker runs."""
    configure(RUNNER=INLINE_RUNNER)
    status, text = only(engine.probe_worker())
    assert (status, text.startswith("A worker has taken a message within ")) == ("ok", True)


def test_worker_that_was_just_seen_gets_no_message(configure: Configure) -> None:
    """It would not record another heartbeat so soon."""
    configure(RUNNER=RECORDING_RUNNER)
    seen(worked_at=3)
    assert only(engine.probe_worker())[0] == "ok"
    assert RecordingRunner.sent == []


def test_no_worker_is_a_failure(configure: Configure) -> None:
    """The message stays in its queue; the remedy names both ways to run the engine."""
    configure(RUNNER=RECORDING_RUNNER)
    status, text = only(engine.probe_worker())
    assert (status, text.endswith(str(advice.START_ENGINE))) == ("fail", True)
    assert "None has ever been seen." in text
    assert RecordingRunner.steps() == ["dispatch"]


def test_busy_worker_is_a_warning(configure: Configure) -> None:
    """One that was seen some minutes ago may be downloading."""
    configure(RUNNER=RECORDING_RUNNER)
    seen(worked_at=180)
    status, text = only(engine.probe_worker())
    assert (status, "The last one was seen 3 minutes ago. All may be busy." in text) == (
        "warn",
        True,
    )


def test_message_that_cannot_be_sent(configure: Configure) -> None:
    """The queue's own error is told."""
    configure(RUNNER=RECORDING_RUNNER)
    RecordingRunner.error = OSError("the queue is gone")
    try:
        status, text = only(engine.probe_worker())
    finally:
        RecordingRunner.reset()
    assert (status, "the queue is gone" in text) == ("fail", True)


@pytest.mark.parametrize(
    ("runner", "seconds", "status", "remedy"),
    [
        ("none", 5, "ok", ""),
        ("none", 180, "warn", advice.START_ENGINE),
        ("none", 7200, "fail", advice.START_ENGINE),
        ("none", None, "fail", advice.START_ENGINE),
        ("celery", 7200, "warn", advice.START_TICK),
        ("celery", None, "warn", advice.START_TICK),
    ],
)
def test_tick(
    configure: Configure, runner: str, seconds: float | None, status: str, remedy: object
) -> None:
    """Without a queue ticks are the engine; with one, jobs move without them."""
    configure(RUNNER=runner)
    if seconds is not None:
        seen(ticked_at=seconds)
    found, text = only(engine.probe_tick())
    assert (found, text.endswith(str(remedy))) == (status, True)


def test_jobs_on_time_are_good(sandbox: Sandbox) -> None:
    """Their number is told."""
    enqueue()
    status, text = only(engine.probe_jobs())
    assert (status, text.startswith("1 unfinished")) == ("ok", True)


def test_jobs_are_told_as_health_tells_them(sandbox: Sandbox) -> None:
    """Each problem is a line, and a paused account's has the remedy."""
    enqueue()
    skip_time(300)
    pause_account("other", "Unauthorized")
    late, paused = engine.probe_jobs()
    assert [late.text, paused.text] == health.health_problems()
    assert paused.text.endswith(str(advice.RESUME))
