"""Killed at every step: the engine dies in a process of its own, and another one goes on."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection

from django_docraptor import lifecycle
from django_docraptor.models import RenderEvent, RenderJob
from django_docraptor.sandbox import Sandbox
from django_docraptor.signals import document_completed
from django_docraptor.states import FINAL_STATES, State
from tests.support.crash import KILLED, POINTS
from tests.support.jobs import drive, enqueue, read, skip_time

pytestmark = pytest.mark.django_db(transaction=True)

# Points up to which the document has not been rendered yet, each in the step that it kills.
SUBMITTING = ["before_intent", "after_intent", "after_post", "after_accept"]
COLLECTING = ["before_body", "after_body", "after_spool", "before_save", "after_save"]


def crash(point: str, settings, documents: Path, *, listen: bool = False) -> None:
    """Run the engine until it dies at that point."""
    given = {
        "database": str(connection.settings_dict["NAME"]),
        "docraptor": settings.DOCRAPTOR,
        "storage": settings.STORAGES["docraptor"],
        "listen": listen,
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.crash", point],
        input=json.dumps(given, default=str),
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == KILLED, done.stderr


def ready_to_collect() -> RenderJob:
    """A job whose document waits at DocRaptor."""
    job = enqueue(test=False)
    for _ in range(20):
        lifecycle.submit()
        skip_time(2)
        lifecycle.poll()
        job.refresh_from_db()
        if job.state == State.DOWNLOADING:
            return job
    raise AssertionError(job.state)


def files(directory: Path) -> list[Path]:
    """Every file below a directory."""
    return [path for path in directory.rglob("*") if path.is_file()]


@pytest.mark.parametrize("point", SUBMITTING)
def test_C4_S1_S2_killed_while_submitting(
    sandbox: Sandbox, documents, settings, point: str
) -> None:
    """Never two creates; completed if DocRaptor has it, else pending again or held."""
    job = enqueue(test=False)
    crash(point, settings, documents)
    accepted = len(sandbox.ledger.accepted())
    skip_time(200)
    job = drive(job)
    if point == "after_intent":
        assert (job.error_code, accepted) == ("submit_unconfirmed", 0)
    else:
        assert job.state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) <= 1


def test_killed_while_polling(sandbox: Sandbox, documents, settings) -> None:
    """A poller that dies with the answer in hand: asked again when its lease ends."""
    job = enqueue(test=False)
    lifecycle.submit()
    skip_time(2)
    crash("after_status", settings, documents)
    assert drive(job).state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) == 1


@pytest.mark.parametrize("point", COLLECTING)
def test_D1_D2_F2_killed_while_collecting(
    sandbox: Sandbox, documents, settings, point: str
) -> None:
    """Taken up where it was: one file, the same name, and no download that was not needed."""
    job = ready_to_collect()
    crash(point, settings, documents)
    skip_time(1000)
    job = drive(job)
    assert job.state == State.COMPLETED
    assert [path.relative_to(documents).as_posix() for path in files(documents)] == [job.file.name]
    assert read(job).startswith(b"%PDF-")
    expected = {"before_body": 1, "after_body": 2}.get(point, 1)
    assert sandbox.ledger.download_calls == expected
    assert len(sandbox.ledger.accepted()) == 1


def test_D1_one_download_account(sandbox: Sandbox, documents, settings) -> None:
    """Killed during the only download that the account allows: said, and not tried for ever."""
    sandbox.change_settings(download_limit=1)
    job = ready_to_collect()
    crash("after_body", settings, documents)
    skip_time(1000)
    job = drive(job)
    assert (job.state, job.error_code) == (State.FAILED, "download_refused")


def test_killed_before_the_signal(sandbox: Sandbox, documents, settings) -> None:
    """The commit is done, the signal was not sent: the next tick sends it."""
    job = ready_to_collect()
    crash("before_signal", settings, documents, listen=True)
    job.refresh_from_db()
    assert job.state == State.COMPLETED
    heard = []

    def receiver(job, **kwargs):
        heard.append(job.pk)

    document_completed.connect(receiver)
    try:
        assert lifecycle.sweep() == 0
        skip_time(61)
        lifecycle.sweep()
        lifecycle.sweep()
    finally:
        document_completed.disconnect(receiver)
    assert heard == [job.pk]
    assert not RenderEvent.objects.exclude(signal_due_at=None).exists()


def test_every_point_is_tried() -> None:
    """No crash point is left out of the tests above."""
    tried = {*SUBMITTING, *COLLECTING, "after_status", "before_signal", "after_confirm"}
    assert tried == set(POINTS)


def test_killed_after_the_end(sandbox: Sandbox, documents, settings) -> None:
    """Killed after the confirmation: nothing is left to do."""
    job = ready_to_collect()
    crash("after_confirm", settings, documents)
    job.refresh_from_db()
    assert job.state in FINAL_STATES
    assert lifecycle.run() == 0
