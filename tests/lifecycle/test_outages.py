"""An outage, a refusal or a full disk of hours and days costs a document nothing but the wait."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.storage import FileSystemStorage

from django_docraptor import lifecycle, shortcuts, spool
from django_docraptor.client import Client, RemoteStatus
from django_docraptor.lifecycle.accounts import begin_pause
from django_docraptor.models import ANY_KEY, RenderJob
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.states import MAX_LAPSED_CLAIMS, State
from tests.apps.shop.models import Invoice
from tests.support.jobs import (
    create_job,
    current_state,
    downloadable_job,
    enqueue,
    event_kinds,
    files_below,
    let_time_pass,
    read_file,
    run_until_finished,
    run_until_given_up,
    skip_time,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]

NOWHERE = "http://127.0.0.1:9"


def queued_job(**options: Any) -> RenderJob:
    """Return a job that DocRaptor has accepted."""
    job = enqueue(**options)
    lifecycle.submit()
    return RenderJob.objects.get(pk=job.pk, state=State.QUEUED)


def assert_billed_once(sandbox: Sandbox, job: RenderJob) -> None:
    """Check that the job is stored, with one attempt that was accepted."""
    assert (job.state, job.error_code, job.errors) == (State.COMPLETED, "", "")
    assert (job.failures, job.failing_since, job.refused_since) == (0, None, None)
    assert read_file(job).startswith(b"%PDF-")
    assert len(sandbox.ledger.accepted()) == 1


def run_for_hours(job: RenderJob, hours: int = 24) -> RenderJob:
    """Run the engine every two hours and check that the job stays unfinished."""
    for _ in range(hours // 2):
        skip_time(2 * 3600)
        lifecycle.run_once()
        job.refresh_from_db()
        assert not job.is_final, job.errors
    return job


# --- A day without DocRaptor -----------------------------------------------------------------


@pytest.mark.fault("P10")
@pytest.mark.parametrize(
    ("make_job", "state"),
    [
        (enqueue, State.PENDING),
        (queued_job, State.QUEUED),
        (downloadable_job, State.DOWNLOADING),
    ],
    ids=["create", "status", "download"],
)
@pytest.mark.parametrize("hours", [24, 70])
def test_refused_connections_for_days_cost_nothing(
    sandbox: Sandbox,
    documents_dir,
    settings,
    make_job: Callable[..., RenderJob],
    state: State,
    hours: int,
) -> None:
    """A day, and almost three, without a connection end with the document, billed once."""
    up = settings.DOCRAPTOR
    job = make_job(test=False)
    settings.DOCRAPTOR = up | {"BASE_URL": NOWHERE}
    job = run_for_hours(job, hours)
    assert job.state == state
    assert job.failing_since is not None
    settings.DOCRAPTOR = up
    assert_billed_once(sandbox, run_until_finished(job))


@pytest.mark.fault("P10")
@pytest.mark.parametrize("on", ["status", "download"])
@pytest.mark.parametrize(
    "fault",
    [
        {"action": "status", "status_code": 500},
        {"action": "status", "status_code": 502, "body": "html"},
        {"action": "status", "status_code": 503, "body": "empty", "retry_after": 30},
        {"action": "status", "status_code": 504},
        {"action": "status", "status_code": 429},
        {"action": "status", "status_code": 403, "body": "html"},
        {"action": "status", "status_code": 404, "body": "html"},
        {"action": "reset"},
        {"action": "html"},
        {"action": "cut", "mode": "chunked"},
    ],
    ids=lambda fault: "-".join(map(str, fault.values())),
)
def test_unreadable_responses_for_a_day_cost_nothing(
    sandbox: Sandbox, documents_dir, on: str, fault: dict[str, Any]
) -> None:
    """Whatever cannot be read for a day ends with the document, billed once."""
    job = queued_job(test=False) if on == "status" else downloadable_job(test=False)
    sandbox.add_fault(Fault(on=on, **fault))
    job = run_for_hours(job)
    assert (event_kinds(job).count("step_failed") > 8, job.error_code) == (True, "")
    sandbox.clear_faults()
    assert_billed_once(sandbox, run_until_finished(job))


@pytest.mark.fault("S25")
@pytest.mark.parametrize(
    "fault",
    [
        {"status_code": 403, "body": "html"},
        {"status_code": 404, "body": "html"},
        {"status_code": 403, "reason": "Too many simultaneous document requests"},
        {"status_code": 422, "reason": "[Document Queueing Error] There was an error."},
        {"status_code": 500, "reason": "[Document Queueing Error] There was an error."},
        {"status_code": 429},
        {"status_code": 408, "body": "html"},
    ],
    ids=lambda fault: "-".join(map(str, fault.values())),
)
def test_creates_that_were_not_accepted_for_a_day_are_sent_again(
    sandbox: Sandbox, documents_dir, fault: dict[str, Any]
) -> None:
    """What certainly was not accepted is sent again, for as long as RETRY_FOR says."""
    sandbox.add_fault(Fault(on="create", action="status", accept=False, **fault))
    job = run_for_hours(enqueue(test=False))
    assert job.state == State.PENDING
    sandbox.clear_faults()
    assert_billed_once(sandbox, run_until_finished(job))


@pytest.mark.fault("P10")
def test_error_says_how_long_and_what_was_seen_last(sandbox: Sandbox, settings) -> None:
    """A step that is given up tells its time, its tries and the last error; a retry starts anew."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RETRY_FOR": 7200}
    job = downloadable_job()
    sandbox.add_fault(Fault(on="download", action="status", status_code=502, body="html"))
    job = run_until_finished(job, hours=0.5)
    assert (job.error_code, job.resume_state) == ("download_failed", State.DOWNLOADING)
    assert "could not be downloaded for 2 hours (5 tries in a row). The last error:" in job.errors
    assert "HTTP 502" in job.errors
    assert shortcuts.retry(job)
    job.refresh_from_db()
    assert (job.failures, job.failing_since, job.refused_since) == (0, None, None)
    lifecycle.download()
    assert current_state(job) == State.DOWNLOADING


