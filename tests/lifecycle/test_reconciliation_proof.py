"""What proves that an attempt was not accepted, and what does not."""

import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from django_docraptor import lifecycle
from django_docraptor.lifecycle import account_log
from django_docraptor.lifecycle.evidence import decision_age, latest_arrival, settled_age
from django_docraptor.models import Account, RenderJob
from django_docraptor.states import MAX_RESUBMITS, State
from tests.support.jobs import (
    advance_sandboxes,
    current_state,
    enqueue,
    event_kinds,
    skip_time,
)
from tests.support.log_server import LogServer, serve_log

pytestmark = pytest.mark.django_db(transaction=True)

DAY = 86_400.0


@pytest.fixture
def log(sandbox: Any, settings: Any) -> Iterator[LogServer]:
    """A log that the test controls; nothing in it yet."""
    with serve_log() as server:
        settings.DOCRAPTOR = settings.DOCRAPTOR | {"BASE_URL": server.url}
        yield server


def lost_job(log: LogServer, *, accepted: bool = False, **options: Any) -> RenderJob:
    """Return a job whose create call got a 503."""
    log.swallowed, log.lost = int(accepted), int(not accepted)
    job = enqueue(**{"test": False, **options})
    lifecycle.submit()
    assert current_state(job) == State.UNCONFIRMED
    return job


def check(job: RenderJob) -> RenderJob:
    """Check the log now, and return the job."""
    RenderJob.objects.filter(pk=job.pk, due_at__isnull=False).update(due_at="2020-01-01T00:00Z")
    lifecycle.reconcile()
    return RenderJob.objects.get(pk=job.pk)


def probed_job(log: LogServer, job: RenderJob | None = None) -> RenderJob:
    """Return a job that was not accepted, and whose probe is old enough to prove it."""
    job = job or lost_job(log)
    log.lost = 0
    skip_time(latest_arrival().total_seconds() + 1)
    check(job)
    assert [tag.partition(":")[0] for tag in log.tags()[:1]] == ["probe"]
    skip_time(settled_age().total_seconds() + 1)
    return job


def run_until_settled(job: RenderJob, *, step: float = 30.0) -> float:
    """Run the engine until the job is known to be accepted or has failed; return the seconds."""
    seconds = 0.0
    while current_state(job) in (State.UNCONFIRMED, State.PENDING) and seconds < 2 * 3600:
        skip_time(step)
        seconds += step
        lifecycle.run_once()
    return seconds


def creates(log: LogServer, job: RenderJob) -> int:
    """Return how many attempts of the job were accepted."""
    return sum(tag.startswith(job.pk.hex) for tag in log.tags())


# Settled without a person.


