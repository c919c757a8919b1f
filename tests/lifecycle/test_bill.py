"""The bill: DocRaptor's log against the history of jobs, each difference planted and found."""

import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from typing import Any

import pytest
from django.conf import settings as site_settings

from django_docraptor import lifecycle
from django_docraptor.lifecycle import account_log, bill
from django_docraptor.lifecycle.bill import BillReport, Kind, Period
from django_docraptor.models import RenderEvent, RenderJob
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.shortcuts import render_now
from django_docraptor.states import ErrorCode, EventKind, State
from tests.support.jobs import HTML, enqueue, run_until_finished, wait_for_renders
from tests.support.log_server import serve_log
from tests.support.sandbox_client import SandboxClient
from tests.support.usage import used_job

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """DocRaptor lists what it has made at once, and its clock is the database's."""
    monkeypatch.setattr(bill, "settled_age", timedelta)
    monkeypatch.setattr(bill, "CLOCK_TOLERANCE", timedelta(0))


def compare(*accounts: str, days: float = 1, dates: tuple[date, date] | None = None) -> BillReport:
    """Return the comparison of accounts with one key."""
    wait_for_renders()
    period = Period(days=days, dates=dates)
    (report,) = lifecycle.compare_bills(accounts or ["default"], period=period, seconds=20)
    return report


def made_by_docraptor(sandbox: Sandbox, tag: str, **options: Any) -> None:
    """Let DocRaptor make a production document with a tag."""
    client = SandboxClient(sandbox.url, (site_settings.DOCRAPTOR["API_KEY"], ""))
    client.create(**{"tag": tag, "test": False, **options}).raise_for_status()
    wait_for_renders()


def tag_of(job: RenderJob, attempt: int = 1) -> str:
    """Return the tag of an attempt, with a tag of the project after it."""
    return f"{job.pk.hex}:{attempt} invoice"


def test_clean_run_has_no_difference(sandbox: Sandbox, documents_dir: Any) -> None:
    """Live and test documents, a failure, a retry and a copy: nothing is left over."""
    run_until_finished(enqueue(test=False))
    run_until_finished(enqueue(test=True))
    sandbox.add_fault(Fault(on="render", action="fail", reason="broken", times=1))
    run_until_finished(enqueue(test=False, content="<p>fails</p>"))
    render_now(BytesIO(), name="now.pdf", content=HTML, test=False)
    report = compare()
    assert report.differences == []
    assert (report.billed, report.accounted, report.synchronous) == (2, 2, 1)
    assert not report.error


# Ten planted differences.


def foreign(sandbox: Sandbox) -> None:
    """Another system uses the key."""
    made_by_docraptor(sandbox, "their-tag", name="theirs.pdf")


def unknown_job(sandbox: Sandbox) -> None:
    """The job is not in this database."""
    made_by_docraptor(sandbox, f"{uuid.uuid4().hex}:1")


def other_account(sandbox: Sandbox) -> None:
    """The job belongs to an account that has another key."""
    made_by_docraptor(sandbox, tag_of(used_job(account="acme")))


def never_sent(sandbox: Sandbox) -> None:
    """The database was restored from a backup, in which the job had one attempt only."""
    job = used_job()
    made_by_docraptor(sandbox, tag_of(job, 1))
    made_by_docraptor(sandbox, tag_of(job, 2))


def not_counted(sandbox: Sandbox) -> None:
    """The attempt was held as not accepted."""
    way = (EventKind.SUBMITTING, EventKind.NOT_ACCEPTED)
    made_by_docraptor(sandbox, tag_of(used_job(*way, state=State.PENDING)))


def twice(sandbox: Sandbox) -> None:
    """One create call made two documents."""
    job = used_job()
    for _ in range(2):
        made_by_docraptor(sandbox, tag_of(job))


def billed_test_document(sandbox: Sandbox) -> None:
    """A test document is on the bill."""
    made_by_docraptor(sandbox, tag_of(used_job(test=True)))