def test_success_ends_a_row_of_failures(sandbox: Sandbox, documents_dir) -> None:
    """RETRY_FOR counts from the first fault in a row: one success in between resets it."""
    sandbox.change_settings(delay=60)
    job = queued_job()
    for _ in range(3):
        sandbox.add_fault(Fault(on="status", action="status", status_code=500, times=1))
        job.refresh_from_db()
        RenderJob.objects.update(deadline_at=None)
        run_until_finished(job, hours=0, until=lambda job: job.failing_since is not None)
        let_time_pass(job, hours=60)
        lifecycle.poll()
        job.refresh_from_db()
        assert (job.state in (State.QUEUED, State.WORKING), job.failing_since) == (True, None)


def test_time_of_a_pause_does_not_count(sandbox: Sandbox, documents_dir) -> None:
    """An account that was paused for days does not use up its jobs' time."""
    jobs = [downloadable_job(), downloadable_job()]
    sandbox.add_fault(Fault(on="download", action="status", status_code=502, times=2))
    lifecycle.download()
    begin_pause("default", ANY_KEY, 300_000, "The key was rejected.")
    skip_time(300_001)
    sandbox.add_fault(Fault(on="download", action="status", status_code=502, times=2))
    lifecycle.download()
    assert [current_state(job) for job in jobs] == [State.DOWNLOADING] * 2
    assert [run_until_finished(job).state for job in jobs] == [State.COMPLETED] * 2


# --- A completed document whose file is refused ----------------------------------------------