@pytest.mark.fault("S23")
@pytest.mark.parametrize("policy", [None, "resubmit"])
def test_proof_sends_a_production_document_again(
    log: LogServer, settings: Any, policy: str | None
) -> None:
    """After one 503, a production document is sent again, and billed once."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"UNCONFIRMED": policy}
    job = check(probed_job(log))
    assert (job.state, job.attempt) == (State.PENDING, 1)
    event = job.events.get(kind="never_accepted")
    assert event.detail == {"evidence": "proof"}
    lifecycle.submit()
    assert current_state(job) == State.QUEUED
    assert creates(log, job) == 1


@pytest.mark.fault("S23")
def test_wakeups_alone_settle_a_lost_attempt(log: LogServer) -> None:
    """The checks are scheduled so that the proof is complete at the third after the probe."""
    job = lost_job(log)
    seconds = run_until_settled(job)
    assert current_state(job) == State.QUEUED
    assert decision_age() <= seconds <= decision_age() + 180
    assert sum(tag.startswith("probe:") for tag in log.tags()) == 1


def test_policy_fail_leaves_a_proven_attempt_to_a_person(log: LogServer, settings: Any) -> None:
    """With the policy "fail", the person learns that a retry is not billed twice."""
    job = probed_job(log)
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"UNCONFIRMED": "fail"}
    job = check(job)
    assert (job.state, job.error_code) == (State.FAILED, "submit_unconfirmed")
    assert "not billed twice" in job.errors


def test_resubmits_with_proof_are_bounded(log: LogServer) -> None:
    """A production document that never arrives is sent three times at most."""
    job = lost_job(log)
    for _ in range(MAX_RESUBMITS + 1):
        job = check(probed_job(log, job))
        log.lost = 1
        lifecycle.submit()
    job.refresh_from_db()
    assert (job.error_code, job.attempt) == ("submit_unconfirmed", MAX_RESUBMITS + 1)


@pytest.mark.fault("S23")
def test_later_attempt_of_ours_makes_a_probe_unnecessary(log: LogServer) -> None:
    """In a busy account the later attempts of other jobs are evidence, and nothing is probed."""
    job = lost_job(log)
    skip_time(latest_arrival().total_seconds() + 1)
    enqueue(test=False)
    lifecycle.submit()
    check(job)
    assert not any(tag.startswith("probe") for tag in log.tags())
    skip_time(settled_age().total_seconds() + 1)
    assert check(job).state == State.PENDING


# Each clause of the proof.


def remove_date(log: LogServer) -> None:
    """Send no header Date."""
    log.date = lambda now: None


def send_absurd_date(log: LogServer) -> None:
    """Send a Date of another decade."""
    log.date = lambda now: "Mon, 01 Jan 2046 00:00:00 GMT"


def send_unreadable_date(log: LogServer) -> None:
    """Send a Date that is none."""
    log.date = lambda now: "soon"


def reverse_order(log: LogServer) -> None:
    """List the oldest entry first."""
    log.add("stranger", age=DAY / 2)
    log.visible = lambda entries: entries[::-1]


def hide_a_time(log: LogServer) -> None:
    """List an entry whose time cannot be read."""
    log.add("stranger", age=600)["created_at"] = "soon"


def hide_the_probe(log: LogServer) -> None:
    """List all but the later attempt."""
    log.visible = lambda entries: [
        entry for entry in entries if not entry["tag"].startswith("probe")
    ]


def show_strangers_instead(log: LogServer) -> None:
    """List later attempts, and a probe, of another installation."""
    for entry in log.entries:
        entry["tag"] = "probe:0123456789abcdef"
    log.add(f"{'0' * 32}:1", age=1000)


def make_times_older(log: LogServer) -> None:
    """List all times in a zone that they do not name."""
    for entry in log.entries:
        entry["created_at"] = (log.now - timedelta(hours=3)).isoformat()


CLAUSES = [
    (remove_date, "no valid Date"),
    (send_unreadable_date, "no valid Date"),
    (send_absurd_date, "contradict the elapsed time"),
    (make_times_older, "contradict the elapsed time"),
    (reverse_order, "not listed by time"),
    (hide_a_time, "not listed by time"),
    (hide_the_probe, "no attempt that was certainly sent later"),
    (show_strangers_instead, "no attempt that was certainly sent later"),
]


@pytest.mark.fault("S24")
@pytest.mark.parametrize(("change", "missing"), CLAUSES)
def test_incomplete_evidence_proves_nothing(
    log: LogServer, settings: Any, change: Callable[[LogServer], None], missing: str
) -> None:
    """Without one part of the evidence, a production document waits, and people read which."""
    job = probed_job(log)
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"PROBE": False}
    change(log)
    job = check(job)
    assert (job.state, job.attempt) == (State.UNCONFIRMED, 1)
    assert missing in job.errors
    skip_time(4 * DAY)
    job = check(job)
    assert job.error_code == "submit_unconfirmed"
    assert "log did not settle" in job.errors


@pytest.mark.fault("S24")
def test_log_that_is_too_long_proves_nothing(log: LogServer, monkeypatch: Any) -> None:
    """A log that was not read back past the attempt proves nothing."""
    monkeypatch.setattr(account_log, "MAX_ENTRIES", 200)
    job = probed_job(log)
    for number in range(250):
        log.add(f"other {number}", age=100)
    job = check(job)
    assert job.state == State.UNCONFIRMED
    assert "more than 200 entries" in job.errors


@pytest.mark.fault("S24")
@pytest.mark.parametrize(("bound", "value"), [("MAX_ENTRIES", 200), ("READ_SECONDS", 0.0)])
def test_free_document_waits_for_a_log_that_is_too_long(
    log: LogServer, monkeypatch: Any, bound: str, value: float
) -> None:
    """A free document is sent again, but later than usual: the log may be readable soon."""
    monkeypatch.setattr(account_log, bound, value)
    job = lost_job(log, test=True)
    skip_time(decision_age() + 1)
    for number in range(250):
        log.add(f"other {number}", age=100)
    job = check(job)
    assert job.state == State.UNCONFIRMED
    assert "entries since this attempt" in job.errors
    skip_time(decision_age())
    job = check(job)
    assert job.state == State.PENDING
    assert job.events.get(kind="never_accepted").detail == {"evidence": "unreadable"}


@pytest.mark.fault("S24")
def test_log_is_read_until_entries_a_day_older(log: LogServer) -> None:
    """Without the end of the log or an attempt of ours before it, a day's margin is read."""
    for number in range(150):
        log.add(f"recent {number}", age=DAY - 300 + number)
    for number in range(250):
        log.add(f"old {number}", age=DAY * 2 + number)
    job = probed_job(log)
    log.queries.clear()
    assert check(job).state == State.PENDING
    pages = [
        (int(query["page"]), int(query["per_page"]))
        for query in log.queries
        if "search[start]" not in query
    ]
    assert pages == [(1, 100), (2, 100), (1, 66), (2, 66), (3, 66)]


