"""The engine is killed at every step in a separate process, and another one goes on."""

import pytest

from django_docraptor import lifecycle
from django_docraptor.models import RenderEvent
from django_docraptor.sandbox import Sandbox
from django_docraptor.signals import document_completed
from django_docraptor.states import FINAL_STATES, State
from tests.support.crash import ENGINE_POINTS, run_until_killed
from tests.support.jobs import (
    downloadable_job,
    enqueue,
    files_below,
    read_file,
    run_until_finished,
    skip_time,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.databases]

# Kill points before the document is rendered, and while it is downloaded and stored.
SUBMITTING = ["before_intent", "after_intent", "after_post", "after_accept"]
DOWNLOADING = ["before_body", "after_body", "after_spool", "before_save", "after_save"]


@pytest.mark.fault("C4", "S1", "S2")
@pytest.mark.parametrize("point", SUBMITTING)
def test_worker_killed_while_submitting_never_creates_twice(
    sandbox: Sandbox, documents_dir, settings, point: str
) -> None:
    """A kill leads to one accepted create call, and the job completes."""
    job = enqueue(test=False)
    run_until_killed(point, settings)
    skip_time(200)
    job = run_until_finished(job)
    assert (job.state, job.attempt) == (State.COMPLETED, 2 if point == "after_intent" else 1)
    assert len(sandbox.ledger.billed()) == 1


def test_worker_killed_while_polling_is_replaced(sandbox: Sandbox, documents_dir, settings) -> None:
    """A poller that dies with the response is replaced by another one when its lease ends."""
    job = enqueue(test=False)
    lifecycle.submit()
    skip_time(2)
    run_until_killed("after_status", settings)
    assert run_until_finished(job).state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) == 1


@pytest.mark.fault("D1", "D2", "F2")
@pytest.mark.parametrize("point", DOWNLOADING)
def test_worker_killed_while_downloading_is_resumed(
    sandbox: Sandbox, documents_dir, settings, point: str
) -> None:
    """After a kill there is one file with the same name, and no unnecessary download."""
    job = downloadable_job(test=False)
    run_until_killed(point, settings)
    skip_time(1000)
    job = run_until_finished(job)
    assert job.state == State.COMPLETED
    assert [path.relative_to(documents_dir).as_posix() for path in files_below(documents_dir)] == [
        job.file.name
    ]
    assert read_file(job).startswith(b"%PDF-")
    expected = {"before_body": 1, "after_body": 2}.get(point, 1)
    assert sandbox.ledger.download_calls == expected
    assert len(sandbox.ledger.accepted()) == 1


@pytest.mark.fault("D1")
def test_killed_download_is_refused_if_only_one_is_allowed(
    sandbox: Sandbox, documents_dir, settings
) -> None:
    """If the worker dies during the only download that the account allows, the job fails."""
    sandbox.change_settings(download_limit=1)
    job = downloadable_job(test=False)
    run_until_killed("after_body", settings)
    skip_time(1000)
    job = run_until_finished(job)
    assert (job.state, job.error_code) == (State.FAILED, "download_refused")


def test_signal_is_sent_by_the_next_sweep_after_a_kill(
    sandbox: Sandbox, documents_dir, settings
) -> None:
    """If the worker dies after the commit and before the signal, a later sweep sends it once."""
    job = downloadable_job(test=False)
    run_until_killed("before_signal", settings, listen=True)
    job.refresh_from_db()
    assert job.state == State.COMPLETED
    heard = []

    def receiver(job, **kwargs):
        heard.append(job.pk)

    document_completed.connect(receiver)
    try:
        assert lifecycle.recover() == 0
        skip_time(61)
        lifecycle.recover()
        lifecycle.recover()
    finally:
        document_completed.disconnect(receiver)
    assert heard == [job.pk]
    assert not RenderEvent.objects.exclude(signal_due_at=None).exists()


def test_every_kill_point_is_tested() -> None:
    """The tests above cover every kill point of the engine."""
    tried = {*SUBMITTING, *DOWNLOADING, "after_status", "before_signal", "after_confirm"}
    assert tried == set(ENGINE_POINTS)


def test_worker_killed_after_confirming_leaves_nothing_to_do(
    sandbox: Sandbox, documents_dir, settings
) -> None:
    """After the confirmation a kill changes nothing."""
    job = downloadable_job(test=False)
    run_until_killed("after_confirm", settings)
    job.refresh_from_db()
    assert job.state in FINAL_STATES
    assert lifecycle.run_once() == 0
