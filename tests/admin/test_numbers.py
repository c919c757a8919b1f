"""The numbers above the job list."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation

from django_docraptor import durations, usage
from django_docraptor.admin import numbers
from django_docraptor.admin.jobs import RenderJobAdmin
from django_docraptor.admin.numbers import Number
from django_docraptor.health import health_report
from django_docraptor.models import Heartbeat, RenderJob
from django_docraptor.models.clock import Now, seconds_from_now
from django_docraptor.states import HELD_UNTIL, EventKind, State
from django_docraptor.usage import sums
from tests.support.admin_jobs import LIST, VIEW, create_admin_job, get_text, staff_client
from tests.support.usage import used_job

pytestmark = [pytest.mark.django_db, pytest.mark.databases]


def sum_up() -> None:
    """Sum up the history, the latest events included."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sums, "SETTLE_SECONDS", 0)
        patch.setattr(sums, "FOLD_AFTER_SECONDS", 0)
        usage.fold()


def read() -> dict[str, Number]:
    """Return the numbers by their titles, the month's without its name."""
    sum_up()
    found = numbers.read_numbers(None, health_report(), with_usage=True)
    return {each.title.partition(" in ")[0]: each for each in found}


def job_of_age(state: State, *, hours: float = 0, test: bool = False, **columns: Any) -> RenderJob:
    """Return a job that was requested some hours ago."""
    at = timezone.now() - timedelta(hours=hours)
    columns = {"created_at": at, "attempt": 1, **columns}
    job: RenderJob = create_admin_job(state, {"test": test}, **columns)
    return job


def completed(seconds: float, **options: Any) -> RenderJob:
    """Return a completed job that took so long."""
    job = job_of_age(State.COMPLETED, **options)
    finished_at = job.created_at + timedelta(seconds=seconds)
    RenderJob.objects.filter(pk=job.pk).update(finished_at=finished_at)
    return job


def test_empty_project_has_quiet_numbers() -> None:
    """Without jobs nothing is divided by zero, and nothing is coloured."""
    found = read()
    assert [each.value for each in found.values()] == ["0", "0", "0", "—", "—", "0"]
    assert not any(each.style for each in found.values())


def test_last_day_counts_live_and_test() -> None:
    """Documents of the last 24 hours are counted, not those of yesterday morning."""
    job_of_age(State.PENDING)
    job_of_age(State.COMPLETED, hours=23, test=True)
    job_of_age(State.COMPLETED, hours=25)
    day = read()["Last 24 hours"]
    assert (day.value, day.note, day.url) == ("2", "1 live, 1 test", "?time=day")


def test_failures_of_the_last_day_are_a_share() -> None:
    """The number of failures is red only if there are any."""
    assert read()["Failed, 24 h"].style == ""
    for hours in (1, 2, 30):
        job_of_age(State.FAILED, hours=hours)
    for _ in range(6):
        job_of_age(State.COMPLETED)
    failed = read()["Failed, 24 h"]
    assert (failed.value, failed.note, failed.style) == ("2", "25.0 %", "error")
    assert failed.url == "?state__exact=failed&time=day"


def test_needs_a_look_counts_what_its_link_lists(client: Client) -> None:
    """The number, the filter's count and the listed jobs agree."""
    job_of_age(State.FAILED, hours=72)
    job_of_age(State.FAILED, hours=200)
    job_of_age(State.UNCONFIRMED, due_at=seconds_from_now(-600))
    job_of_age(State.PENDING, held_at=Now(), due_at=HELD_UNTIL)
    job_of_age(State.QUEUED, due_at=seconds_from_now(-600))
    job_of_age(State.QUEUED, due_at=seconds_from_now(-2))
    number = read()["Needs a look"]
    assert (number.value, number.style) == ("4", "warning")
    assert number.note == "1 late, 1 unconfirmed, 1 held"
    assert len(client.get(f"{LIST}{number.url}").context["cl"].result_list) == 4


def test_oldest_waiting_is_the_oldest_unfinished() -> None:
    """Held jobs wait for a person: they are neither the oldest nor counted."""
    job_of_age(State.PENDING, hours=0.05)
    job_of_age(State.WORKING, hours=2)
    job_of_age(State.PENDING, hours=9, held_at=Now(), due_at=HELD_UNTIL)
    job_of_age(State.FAILED, hours=12)
    waiting = read()["Oldest waiting"]
    assert (waiting.value, waiting.note) == ("2 h 00 min", "2 unfinished")


def test_oldest_waiting_links_to_the_oldest_first(client: Client) -> None:
    """Its link lists unfinished jobs, the oldest first."""
    oldest = job_of_age(State.WORKING, hours=2)
    job_of_age(State.PENDING, hours=1)
    job_of_age(State.COMPLETED, hours=3)
    rows = client.get(f"{LIST}{read()['Oldest waiting'].url}").context["cl"].result_list
    assert [len(rows), rows[0].pk] == [2, oldest.pk]