@pytest.mark.fault("S24")
def test_log_is_read_until_an_attempt_accepted_before(log: LogServer) -> None:
    """An attempt of ours that was accepted before this one was sent ends the reading."""
    before = enqueue(test=False)
    lifecycle.submit()
    for number in range(250):
        log.add(f"old {number}", age=DAY / 2 + number)
    skip_time(60)
    job = probed_job(log)
    log.queries.clear()
    assert check(job).state == State.PENDING
    assert [query["page"] for query in log.queries if "search[start]" not in query] == ["1"]
    assert current_state(before) == State.QUEUED


@pytest.mark.fault("C8")
def test_database_clock_that_jumps_ahead_proves_nothing(log: LogServer) -> None:
    """An hour that only the database's clock has seen is not an hour of DocRaptor's."""
    job = lost_job(log)
    skip_time(latest_arrival().total_seconds() + 1)
    check(job)
    skip_time(3600)
    advance_sandboxes(-3600)
    job = check(job)
    assert job.state == State.UNCONFIRMED
    assert "too recent" in job.errors
    advance_sandboxes(settled_age().total_seconds() + 1)
    assert check(job).state == State.PENDING


@pytest.mark.fault("C8")
def test_clock_of_docraptor_that_jumps_ahead_proves_nothing(log: LogServer) -> None:
    """Four minutes that only DocRaptor's clock has seen are none of the database's."""
    job = lost_job(log)
    skip_time(latest_arrival().total_seconds() + 200)
    check(job)
    skip_time(settled_age().total_seconds() - 120)
    advance_sandboxes(240)
    job = check(job)
    assert job.state == State.UNCONFIRMED
    assert "too recent" in job.errors
    skip_time(130)
    assert check(job).state == State.PENDING