def unconfirmed(sandbox: Sandbox) -> None:
    """The response was lost, and DocRaptor has made it."""
    job = used_job(
        EventKind.SUBMITTING,
        EventKind.UNCONFIRMED,
        EventKind.FAILED,
        state=State.FAILED,
        error_code=ErrorCode.SUBMIT_UNCONFIRMED,
        detail={"reason": ErrorCode.SUBMIT_UNCONFIRMED.value},
    )
    made_by_docraptor(sandbox, tag_of(job))


def other_status_id(sandbox: Sandbox) -> None:
    """The job has the status_id of another document."""
    made_by_docraptor(sandbox, tag_of(used_job(status_id="another")))


def failed_there(sandbox: Sandbox) -> None:
    """DocRaptor says that it has not made what is stored here."""
    sandbox.add_fault(Fault(on="render", action="fail", reason="broken", times=1))
    made_by_docraptor(sandbox, tag_of(used_job()))


def free_there(sandbox: Sandbox) -> None:
    """DocRaptor made a test document of a production job."""
    made_by_docraptor(sandbox, tag_of(used_job()), test=True)


def missing(sandbox: Sandbox) -> None:
    """DocRaptor does not list what was downloaded."""
    used_job()


def perhaps(sandbox: Sandbox) -> None:
    """DocRaptor does not list what it may have accepted."""
    used_job(EventKind.SUBMITTING, EventKind.UNCONFIRMED, state=State.UNCONFIRMED)


PLANTED: dict[Kind, tuple[Callable[[Sandbox], None], int]] = {
    Kind.FOREIGN: (foreign, 1),
    Kind.UNKNOWN_JOB: (unknown_job, 1),
    Kind.OTHER_ACCOUNT: (other_account, 1),
    Kind.NEVER_SENT: (never_sent, 1),
    Kind.NOT_COUNTED: (not_counted, 1),
    Kind.TWICE: (twice, 1),
    Kind.TEST_BILLED: (billed_test_document, 1),
    Kind.UNCONFIRMED: (unconfirmed, 0),
    Kind.OTHER_STATUS_ID: (other_status_id, 0),
    Kind.FAILED_THERE: (failed_there, -1),
    Kind.FREE_THERE: (free_there, -1),
    Kind.MISSING: (missing, -1),
    Kind.PERHAPS: (perhaps, 0),
}


def test_each_kind_is_planted() -> None:
    """No kind of difference is left out, and each has a meaning."""
    assert set(PLANTED) == set(Kind) == set(bill.MEANINGS)


@pytest.mark.parametrize("kind", Kind)
def test_planted_difference_is_found(kind: Kind, sandbox: Sandbox, documents_dir: Any) -> None:
    """Each is a line of its own beside an honest document, and has its share of the figure."""
    run_until_finished(enqueue(test=False))
    plant, amount = PLANTED[kind]
    plant(sandbox)
    report = compare()
    assert [each.kind for each in report.differences] == [kind]
    assert report.difference == amount == report.billed - report.accounted


def test_all_planted_differences_are_found_together(sandbox: Sandbox, documents_dir: Any) -> None:
    """They do not hide each other."""
    run_until_finished(enqueue(test=False))
    for plant, _amount in PLANTED.values():
        plant(sandbox)
    report = compare()
    assert sorted(each.kind for each in report.differences) == sorted(Kind)
    assert report.difference == sum(amount for _plant, amount in PLANTED.values())


# What is no difference


@pytest.mark.parametrize("state", [State.SUBMITTING, State.QUEUED, State.WORKING])
def test_what_is_in_progress_is_no_difference(state: State, sandbox: Sandbox) -> None:
    """The engine will learn the outcome by itself, whether DocRaptor lists it or not."""
    way = [EventKind.SUBMITTING, EventKind.ACCEPTED][: 1 if state == State.SUBMITTING else 2]
    used_job(*way, state=state)
    made_by_docraptor(sandbox, tag_of(used_job(*way, state=state)))
    assert compare().differences == []