@pytest.mark.fault("D10")
@pytest.mark.parametrize("code", [400, 403, 404])
@pytest.mark.parametrize("body", ["xml", "json"])
def test_file_refused_for_most_of_an_hour_is_stored(
    sandbox: Sandbox, documents_dir, code: int, body: str
) -> None:
    """A file server that is not ready yet costs nothing, and spends no download."""
    sandbox.change_settings(download_limit=1)
    job = downloadable_job(test=False)
    calls = sandbox.ledger.status_calls
    fault = Fault(on="download", action="status", status_code=code, body=body, times=25)
    sandbox.add_fault(fault)
    job = run_until_finished(job)
    assert_billed_once(sandbox, job)
    assert job.download_attempts == 1
    assert sandbox.ledger.status_calls == calls + 25  # before each download but the first


@pytest.mark.fault("D10")
@pytest.mark.parametrize("code", [400, 403, 404, 410])
def test_file_refused_for_an_hour_fails_the_job(sandbox: Sandbox, documents_dir, code: int) -> None:
    """After an hour of nothing but DocRaptor's refusals the job fails; a retry asks again."""
    job = downloadable_job(test=False)
    sandbox.add_fault(Fault(on="download", action="status", status_code=code))
    job = run_until_finished(job, hours=0.3)
    assert (job.error_code, job.resume_state) == ("download_refused", State.QUEUED)
    assert "for 72 minutes (5 tries in a row). The last error:" in job.errors
    assert f"HTTP {code}" in job.errors
    sandbox.clear_faults()
    assert shortcuts.retry(job)
    assert_billed_once(sandbox, run_until_finished(job))


@pytest.mark.fault("D10")
@pytest.mark.parametrize("other", [{"status_code": 502}, {"status_code": 403, "body": "html"}])
def test_refusals_between_other_failures_are_no_verdict(
    sandbox: Sandbox, documents_dir, other: dict[str, Any]
) -> None:
    """Only an hour of nothing but refusals counts: the service may be starting."""
    job = downloadable_job(test=False)
    for _ in range(6):
        for options in ({"status_code": 403}, other):
            sandbox.add_fault(Fault(on="download", action="status", times=1, **options))
    assert_billed_once(sandbox, run_until_finished(job, hours=5))


@pytest.mark.fault("D10")
def test_refused_file_of_a_failed_document_fails_the_job(sandbox: Sandbox, monkeypatch) -> None:
    """The status that is asked between two downloads may say more."""
    job = downloadable_job()
    sandbox.add_fault(Fault(on="download", action="status", status_code=400, times=1))
    lifecycle.download()
    failed = RemoteStatus(status="failed", validation_errors="Timeout trying to create pdf")
    monkeypatch.setattr(Client, "get_status", lambda _client, _id: failed)
    job = run_until_finished(job)
    assert (job.error_code, job.errors) == ("render_failed", "Timeout trying to create pdf")
    assert (job.download_attempts, job.reserved_name) == (0, "")


@pytest.mark.fault("D10")
def test_refused_file_of_an_unfinished_document_is_not_downloaded(
    sandbox: Sandbox, documents_dir
) -> None:
    """If DocRaptor reports the document as unfinished again, the job waits without a download."""
    job = downloadable_job(test=False)
    sandbox.add_fault(Fault(on="download", action="status", status_code=400, times=1))
    lifecycle.download()
    sandbox.add_fault(Fault(on="status", action="unknown_state", state="working", times=3))
    calls = sandbox.ledger.download_calls
    for _ in range(3):
        skip_time(301)
        lifecycle.download()
    assert sandbox.ledger.download_calls == calls
    job.refresh_from_db()
    assert "reports 'working' again" in job.errors
    assert_billed_once(sandbox, run_until_finished(job))


@pytest.mark.fault("D10")
def test_new_download_id_of_a_refused_file_is_used(sandbox: Sandbox, documents_dir) -> None:
    """The status between two downloads brings the ID that is valid now."""
    job = downloadable_job(test=False)
    RenderJob.objects.update(download_id="outdated")
    assert_billed_once(sandbox, run_until_finished(job))


@pytest.mark.fault("D10")
def test_refused_file_is_downloaded_without_a_status(sandbox: Sandbox, documents_dir) -> None:
    """A status that cannot be read does not hold back the next download."""
    job = downloadable_job(test=False)
    sandbox.add_fault(Fault(on="download", action="status", status_code=403, times=1))
    lifecycle.download()
    sandbox.add_fault(Fault(on="status", action="status", status_code=500))
    assert_billed_once(sandbox, run_until_finished(job))