@pytest.mark.fault("S24")
def test_attempt_of_the_same_time_is_no_later_one(log: LogServer, settings: Any) -> None:
    """An attempt that was sent before ours must have arrived is no evidence, however old."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"PROBE": False}
    job = lost_job(log)
    skip_time(latest_arrival().total_seconds() - 5)
    enqueue(test=False)
    lifecycle.submit()
    skip_time(decision_age())
    job = check(job)
    assert job.state == State.UNCONFIRMED
    assert "certainly sent later" in job.errors


@pytest.mark.fault("S24")
def test_patchy_log_proves_nothing(log: LogServer) -> None:
    """A log that lacks another attempt, which DocRaptor accepted meanwhile, may lack ours, too."""
    job = lost_job(log)
    other = enqueue(test=False)
    lifecycle.submit()
    skip_time(latest_arrival().total_seconds() + 1)
    check(job)
    skip_time(settled_age().total_seconds() + 1)
    log.visible = lambda entries: [
        entry for entry in entries if not entry["tag"].startswith(other.pk.hex)
    ]
    job = check(job)
    assert job.state == State.UNCONFIRMED
    assert "does not list 1 other attempts" in job.errors
    log.visible = list
    assert check(job).state == State.PENDING


# Logs that mislead.


@pytest.mark.fault("S24")
@pytest.mark.parametrize("minutes", [5, 19])
def test_late_entry_is_found(log: LogServer, minutes: int) -> None:
    """An attempt that is listed late is found; nothing was concluded before."""
    job = lost_job(log, accepted=True)
    log.visible = lambda entries: []
    for _ in range(minutes):
        skip_time(60)
        check(job)
    log.visible = list
    assert check(job).state == State.QUEUED
    assert creates(log, job) == 1


@pytest.mark.fault("S24")
def test_log_that_lags_for_hours_proves_nothing(log: LogServer) -> None:
    """A log that lists nothing of the last three hours lists neither ours nor the probe."""
    job = lost_job(log, accepted=True)
    oldest = 3 * 3600
    log.visible = lambda entries: [
        entry
        for entry in entries
        if entry["created_at"] < (log.now - timedelta(seconds=oldest)).isoformat()
    ]
    for _ in range(17):
        skip_time(600)
        assert check(job).state == State.UNCONFIRMED
    assert sum(tag.startswith("probe:") for tag in log.tags()) == 1
    skip_time(3600)
    assert check(job).state == State.QUEUED
    assert creates(log, job) == 1


FILTERS: dict[str, Callable[[list[Any]], list[Any]]] = {
    "ignored": list,
    "empty": lambda entries: [],
    "another window": lambda entries: [],
}


@pytest.mark.fault("S24")
@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("accepted", [True, False])
def test_misread_filter_decides_nothing(log: LogServer, name: str, accepted: bool) -> None:
    """Whatever a filtered listing contains, an accepted attempt is found and billed once."""
    log.filtered = FILTERS[name]
    job = lost_job(log, accepted=accepted)
    log.add("stranger", age=DAY * 3)
    run_until_settled(job)
    assert current_state(job) == State.QUEUED
    assert creates(log, job) == 1
    assert ("never_accepted" in event_kinds(job)) == (not accepted)


@pytest.mark.fault("S24")
def test_hit_in_a_filtered_listing_settles(log: LogServer) -> None:
    """An attempt that only a filtered listing shows was accepted: it is not sent again."""
    job = lost_job(log, accepted=True)
    log.visible = lambda entries: [
        entry for entry in entries if not entry["tag"].startswith(job.pk.hex)
    ]
    skip_time(latest_arrival().total_seconds() + 1)
    check(job)
    skip_time(settled_age().total_seconds() + 1)
    assert check(job).state == State.QUEUED
    assert creates(log, job) == 1
    [query] = [query for query in log.queries if "search[start]" in query]
    assert query["search[start]"].endswith(" UTC")


@pytest.mark.fault("S24")
def test_page_that_shifts_while_reading_hides_nothing(log: LogServer) -> None:
    """Entries that arrive while the log is read move others to the next page, which is read."""
    for number in range(99):
        log.add(f"before {number}", age=3600 + number)
    job = lost_job(log, accepted=True)
    for number in range(99):
        log.add(f"after {number}", age=-number / 1000)
    skip_time(15)

    def shift() -> None:
        log.add("new")

    log.after_page = shift
    assert check(job).state == State.QUEUED


@pytest.mark.fault("S24")
@pytest.mark.parametrize("accepted", [True, False])
@pytest.mark.parametrize("skipped", [1, 30])
def test_page_that_skips_entries_proves_nothing(
    log: LogServer, accepted: bool, skipped: int
) -> None:
    """An attempt between two pages, of which the second begins too late, is not missing."""
    job = lost_job(log, accepted=accepted)
    skip_time(latest_arrival().total_seconds() + 1)
    check(job)
    for number in range(99 - accepted + (skipped > 1)):
        log.add(f"after {number}", age=100 + number / 1000)
    for number in range(60):
        log.add(f"before {number}", age=3600 + number)
    skip_time(settled_age().total_seconds() + 1)
    log.skip = lambda query: skipped if "search[start]" not in query else 0
    log.filtered = lambda entries: []
    job = check(job)
    assert job.state == (State.QUEUED if accepted else State.UNCONFIRMED)
    assert accepted or "two readings of it differ" in job.errors
    log.skip = lambda query: 0
    assert check(job).state == (State.QUEUED if accepted else State.PENDING)


@pytest.mark.fault("S18")
@pytest.mark.parametrize("largest", [25, 5])
def test_page_that_is_too_large_is_read_in_parts(log: LogServer, largest: int) -> None:
    """A page that cannot be received is asked for in smaller parts, from the beginning."""
    job = lost_job(log, accepted=True)
    for number in range(60):
        log.add(f"after {number}", age=-number / 1000)
    log.page_fault = lambda page, size: b"[" * 100 if size > largest else None
    skip_time(15)
    assert check(job).state == State.QUEUED
    assert {query["per_page"] for query in log.queries} >= {"100", "25"}


# One clock.


@pytest.mark.fault("C8")
@pytest.mark.parametrize("hours", [-26, -1, 1, 26])
@pytest.mark.parametrize("accepted", [True, False])
def test_clocks_that_differ_by_hours_bill_once(
    log: LogServer, settings: Any, hours: int, accepted: bool
) -> None:
    """The database's clock and DocRaptor's may differ by hours, ahead or behind."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"UNCONFIRMED": "resubmit"}
    advance_sandboxes(hours * 3600)
    job = lost_job(log, accepted=accepted)
    run_until_settled(job)
    assert current_state(job) == State.QUEUED
    assert creates(log, job) == 1