def test_times_are_of_completed_documents() -> None:
    """The median and the 95th percentile leave out failures and older documents."""
    for seconds in range(1, 21):
        completed(seconds)
    completed(1000, hours=30)
    job_of_age(State.FAILED, hours=5)
    median = read()["Median time"]
    assert (median.value, median.note) == ("10.0 s", "95 % in 19.0 s")


def test_times_are_of_the_newest_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bounded number of times is read."""
    monkeypatch.setattr(numbers, "MAX_TIMED", 2)
    completed(9, hours=3)
    completed(2, hours=2)
    completed(1, hours=1)
    assert read()["Median time"].value == "1.0 s"


@pytest.mark.parametrize(
    ("count", "percent", "expected"),
    [(1, 50, 1), (1, 95, 1), (2, 50, 1), (20, 95, 19), (3, 100, 3)],
)
def test_percentile_is_one_of_the_values(count: int, percent: int, expected: int) -> None:
    """So many percent of the values are not greater."""
    values = [timedelta(seconds=number + 1) for number in range(count)]
    assert durations.percentile(values, percent) == timedelta(seconds=expected)


def test_bill_counts_what_docraptor_bills_in_this_month() -> None:
    """Tests and copies of earlier documents are free; last month's and refused ones are left out.

    A retry that was billed again counts twice.
    """
    used_job()
    used_job(test=True)
    used_job(EventKind.REUSED, attempt=0)
    used_job(EventKind.SUBMITTING, EventKind.NOT_ACCEPTED, state=State.PENDING)
    used_job(EventKind.ACCEPTED, EventKind.CANCELLED, state=State.CANCELLED)
    earlier = used_job()
    earlier.events.update(at=datetime.now(UTC).replace(day=1) - timedelta(days=2))
    bill = read()["Billed"]
    assert (bill.value, bill.note, bill.url) == ("2", "2 free", "usage/")


def test_bill_is_shown_to_those_who_may_see_the_usage(client: Client) -> None:
    """It is of all jobs, whichever the user may see."""
    used_job()
    sum_up()
    assert "Billed in" not in get_text(client, LIST)
    permitted = staff_client(VIEW, "view_usageday")
    found = permitted.get(LIST).context["cl"].numbers
    assert [each.value for each in found if each.title.startswith("Billed")] == ["1"]


def test_counts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A count that reaches its limit says that there may be more, and no share is made up."""
    monkeypatch.setattr(numbers, "MAX_COUNTED", 2)
    for _ in range(3):
        job_of_age(State.FAILED)
    found = read()
    assert found["Last 24 hours"].value == "2+"
    assert (found["Failed, 24 h"].value, found["Failed, 24 h"].note) == ("2+", "")
    assert found["Needs a look"].value == "2+"


def test_numbers_are_one_statement() -> None:
    """All numbers are read at once, however many jobs there are."""
    report = health_report()
    for state in State:
        job_of_age(state)
    with CaptureQueriesContext(connection) as queries:
        numbers.read_numbers(None, report, with_usage=True)
    assert len(queries) == 1


def test_numbers_of_some_jobs() -> None:
    """If a user may see some jobs only, the others are not counted."""
    for state in (State.COMPLETED, State.FAILED, State.FAILED):
        job_of_age(state, test=state == State.FAILED, hours=1)
    found = numbers.read_numbers(
        RenderJob.objects.filter(test=True), health_report(), with_usage=False
    )
    assert [each.value for each in found] == ["2", "2", "2", "—", "—"]
    assert [each.value for each in read().values()] == ["3", "2", "2", "—", "1 h 00 min", "0"]


def test_list_of_some_jobs_has_their_numbers(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A project's admin that lists some jobs only counts no others."""

    def tests_only(_self: Any, _request: Any) -> Any:
        return RenderJob.objects.filter(test=True)

    for test in (True, False, False):
        job_of_age(State.PENDING, test=test)
    assert client.get(LIST).context["cl"].numbers[0].value == "3"
    monkeypatch.setattr(RenderJobAdmin, "get_queryset", tests_only)
    assert client.get(LIST).context["cl"].numbers[0].value == "1"


def test_numbers_follow_the_locale() -> None:
    """Numbers are grouped as the reader expects."""
    with translation.override("de"):
        assert numbers.format_number(12345, is_truncated=True) == "12.345+"
        assert numbers.format_share(1, 8) == "12,5\N{NO-BREAK SPACE}%"


def test_list_shows_the_numbers_and_the_engine(client: Client) -> None:
    """The list has a link for each number, and says that the engine has not run yet."""
    job_of_age(State.FAILED)
    text = get_text(client, LIST)
    assert '<li class="docraptor-number-error"><a href="?state__exact=failed&amp;time=day">' in text
    assert "The engine has not run yet." in text


def test_engine_line_tells_the_last_tick(client: Client) -> None:
    """The line above the list tells how long ago the engine ticked, or was last seen."""
    Heartbeat.objects.create(pk=Heartbeat.KEY, ticked_at=seconds_from_now(-7))
    assert "The engine runs: last tick 7 seconds ago." in get_text(client, LIST)
    Heartbeat.objects.update(ticked_at=seconds_from_now(-7200))
    assert "The engine was last seen 2 hours ago." in get_text(client, LIST)
