"""Sums and reports: exact at every moment, whatever is summed up, deleted or forgotten."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Group, User
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import EmailField, F, Sum
from django.test.utils import CaptureQueriesContext

from django_docraptor import erase, lifecycle, usage
from django_docraptor.billing import Usage
from django_docraptor.lifecycle.transitions import mark_accepted
from django_docraptor.models import BudgetUse, RenderEvent, RenderJob, UsageDay, UsageMark
from django_docraptor.models.clock import Now
from django_docraptor.retention import RetentionLimit, prune
from django_docraptor.states import ErrorCode, EventKind, State
from django_docraptor.usage import billed_since, fold, forget_owner, read_usage, reports, sums
from tests.support.threads import run_in_threads
from tests.support.usage import used_job

pytestmark = [pytest.mark.django_db, pytest.mark.databases]
TODAY = datetime.now(UTC).date()
FIRST, LAST = TODAY - timedelta(days=40), TODAY + timedelta(days=1)


def total(**options: Any) -> Usage:
    """Return what all documents have used."""
    return read_usage(FIRST, LAST, "day", **options)["day"].total.both


def age_events(seconds: float = 86_400) -> None:
    """Let the events that are not summed up be as old as those that are."""
    events = RenderEvent.objects.filter(pk__gt=UsageMark.current())
    events.update(at=F("at") - timedelta(seconds=seconds))


def lines(by: str) -> dict[str, Usage]:
    """Return what each has used."""
    return {line.key: line.both for line in read_usage(FIRST, LAST, by)[by].lines}


def test_events_count_before_and_after_they_are_summed_up() -> None:
    """The figures are the same while the tick has not run, and when it has."""
    used_job()
    age_events()
    before = total()
    assert before == Usage(completed=1, billed=1, pages=3, file_bytes=1000)
    assert not UsageDay.objects.exists()
    assert fold() > 0
    assert UsageDay.objects.get().billed == 1
    assert total() == before
    assert fold() == 0


def test_recent_events_are_not_summed_up() -> None:
    """An event whose transaction may not have ended is left, and so are all that follow it."""
    used_job()
    age_events()
    used_job()
    fold()
    assert UsageDay.objects.get().billed == 1
    assert total().billed == 2


def test_clock_that_was_set_back_holds_no_event_back() -> None:
    """An event from the future is as old as those that follow it."""
    used_job()
    age_events(seconds=-365 * 86_400)
    for _ in range(2):
        used_job()
        RenderEvent.objects.filter(at__lte=Now()).update(at=Now() - timedelta(hours=1))
        assert fold() > 0
    assert UsageMark.current() == RenderEvent.objects.latest("pk").pk
    assert UsageDay.objects.aggregate(billed=Sum("billed"))["billed"] == 3


def test_run_is_not_repeated_at_once() -> None:
    """A tick does nothing until some events have come together."""
    used_job()
    age_events(seconds=sums.SETTLE_SECONDS + 1)
    assert fold() == 0
    age_events(seconds=3600)
    assert fold() > 0


def test_later_event_takes_back_what_was_summed_up() -> None:
    """An attempt of unknown outcome counts, until it is proven to be missing."""
    job = used_job(EventKind.SUBMITTING, EventKind.UNCONFIRMED, state=State.UNCONFIRMED)
    age_events(seconds=26 * 3600)
    fold()
    assert total().billed == 1
    job.record_event(EventKind.NEVER_ACCEPTED, detail={"evidence": "proof"})
    assert total().billed == 0
    age_events()
    fold()
    assert (total().billed, UsageDay.objects.get().billed) == (0, 0)


def test_batches_end_within_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not matter where a batch ends."""
    monkeypatch.setattr(sums, "BATCH_SIZE", 1)
    used_job()
    used_job(test=True)
    age_events()
    before = read_usage(FIRST, LAST, *usage.GROUPS)
    fold(seconds=60)
    assert read_usage(FIRST, LAST, *usage.GROUPS) == before
    assert UsageMark.current() == RenderEvent.objects.latest("pk").pk