# Verdicts of the log.


@pytest.mark.parametrize(
    ("fields", "code"),
    [({}, "render_failed"), ({"status_id": None}, "rejected")],
)
def test_failure_in_the_log_is_a_verdict(log: LogServer, fields: Any, code: str) -> None:
    """A line without success and with reasons fails the job with DocRaptor's words."""
    job = lost_job(log, accepted=True)
    reasons = "Name can't be blank\nTag is too long (maximum is 200 characters)"
    log.entries[0].update({"success": False, "validation_errors": reasons, **fields})
    skip_time(15)
    job = check(job)
    assert (job.state, job.error_code, job.errors) == (State.FAILED, code, reasons)


def test_unfinished_attempt_in_the_log_is_no_failure(log: LogServer) -> None:
    """A line without success and without a reason may be of an unfinished document."""
    job = lost_job(log, accepted=True)
    entry = log.entries[0]
    entry.update({"success": False, "status_id": None})
    skip_time(15)
    assert check(job).state == State.UNCONFIRMED
    entry["status_id"] = "s1"
    assert check(job).state == State.QUEUED


# Probes.


@pytest.mark.fault("S23")
def test_one_probe_serves_all_jobs_of_an_account(log: LogServer) -> None:
    """Several unconfirmed attempts share a probe; it is a test document without a row."""
    log.lost = 3
    jobs = [enqueue(test=False) for _ in range(3)]
    lifecycle.submit()
    skip_time(latest_arrival().total_seconds() + 1)
    for _ in range(5):
        check(jobs[0])
        RenderJob.objects.update(due_at="2020-01-01T00:00Z")
        lifecycle.reconcile()
        skip_time(60)
    probes = [entry for entry in log.entries if entry["tag"].startswith("probe:")]
    assert [entry["test"] for entry in probes] == [True]
    assert RenderJob.objects.count() == 3


@pytest.mark.fault("S23")
def test_failed_probe_is_sent_again(log: LogServer, caplog: Any) -> None:
    """A probe that DocRaptor does not accept is told, and followed by another two minutes later."""
    caplog.set_level(logging.INFO, logger="django_docraptor.lifecycle.probes")
    job = lost_job(log)
    log.lost = 1
    skip_time(latest_arrival().total_seconds() + 1)
    check(job)
    check(job)
    assert log.tags() == []
    (told,) = [text for text in caplog.messages if "the probe failed" in text]
    assert "HTTP 503" in told
    skip_time(121)
    check(job)
    assert len(log.tags()) == 1


NO_PROBE: list[Any] = [
    pytest.param({"PROBE": False}, {}, id="switched off"),
    pytest.param({"UNCONFIRMED": "fail"}, {}, id="policy"),
    pytest.param({}, {"test": True}, id="test document"),
]


@pytest.mark.fault("S23")
@pytest.mark.parametrize(("setting", "options"), NO_PROBE)
def test_no_probe_is_sent_if_it_would_not_help(
    log: LogServer, settings: Any, setting: Any, options: Any
) -> None:
    """Nothing is probed for a job that does not wait for proof, or if it is switched off."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | setting
    job = lost_job(log, **options)
    skip_time(latest_arrival().total_seconds() + 1)
    check(job)
    assert log.tags() == []


@pytest.mark.fault("S23")
@pytest.mark.parametrize("reason", ["callback", "circuit", "young"])
def test_no_probe_is_sent_too_soon_or_in_vain(log: LogServer, reason: str) -> None:
    """Nothing is probed after a callback, while the circuit is open, or for a young attempt."""
    job = lost_job(log)
    skip_time(latest_arrival().total_seconds() + (-2 if reason == "young" else 1))
    if reason == "callback":
        lifecycle.record_callback(job.pk, 1)
    if reason == "circuit":
        Account.objects.update(circuit_open_until="2099-01-01T00:00Z")
    check(job)
    assert log.tags() == []