@pytest.mark.fault("D10")
def test_retry_after_of_a_download_is_respected(sandbox: Sandbox, documents_dir) -> None:
    """No download is started before Retry-After has passed."""
    job = downloadable_job()
    sandbox.add_fault(
        Fault(on="download", action="status", status_code=503, retry_after=120, times=1)
    )
    lifecycle.download()
    calls = sandbox.ledger.download_calls
    skip_time(115)
    assert lifecycle.download() == 0
    skip_time(6)
    assert lifecycle.download() == 1
    assert sandbox.ledger.download_calls == calls + 1
    assert current_state(job) == State.COMPLETED


@pytest.mark.fault("S11")
@pytest.mark.parametrize("code", [429, 408, 425])
def test_retry_after_of_a_create_is_respected(sandbox: Sandbox, documents_dir, code: int) -> None:
    """No create is sent before Retry-After has passed, up to a day."""
    sandbox.add_fault(
        Fault(
            on="create",
            action="status",
            status_code=code,
            accept=False,
            retry_after=20_000,
            times=1,
        )
    )
    job = enqueue()
    lifecycle.submit()
    skip_time(19_900)
    assert lifecycle.submit() == 0
    skip_time(200)
    assert lifecycle.submit() == 1
    assert current_state(job) == State.QUEUED


@pytest.mark.fault("D3", "D10")
@pytest.mark.parametrize("fault", [{"action": "cut"}, {"action": "empty"}, {"action": "reset"}])
def test_failed_downloads_are_not_counted_as_deaths(
    sandbox: Sandbox, documents_dir, fault: dict[str, Any]
) -> None:
    """More failed downloads than workers may die cost nothing but the wait."""
    job = downloadable_job(test=False)
    sandbox.add_fault(Fault(on="download", times=2 * MAX_LAPSED_CLAIMS, **fault))
    job = run_until_finished(job)
    assert_billed_once(sandbox, job)
    assert job.download_attempts == 1


# --- The storage -----------------------------------------------------------------------------


@contextmanager
def failing(method: str, error: Exception) -> Iterator[list[str]]:
    """Let a method of the storage raise, and yield the names that it was called with."""
    names: list[str] = []

    def fail(_storage: FileSystemStorage, name: str, *_args: Any, **_options: Any) -> None:
        names.append(name)
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FileSystemStorage, method, fail)
        yield names


@pytest.mark.fault("F1")
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("boto")])
def test_storage_that_fails_for_a_day_costs_nothing(
    sandbox: Sandbox, documents_dir, error: Exception
) -> None:
    """A storage that fails for a day costs no second download and no second bill."""
    job = downloadable_job(test=False)
    with failing("save", error):
        job = run_for_hours(job)
    assert str(error) in job.errors
    assert_billed_once(sandbox, run_until_finished(job))
    assert sandbox.ledger.download_calls == 1


@pytest.mark.fault("F1")
def test_spooled_file_that_is_lost_is_downloaded_again(sandbox: Sandbox, documents_dir) -> None:
    """While the storage fails, the spool may be lost with each release: no death is counted."""
    job = downloadable_job(test=False)
    with failing("save", OSError("down")):
        for _ in range(2 * MAX_LAPSED_CLAIMS):
            job = run_for_hours(job, 2)
            for path in files_below(spool.get_directory()):
                path.unlink()
    assert_billed_once(sandbox, run_until_finished(job))
    assert sandbox.ledger.download_calls == 2 * MAX_LAPSED_CLAIMS + 1