def test_deleted_jobs_stay_counted() -> None:
    """Pruning, a queryset's delete and an object's leave the figures as they are."""
    for deleted in (True, False):
        used_job()
        if deleted:
            age_events()
            fold()
    used_job(test=True)
    before = total()
    RenderJob.objects.filter(test=True).delete()
    RenderJob.objects.order_by("created_at")[0].delete()
    assert total() == before
    limit = RetentionLimit(label="", jobs=timedelta(0), inputs=None)
    assert sum(result.jobs for result in prune([limit])) == 1
    assert total() == before
    age_events()
    fold()
    assert total() == before


def test_deleting_an_old_job_locks_nothing() -> None:
    """What is summed up already is not written again."""
    job = used_job()
    age_events()
    fold()
    with CaptureQueriesContext(connection) as queries:
        job.delete()
    assert not any("usageday" in query["sql"] for query in queries)


def test_figures_are_grouped() -> None:
    """Each account, document, owner and day has its line, and all lines have the total."""
    ada = User.objects.create_user("ada")
    used_job(document="shop.Invoice", owner=ada)
    used_job(document="shop.Invoice", account="acme")
    used_job(EventKind.REUSED, attempt=0)
    days = {at.date().isoformat() for at in RenderEvent.objects.values_list("at", flat=True)}
    for _ in range(2):
        assert {key: used.billed for key, used in lines("account").items()} == {
            "default": 1,
            "acme": 1,
        }
        assert {key: used.completed for key, used in lines("document").items()} == {
            "shop.Invoice": 2,
            "": 1,
        }
        assert {key: used.completed for key, used in lines("owner").items()} == {
            str(ada.pk): 1,
            "": 2,
        }
        assert sum(lines("day")[day].completed for day in days) == 3
        assert total().reused == 1
        assert total(account="acme").billed == 1
        with pytest.MonkeyPatch.context() as patch:  # the same, summed up
            patch.setattr(sums, "SETTLE_SECONDS", -60.0)
            patch.setattr(sums, "FOLD_AFTER_SECONDS", -60.0)
            fold()


@pytest.mark.parametrize("column", ["account", "document"])
@pytest.mark.parametrize(
    "names",
    [("acme", "Acme"), ("acme", "acme "), ("élan", "elan"), ("Straße", "Strasse"), ("x" * 64, "x")],
)
def test_similar_names_are_counted_apart(names: tuple[str, str], column: str) -> None:
    """MariaDB's usual collations take them for one; no row and no filter does."""
    for number in range(3):
        used_job(**{column: names[number % 2]})
    expected = dict(zip(names, (2, 1), strict=True))
    for _ in range(2):  # from the events, and then from the sums
        assert {key: used.billed for key, used in lines(column).items()} == expected
        counts = {name: billed_since(FIRST, **{column: name}) for name in names}  # type: ignore[arg-type]
        assert counts == expected
        age_events()
        fold()
    assert UsageDay.objects.count() == 2


def test_forgotten_owner_leaves_the_totals() -> None:
    """After an erasure, no row names the owner, and the bill is the same."""
    ada = User.objects.create_user("ada")
    used_job(owner=ada)
    age_events()  # by a day, and so in another row
    fold()
    used_job(owner=ada)
    before = total()
    RenderJob.objects.filter(owner=ada).delete()
    assert forget_owner(ada) == 2
    assert not UsageDay.objects.filter(owner=str(ada.pk)).exists()
    assert total() == before
    assert lines("owner")[""].billed == 2


@pytest.mark.parametrize(("model", "column"), [(UsageDay, "owner"), (BudgetUse, "name")])
def test_primary_key_of_an_owner_may_be_an_email_address(model: Any, column: str) -> None:
    """A row that has no room for it would end every run, and the deletion of each job."""
    longest = EmailField().max_length
    assert longest is not None
    assert model._meta.get_field(column).max_length >= longest
    UsageDay.objects.create(
        day=TODAY, account="x" * 64, document="x" * 200, owner="x" * longest, test=True
    )