def test_recent_attempt_need_not_be_listed(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DocRaptor's log may be late."""
    monkeypatch.setattr(bill, "settled_age", lambda: timedelta(minutes=15))
    used_job()
    assert compare().differences == []


def test_accounts_with_one_key_are_compared_together(sandbox: Sandbox) -> None:
    """Each name's documents are in the log of the other."""
    made_by_docraptor(sandbox, tag_of(used_job(account="acme")))
    report = compare("default", "acme")
    assert report.accounts == ["default", "acme"]
    assert report.differences == []


def test_account_without_a_key_is_named(sandbox: Sandbox, settings: Any) -> None:
    """The others are compared."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {
        "API_KEY": lambda account: "" if account == "acme" else "tests-key"
    }
    broken, report = lifecycle.compare_bills(["acme", "default"], period=Period(days=1), seconds=20)
    assert broken.accounts == ["acme"]
    assert "provides no key" in broken.error
    assert not report.error


# How far the log reaches


def test_only_the_period_is_compared(sandbox: Sandbox) -> None:
    """An entry before it is no line, and neither is an attempt before the log's beginning."""
    with serve_log() as log:
        site_settings.DOCRAPTOR["BASE_URL"] = log.url
        log.add("old", age=10 * 86_400)
        job = used_job()
        RenderJob.objects.update(sent_at="2020-01-01T00:00Z")
        RenderEvent.objects.filter(job=job).update(at="2020-01-01T00:00Z")
        assert compare(days=1).differences == []
        assert [each.kind for each in compare(days=20).differences] == [Kind.FOREIGN]


@pytest.mark.parametrize("clock", [0, -7200, 7200])
def test_month_is_compared_by_docraptors_clock(sandbox: Sandbox, clock: int) -> None:
    """What lies just before or after it is no line; what lies just inside is, on both sides."""
    today = datetime.now(UTC).date()
    first = date(today.year - 1, 5, 1)
    begin, end = (datetime(first.year, month, 1, tzinfo=UTC) for month in (5, 6))
    with serve_log() as log:
        site_settings.DOCRAPTOR["BASE_URL"] = log.url
        log.clock_offset = clock
        for time, tag in ((begin, "begins"), (end, "ends")):
            for name, seconds in (("before", -1), ("after", 1)):
                age = (datetime.now(UTC) - time).total_seconds() - seconds
                log.add(f"{name}-{tag}", age=age + clock)
        for time in (begin, end):  # by the database's clock
            for seconds in (-60, 60):
                job, at = used_job(), time + timedelta(seconds=seconds - clock)
                RenderJob.objects.filter(pk=job.pk).update(sent_at=at)
                RenderEvent.objects.filter(job=job).update(at=at)
        report = compare(dates=(first, date(first.year, 5, 31)))
    kinds = {each.tag: each.kind for each in report.differences}
    assert kinds.pop("after-begins") == kinds.pop("before-ends") == Kind.FOREIGN
    assert list(kinds.values()) == [Kind.MISSING, Kind.MISSING]
    assert (report.since, report.billed) == (begin, 2)


def test_report_says_how_far_the_log_reaches(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies before its oldest entry is not compared."""
    with serve_log() as log:
        site_settings.DOCRAPTOR["BASE_URL"] = log.url
        for number in range(300):
            log.add(f"now:{number}", age=60.0 * number)
        report = compare(days=1)
        assert report.since is not None
        assert report.since > report.asked_since  # type: ignore[operator]
        assert not report.error
        monkeypatch.setattr(bill, "MAX_ENTRIES", 100)
        report = compare(days=1)
        assert "more than 100 entries" in report.error
        assert report.billed == 100


def test_log_that_cannot_be_read_is_an_error(sandbox: Sandbox) -> None:
    """No conclusion is drawn from it."""
    used_job()
    sandbox.add_fault(Fault(on="logs", action="status", status_code=503, times=9))
    report = compare()
    assert "503" in report.error
    assert (report.billed, report.differences) == (0, [])


def test_log_is_read_within_its_time(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is the caller's, not the engine's."""
    monkeypatch.setattr(account_log, "READ_SECONDS", 0.0)
    assert not compare().error