@pytest.mark.fault("F1")
def test_storage_has_its_own_time(sandbox: Sandbox, documents_dir) -> None:
    """The storage's first failure does not end what the download has needed days for."""
    job = downloadable_job(test=False)
    sandbox.add_fault(Fault(on="download", action="status", status_code=502, times=2))
    lifecycle.download()
    let_time_pass(job, hours=71)
    lifecycle.download()
    with failing("save", OSError("down")):
        let_time_pass(job, hours=10)
        lifecycle.download()
    job.refresh_from_db()
    assert (job.state, job.failures) == (State.DOWNLOADING, 1)
    assert_billed_once(sandbox, run_until_finished(job))


@pytest.mark.fault("F11")
def test_storage_that_cannot_delete_stores_after_a_failed_download(
    sandbox: Sandbox, documents_dir
) -> None:
    """After a download that failed there is nothing to delete, so nothing is deleted."""
    job = downloadable_job(test=False)
    sandbox.add_fault(Fault(on="download", action="status", status_code=502, times=1))
    with failing("delete", PermissionError("AccessDenied: s3:DeleteObject")) as deleted:
        job = run_until_finished(job)
    assert_billed_once(sandbox, job)
    assert deleted == []


@pytest.mark.fault("F11")
def test_storage_that_cannot_delete_stores_after_a_failed_save(
    sandbox: Sandbox, documents_dir, caplog
) -> None:
    """A file that a failed save may have left cannot be deleted: that is logged, and no more."""
    job = downloadable_job(test=False)
    with failing("save", OSError("down")):
        lifecycle.download()
    with failing("delete", PermissionError("AccessDenied: s3:DeleteObject")) as deleted:
        job = run_until_finished(job)
    assert_billed_once(sandbox, job)
    assert len(deleted) == 1
    assert "could not delete the stored file" in caplog.text


@pytest.mark.fault("F11")
def test_storage_that_cannot_delete_copies_an_earlier_file(
    sandbox: Sandbox, documents_dir, caplog
) -> None:
    """What a killed worker may have copied cannot be deleted: the file is copied all the same."""
    invoice = Invoice.objects.create(number="17")
    content = {"content": "<p>17</p>", "source": invoice}
    run_until_finished(enqueue(**content))
    job = enqueue(**content, reuse=timedelta(days=1))
    RenderJob.objects.filter(pk=job.pk).update(reserved_name="docraptor/left-behind.pdf")
    with failing("delete", PermissionError("AccessDenied: s3:DeleteObject")) as deleted:
        job = run_until_finished(job)
    assert (job.state, sandbox.ledger.create_calls) == (State.COMPLETED, 1)
    assert deleted == ["docraptor/left-behind.pdf"]
    assert "could not delete the stored file" in caplog.text


def test_reserved_name_is_kept_if_a_file_may_exist(sandbox: Sandbox, documents_dir) -> None:
    """A failed download does not forget the file that a killed worker may have stored."""
    job = downloadable_job()
    RenderJob.objects.update(reserved_name="docraptor/left-behind.pdf")
    sandbox.add_fault(Fault(on="download", action="status", status_code=502, times=1))
    lifecycle.download()
    job.refresh_from_db()
    assert job.reserved_name == "docraptor/left-behind.pdf"


# --- Time is over ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "fault", "code", "resumes"),
    [
        (State.QUEUED, {"on": "status", "status_code": 502}, "status_unavailable", State.QUEUED),
        (
            State.DOWNLOADING,
            {"on": "download", "status_code": 502},
            "download_failed",
            State.DOWNLOADING,
        ),
        (State.PENDING, {"on": "create", "status_code": 429}, "submit_failed", None),
    ],
)
def test_time_is_over(
    sandbox: Sandbox, state: State, fault: dict[str, Any], code: str, resumes: State | None
) -> None:
    """After RETRY_FOR each step fails with its own code, and a retry resumes what was accepted."""
    job = create_job(state, status_id="known", download_id="known")
    RenderJob.objects.filter(state=State.PENDING).update(attempt=0)
    sandbox.add_fault(Fault(action="status", **fault))
    job.refresh_from_db()
    job = run_until_given_up(job)
    assert (job.error_code, job.resume_state) == (code, resumes)
    assert "for 3 days (2 tries in a row). The last error:" in job.errors