def test_erasure_forgets_the_owner() -> None:
    """What was summed up and what was not: the person is erased, and the bill is the same."""
    ada = User.objects.create_user("ada")
    used_job(owner=ada)
    age_events()
    fold()
    used_job(owner=ada)
    before = total()
    erase(owner=ada)
    age_events()
    fold()
    assert not UsageDay.objects.exclude(owner="").exists()
    assert total() == before


def test_billed_since_counts_each_scope() -> None:
    """Budgets ask for an account, a document class or an owner, since a day began."""
    ada, now = User.objects.create_user("ada"), datetime.now(UTC)
    used_job(account="acme", document="shop.Invoice", owner=ada)
    used_job(test=True, account="acme")
    age_events(seconds=26 * 3600)
    fold()
    used_job(account="acme")
    yesterday = now - timedelta(days=2)
    assert billed_since(yesterday) == 2
    assert billed_since(now) == 1
    assert billed_since(yesterday, account="acme") == 2
    assert billed_since(yesterday, document="shop.Invoice") == 1
    assert billed_since(yesterday, account="acme", owner=ada) == 1
    assert billed_since(yesterday, owner=ada.pk + 1) == 0


def test_billed_since_counts_what_is_being_sent() -> None:
    """A committed intent counts: its create call may be accepted at any moment."""
    used_job(EventKind.SUBMITTING, state=State.SUBMITTING)
    assert total().billed == 0
    assert billed_since(datetime.now(UTC)) == 1


@pytest.mark.parametrize("function", ["jobs_of", "used_by"])
@pytest.mark.parametrize("is_after", [False, True])
def test_attempt_that_is_accepted_meanwhile_counts_once(
    function: str, is_after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever the response comes while the number is read, the attempt is counted."""
    job = used_job(EventKind.SUBMITTING, state=State.SUBMITTING)
    read = getattr(reports, function)

    def accept_meanwhile(*args: Any, **options: Any) -> Any:
        found = read(*args, **options) if is_after else None
        mark_accepted(job, "status-1")
        return found if is_after else read(*args, **options)

    monkeypatch.setattr(reports, function, accept_meanwhile)
    assert billed_since(datetime.now(UTC)) == 1
    monkeypatch.undo()
    assert billed_since(datetime.now(UTC)) == 1


def test_billed_since_counts_what_is_sent_beside_an_earlier_response() -> None:
    """A late response for an earlier attempt does not hide the one that is being sent."""
    job = used_job(EventKind.SUBMITTING, state=State.SUBMITTING, attempt=2)
    job.record_event(EventKind.LATE_RESPONSE, detail={"attempt": 1})
    assert billed_since(datetime.now(UTC)) == 2


def test_billed_since_takes_a_day() -> None:
    """A date is a day, and so is a time; what is neither is refused."""
    day = used_job().events.latest("pk").at.date()
    assert billed_since(day) == 1
    assert billed_since(day + timedelta(days=1)) == 0
    with pytest.raises(ValidationError, match="since must be a date or a datetime, not str"):
        billed_since("2026-11-01")  # type: ignore[arg-type]


@pytest.mark.parametrize("owner", [AnonymousUser(), User(), "", "ada", Group(pk=1)])
def test_billed_since_refuses_what_owns_no_documents(owner: Any) -> None:
    """It does not count the documents of all users for a visitor who has not logged in."""
    used_job(owner=User.objects.create_user("ada"))
    with pytest.raises(ValidationError, match="owner"):
        billed_since(TODAY, owner=owner)


def test_report_says_if_not_all_was_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ticks, only so many events are counted on demand."""
    used_job()
    assert read_usage(FIRST, LAST, "day")["day"].is_complete
    monkeypatch.setattr(reports, "MAX_LIVE", 1)
    assert not read_usage(FIRST, LAST, "day")["day"].is_complete


def test_figures_are_read_again_if_they_change_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run between reading what is recent and reading the sums does not count twice."""
    used_job()
    age_events()
    live, runs = reports._live, []

    def live_then_fold(*args: Any) -> Any:
        found = live(*args)
        if not runs:
            runs.append(fold())
        return found

    monkeypatch.setattr(reports, "_live", live_then_fold)
    assert total().billed == 1
    assert runs[0] > 0


def test_engine_sums_up() -> None:
    """The engine's runs do it, also when no job is unfinished."""
    used_job()
    age_events()
    lifecycle.run_once()
    assert UsageDay.objects.get().billed == 1


def test_error_does_not_end_the_tick(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The engine goes on, the figures are right, and the next tick tries again."""
    used_job()
    age_events()
    with monkeypatch.context() as patch, transaction.atomic():
        patch.setattr(sums, "_add", lambda days: UsageDay.objects.create(day=None))
        lifecycle.run_once()
    assert "could not be summed up" in caplog.text
    assert (total().billed, UsageMark.current()) == (1, 0)
    assert fold() > 0


@pytest.mark.django_db(transaction=True)
def test_parallel_runs_count_once() -> None:
    """Many ticks, and deletions between them, count each event once."""
    for _ in range(6):
        used_job()
    age_events()
    works: list[Any] = [fold] * 6
    if connection.vendor != "sqlite":  # there, a transaction that reads first may not wait
        works += [job.delete for job in RenderJob.objects.order_by("pk")[:2]]
    run_in_threads(len(works), lambda: works.pop()())
    fold()
    assert total().billed == 6


@pytest.mark.django_db(transaction=True)
def test_first_of_all_runs_wait_for_each_other() -> None:
    """The row that they lock is made by one of them, and none is refused."""

    def lock() -> int | None:
        with transaction.atomic():
            return UsageMark.lock(wait=True)

    for _ in range(10):
        UsageMark.objects.all().delete()
        assert run_in_threads(8, lock) == [0] * 8
        assert UsageMark.objects.count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "mysql", reason="others refuse what has changed")
def test_sums_of_another_process_are_not_overwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction that deletes jobs adds to the rows as they are, not as it has seen them."""
    noon = datetime(2026, 11, 1, 12, tzinfo=UTC)
    used_job()
    RenderEvent.objects.update(at=noon)
    fold()
    used_job()
    RenderEvent.objects.update(at=noon)
    deleted = used_job()
    deleted.events.update(at=noon + timedelta(hours=2))  # the same day, and not summed up
    an_hour_later = (datetime.now(UTC) - noon).total_seconds() - 3600
    monkeypatch.setattr(sums, "FOLD_AFTER_SECONDS", an_hour_later)
    monkeypatch.setattr(sums, "SETTLE_SECONDS", an_hour_later)
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    with transaction.atomic():
        assert UsageDay.objects.get().billed == 1  # a snapshot for the whole transaction
        run_in_threads(1, fold)
        deleted.delete()
    assert UsageDay.objects.get().billed == 3


def test_failures_are_counted() -> None:
    """A failure counts on its day, and its attempt is billed if DocRaptor may have made it."""
    used_job(
        EventKind.SUBMITTING,
        EventKind.ACCEPTED,
        EventKind.FAILED,
        state=State.FAILED,
        detail={"reason": ErrorCode.TIMED_OUT.value},
    )
    assert total() == Usage(billed=1, failures=1)


def test_day_is_utc(settings: Any) -> None:
    """The site's time zone changes no figure."""
    used_job()
    RenderEvent.objects.update(at=datetime(2026, 11, 1, 0, 30, tzinfo=UTC))
    settings.TIME_ZONE = "America/Los_Angeles"
    day = date(2026, 11, 1)
    assert read_usage(day, day, "day")["day"].total.live.billed == 1
