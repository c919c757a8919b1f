"""The one write path for state, claims, history, and signals that are not lost."""

import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.dispatch import Signal

from django_docraptor import lifecycle
from django_docraptor.models import Account, Pulse, RenderEvent, RenderInput, RenderJob, after
from django_docraptor.signals import document_completed, document_failed, document_submitted
from django_docraptor.states import ACTIVE, FINAL, POLLED, TRANSITIONS, Kind, Reason, State
from tests.conftest import enqueue, kinds, skip_time
from tests.shop.models import Invoice
from tests.threads import at_once

pytestmark = pytest.mark.django_db

FORBIDDEN = [(a, b) for a in State for b in State if b not in TRANSITIONS[a]]
ALLOWED = [(a, b) for a in State for b in State if b in TRANSITIONS[a]]


def put(state: State, **columns: Any) -> RenderJob:
    """A job in any state, as some earlier process left it."""
    job = enqueue()
    due_at = None if state in FINAL else after(3600)
    RenderJob.objects.filter(pk=job.pk).update(
        **{"state": state, "attempt": 1, "due_at": due_at, **columns}
    )
    job.refresh_from_db()
    return job


def row(job: RenderJob) -> dict[str, Any]:
    """The row as it is in the database."""
    return RenderJob.objects.filter(pk=job.pk).values().get()


class Listener:
    """A receiver that counts."""

    def __init__(self) -> None:
        self.heard: list[tuple[uuid.UUID, str]] = []
        self.error: Exception | None = None

    def __call__(self, job: RenderJob, **kwargs: Any) -> None:
        self.heard.append((job.pk, job.state))
        if self.error:
            raise self.error


@pytest.fixture
def completed() -> Iterator[Listener]:
    """A receiver of document_completed."""
    listener = Listener()
    document_completed.connect(listener)
    yield listener
    document_completed.disconnect(listener)


def complete(job: RenderJob) -> bool:
    """What the last step does to the state."""
    return job.move(State.COMPLETED, kind=Kind.COMPLETED)


# --- moves -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("source", "to"), ALLOWED)
def test_move_allowed(source: State, to: State) -> None:
    """A move that the table has changes the row and writes one line of history."""
    job = put(source)
    extra = {} if to in FINAL else {"due_at": after(60)}
    assert job.move(to, kind=Kind.WORKING, note="because", **extra)
    event = job.events.last()
    assert row(job)["state"] == job.state == to
    assert (event.from_state, event.to_state, event.message) == (source, to, "because")
    assert job.events.count() == 2


@pytest.mark.parametrize(("source", "to"), FORBIDDEN)
def test_move_forbidden(source: State, to: State) -> None:
    """A move that the table has not is a programming error, and changes nothing."""
    job = put(source)
    before = row(job)
    with pytest.raises(ValueError, match=f"{source.value} to {to.value}"):
        job.move(to, kind=Kind.WORKING)
    assert row(job) == before
    assert job.events.count() == 1


def test_move_from_a_state_that_is_past() -> None:
    """Whoever saw an older state moves nothing and writes no history."""
    job = put(State.QUEUED)
    late = RenderJob.objects.get(pk=job.pk)
    assert job.move(State.WORKING, kind=Kind.WORKING, due_at=after(1))
    before = row(job)
    assert not late.move(State.FAILED, kind=Kind.FAILED)
    assert row(job) == before
    assert kinds(job) == ["enqueued", "working"]
    assert late.state == State.QUEUED


def test_move_of_another_attempt() -> None:
    """An answer for an older attempt moves nothing, though the state is the same."""
    job = put(State.SUBMITTING, attempt=2)
    job.attempt = 1
    assert not job.move(State.QUEUED, kind=Kind.ACCEPTED, due_at=after(1))
    assert kinds(job) == ["enqueued"]


def test_move_without_the_lease() -> None:
    """Whoever has lost the lease moves nothing where the lease counts."""
    job = put(State.QUEUED, lease_token="theirs")
    job.lease_token = "mine"
    assert not job.move(State.WORKING, kind=Kind.WORKING, leased=True, due_at=after(1))
    assert kinds(job) == ["enqueued"]
    assert job.move(State.WORKING, kind=Kind.WORKING, due_at=after(1))


def test_move_of_a_deleted_row() -> None:
    """A row that is gone is not made again."""
    job = put(State.DOWNLOADING)
    RenderJob.objects.filter(pk=job.pk).delete()
    assert not complete(job)
    assert not RenderJob.objects.exists()


def test_move_ends_lease_and_failures() -> None:
    """A step that led on is a fresh start for the next one."""
    job = put(State.QUEUED, lease_token="mine", failures=4)
    job.move(State.WORKING, kind=Kind.WORKING, leased=True, due_at=after(1))
    assert (row(job)["lease_token"], row(job)["failures"]) == ("", 0)


def test_move_to_the_end_says_when() -> None:
    """A final state has its time, by the database's clock, and nothing is due."""
    job = put(State.DOWNLOADING)
    assert row(job)["finished_at"] is None
    complete(job)
    assert row(job)["finished_at"] is not None
    assert row(job)["due_at"] is None


@pytest.mark.django_db(transaction=True)
def test_move_rolls_back_with_its_history() -> None:
    """Row and history change together or not at all."""
    job = put(State.DOWNLOADING)
    with transaction.atomic():
        assert complete(job)
        transaction.set_rollback(True)
    assert row(job)["state"] == State.DOWNLOADING
    assert kinds(job) == ["enqueued"]


@pytest.mark.django_db(transaction=True)
def test_move_race_has_one_winner() -> None:
    """Four that saw the same state: one moves it, one line of history, one signal due."""
    job = put(State.DOWNLOADING)
    seen = [RenderJob.objects.get(pk=job.pk) for _ in range(4)]
    won = at_once(4, lambda: complete(seen.pop()))
    assert sorted(won) == [False, False, False, True]
    assert kinds(job) == ["enqueued", "completed"]


@pytest.mark.parametrize("state", sorted(FINAL))
def test_database_refuses_a_final_row_that_is_due(state: State) -> None:
    """A finished job that somebody would still look at cannot be written."""
    job = put(State.QUEUED)
    with pytest.raises(IntegrityError), transaction.atomic():
        RenderJob.objects.filter(pk=job.pk).update(state=state)


@pytest.mark.parametrize("state", sorted(ACTIVE))
def test_database_refuses_an_active_row_that_is_never_due(state: State) -> None:
    """An unfinished job that nobody would look at again cannot be written."""
    job = put(State.FAILED)
    with pytest.raises(IntegrityError), transaction.atomic():
        RenderJob.objects.filter(pk=job.pk).update(state=state)


# --- changes without a move ------------------------------------------------------------------


def test_set_holds() -> None:
    """With the lease, other columns change, in the row and in the object."""
    job = put(State.QUEUED, lease_token="mine")
    assert job.set(failures=3, due_at=after(5))
    assert row(job)["failures"] == job.failures == 3


@pytest.mark.parametrize(
    "theirs",
    [{"lease_token": "theirs"}, {"attempt": 2}, {"state": State.WORKING}],
)
def test_set_guard(theirs: dict[str, Any]) -> None:
    """Without the lease, or after a move, nothing changes."""
    job = put(State.QUEUED, lease_token="mine")
    RenderJob.objects.filter(pk=job.pk).update(**theirs)
    assert not job.set(failures=3)
    assert row(job)["failures"] == job.failures == 0


def test_set_refuses_the_state() -> None:
    """The state has one write path, and this is not it."""
    job = put(State.QUEUED)
    with pytest.raises(ValueError, match="move"):
        job.set(state=State.WORKING)
    assert row(job)["state"] == State.QUEUED


# --- claims ----------------------------------------------------------------------------------


def test_claim_by_priority(monkeypatch) -> None:
    """The more urgent go first; among equals, who has waited longer."""
    monkeypatch.setattr("random.random", lambda: 0.999)  # no place goes by waiting time
    for name, priority, seconds in [("c", 0, 9), ("b", 5, 1), ("a", 5, 2), ("d", 0, 8)]:
        job = enqueue(name=name, priority=priority)
        RenderJob.objects.filter(pk=job.pk).update(due_at=after(-seconds))
    order = [RenderJob.objects.all().claim(limit=1, lease=60)[0].name for _ in range(4)]
    assert order == ["a", "b", "c", "d"]


def test_claim_takes_what_is_due() -> None:
    """What is not due yet is nobody's to take."""
    put(State.QUEUED)
    due = put(State.QUEUED, due_at=after(-1))
    assert [job.pk for job in RenderJob.objects.all().claim(limit=9, lease=60)] == [due.pk]


def test_claim_leases() -> None:
    """A claimed job has a token, comes back at its end, and knows the database's time."""
    put(State.QUEUED, due_at=after(-1))
    (job,) = RenderJob.objects.all().claim(limit=9, lease=60)
    assert job.lease_token == row(job)["lease_token"] != ""
    assert timedelta(seconds=55) < job.due_at - job.claimed_at < timedelta(seconds=65)
    assert RenderJob.objects.all().claim(limit=9, lease=60) == []
    skip_time(61)
    (again,) = RenderJob.objects.all().claim(limit=9, lease=60)
    assert again.lease_token != job.lease_token


def test_claim_limit() -> None:
    """No more than asked for."""
    for _ in range(5):
        enqueue()
    assert len(RenderJob.objects.all().claim(limit=3, lease=60)) == 3
    assert len(RenderJob.objects.all().claim(limit=3, lease=60)) == 2


def test_claim_nothing() -> None:
    """An empty queue gives an empty list."""
    assert RenderJob.objects.all().claim(limit=3, lease=60) == []


@pytest.mark.django_db(transaction=True)
def test_claim_race() -> None:
    """Four claimers on four connections: each row has one owner."""
    jobs = [enqueue() for _ in range(30)]
    parts = at_once(4, lambda: RenderJob.objects.all().claim(limit=20, lease=60))
    owners = [(job.pk, job.lease_token) for part in parts for job in part]
    assert len({key for key, _ in owners}) == len(owners)
    in_rows = RenderJob.objects.exclude(lease_token="").values_list("pk", "lease_token")
    assert sorted(owners) == sorted(in_rows)
    assert {key for key, _ in owners} <= {job.pk for job in jobs}


@pytest.mark.parametrize(
    "change",
    [
        {"state": State.WORKING},
        {"attempt": 2},
        {"lease_token": "another's"},
        {"callback_at": "2020-01-01T00:00Z"},
        {"due_at": after(60)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_take_leaves_a_row_that_was_touched(change: dict) -> None:
    """Between the look and the claim somebody may come: what was read is then no longer true."""
    put(State.QUEUED, due_at=Now())
    chosen = RenderJob.objects.filter(state__in=POLLED).best(1)
    RenderJob.objects.update(**change)
    assert RenderJob.objects.filter(state__in=POLLED).take(chosen, lease=60) == []


def test_take_reads_several_again() -> None:
    """Of several jobs each is shown as the claim found it."""
    for _ in range(3):
        put(State.QUEUED, due_at=Now())
    chosen = RenderJob.objects.filter(state__in=POLLED).best(3)
    RenderJob.objects.filter(pk=chosen[0].pk).update(state=State.WORKING)
    taken = RenderJob.objects.filter(state__in=POLLED).take(chosen, lease=60)
    assert {job.pk: job.state for job in taken}[chosen[0].pk] == State.WORKING
    assert len(taken) == 3


def test_claim_leaves_a_paused_account_alone() -> None:
    """Its jobs wait for the end of the pause; those of others are found beside them."""
    for _ in range(3):
        put(State.QUEUED, due_at=Now(), account="paused", priority=5)
    other = put(State.QUEUED, due_at=Now())
    Account.pause("paused", 600, "wrong key")
    (job,) = RenderJob.objects.all().claim(limit=2, lease=60)
    assert job.pk == other.pk
    assert not RenderJob.objects.filter(account="paused").due().exists()


@pytest.mark.django_db(transaction=True)
def test_move_shows_what_the_database_worked_out() -> None:
    """A moment by the database's clock is read when somebody asks for it."""
    job = put(State.DOWNLOADING)
    assert complete(job)
    assert "finished_at" not in job.__dict__
    assert job.finished_at == row(job)["finished_at"]


# --- what counts as in flight ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "columns", "counts"),
    [
        (State.PENDING, {}, False),
        (State.PENDING, {"lease_token": "x"}, True),
        (State.PENDING, {"lease_token": "x", "due_at": after(-1)}, False),
        (State.SUBMITTING, {}, True),
        (State.QUEUED, {}, True),
        (State.WORKING, {"due_at": after(-1)}, True),
        (State.UNCONFIRMED, {"sent_at": after(-59)}, True),
        (State.UNCONFIRMED, {"sent_at": after(-61)}, False),
        (State.DOWNLOADING, {}, False),
        (State.COMPLETED, {}, False),
        (State.FAILED, {}, False),
        (State.CANCELLED, {}, False),
    ],
)
def test_in_flight(state: State, columns: dict[str, Any], counts: bool) -> None:
    """A slot is taken by what DocRaptor has, may have, or is about to get."""
    put(state, **columns)
    assert RenderJob.objects.in_flight("default") == counts
    assert RenderJob.objects.in_flight("other") == 0


def test_for_source() -> None:
    """Jobs are found by the object that they were made from."""
    one, two = Invoice.objects.create(number="1"), Invoice.objects.create(number="2")
    job = enqueue(source=one)
    enqueue(source=two)
    enqueue()
    assert list(RenderJob.objects.for_source(one)) == [job]


# --- what a job says of itself ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "resumes"),
    [
        ({"error_code": Reason.STORAGE_ERROR, "download_id": "d"}, State.DOWNLOADING),
        ({"error_code": Reason.STORAGE_ERROR, "status_id": "s"}, None),
        ({"error_code": Reason.REMOTE_LOST, "status_id": "s"}, State.QUEUED),
        ({"error_code": Reason.REMOTE_LOST, "download_id": "d"}, None),
        ({"error_code": Reason.RENDER_FAILED, "status_id": "s", "download_id": "d"}, None),
        ({"error_code": "", "status_id": "s"}, None),
    ],
)
def test_resumes_at(columns: dict[str, str], resumes: State | None) -> None:
    """A retry takes an attempt up only where DocRaptor's own id for it is known."""
    assert put(State.FAILED, **columns).resumes_at == resumes


def test_resumes_at_only_after_a_failure() -> None:
    """An unfinished job resumes nowhere, whatever its columns say."""
    job = put(State.QUEUED, error_code=Reason.REMOTE_LOST, status_id="s")
    assert job.resumes_at is None


@pytest.mark.parametrize("reason", sorted(Reason))
def test_may_have_been_billed(reason: str) -> None:
    """These failures may stand on the bill, and only of a failed job."""
    codes = {"submit_unconfirmed", "timed_out", "remote_lost", "download_spent"}
    assert put(State.FAILED, error_code=reason).may_have_been_billed == (reason in codes)
    assert not put(State.QUEUED, error_code=reason).may_have_been_billed


def test_tag_names_the_attempt() -> None:
    """Every attempt has a tag of its own."""
    job = put(State.QUEUED, attempt=3)
    assert job.tag == f"{job.pk.hex}:3"


def test_unclaimed_job_has_no_age() -> None:
    """Without the database's clock nothing is said about age or deadline."""
    job = put(State.QUEUED, sent_at=after(-100), deadline_at=after(-50))
    assert (job.age, job.is_past_deadline) == (0.0, False)


def test_claimed_job_has_its_age() -> None:
    """Age and deadline go by the database's clock at the claim."""
    put(State.QUEUED, due_at=after(-1), sent_at=after(-100), deadline_at=after(-50))
    (job,) = RenderJob.objects.all().claim(limit=1, lease=9)
    assert job.age == pytest.approx(100, abs=5)
    assert job.is_past_deadline


def test_input_goes_with_its_job() -> None:
    """Deleting a job leaves neither input nor history."""
    enqueue().delete()
    assert not RenderInput.objects.exists()
    assert not RenderEvent.objects.exists()


# --- signals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signal", "kind"),
    [
        (document_submitted, Kind.ACCEPTED),
        (document_completed, Kind.COMPLETED),
        (document_failed, Kind.FAILED),
    ],
)
@pytest.mark.django_db(transaction=True)
def test_signal_of_each_kind(signal: Signal, kind: Kind) -> None:
    """Each of the three signals goes with its own kind of event, and with no other."""
    heard: list[str] = []

    def receiver(sender: type, job: RenderJob, **kwargs: Any) -> None:
        assert sender is RenderJob
        heard.append(job.state)

    signal.connect(receiver)
    try:
        put(State.SUBMITTING).move(State.QUEUED, kind=Kind.ACCEPTED, due_at=after(9))
        put(State.DOWNLOADING).move(State.COMPLETED, kind=Kind.COMPLETED)
        put(State.WORKING).move(State.FAILED, kind=Kind.FAILED)
        put(State.WORKING).move(State.CANCELLED, kind=Kind.CANCELLED)
    finally:
        signal.disconnect(receiver)
    states = {Kind.ACCEPTED: "queued", Kind.COMPLETED: "completed", Kind.FAILED: "failed"}
    assert heard == [states[kind]]


@pytest.mark.django_db(transaction=True)
def test_signal_once_after_commit(completed: Listener) -> None:
    """The signal comes after the commit, once, with the job as it now stands."""
    job = put(State.DOWNLOADING)
    with transaction.atomic():
        complete(job)
        assert completed.heard == []
        assert job.events.filter(signal_due_at__isnull=False).count() == 1
    assert completed.heard == [(job.pk, "completed")]
    skip_time(3600)
    lifecycle.sweep()
    assert len(completed.heard) == 1


@pytest.mark.django_db(transaction=True)
def test_signal_not_after_rollback(completed: Listener) -> None:
    """What did not happen is not told, at once or later."""
    job = put(State.DOWNLOADING)
    with transaction.atomic():
        assert complete(job)
        transaction.set_rollback(True)
    skip_time(3600)
    lifecycle.sweep()
    assert completed.heard == []


@pytest.mark.django_db(transaction=True)
def test_signal_receiver_error(completed: Listener, caplog) -> None:
    """A receiver that raises is logged, harms no other receiver, and is not called again."""
    calls = []

    def broken(job: RenderJob, **kwargs: Any) -> None:
        calls.append(job)
        raise RuntimeError("receiver broke")

    document_completed.disconnect(completed)
    document_completed.connect(broken)
    document_completed.connect(completed)
    try:
        job = put(State.DOWNLOADING)
        assert complete(job)
        skip_time(3600)
        lifecycle.sweep()
    finally:
        document_completed.disconnect(broken)
    assert completed.heard == [(job.pk, "completed")]
    assert len(calls) == 1
    ours = [record for record in caplog.records if record.name == "django_docraptor"]
    assert any("broken" in one.getMessage() and str(job.pk) in one.getMessage() for one in ours)


@pytest.mark.django_db(transaction=True)
def test_signal_nameless_receiver_error(completed: Listener, caplog) -> None:
    """A receiver without a name (an object, a partial) may raise too: Django's own log cannot."""
    completed.error = RuntimeError("receiver broke")
    job = put(State.DOWNLOADING)
    assert complete(job)
    skip_time(3600)
    lifecycle.sweep()
    assert completed.heard == [(job.pk, "completed")]
    assert any(str(job.pk) in record.getMessage() for record in caplog.records if record.exc_info)


@pytest.mark.django_db(transaction=True)
def test_signal_after_a_crash(completed: Listener) -> None:
    """A process that died between commit and signal leaves it to the sweep, which sends it once."""
    job = put(State.DOWNLOADING)
    complete(job)
    completed.heard.clear()
    job.events.filter(kind=Kind.COMPLETED).update(signal_due_at=after(-1))
    lifecycle.sweep()
    lifecycle.sweep()
    assert completed.heard == [(job.pk, "completed")]
    assert not RenderEvent.objects.filter(signal_due_at__isnull=False).exists()


@pytest.mark.django_db(transaction=True)
def test_signal_being_sent_is_left_alone(completed: Listener) -> None:
    """A sweep does not send what another process is just about to send."""
    job = put(State.DOWNLOADING)
    complete(job)
    completed.heard.clear()
    job.events.filter(kind=Kind.COMPLETED).update(signal_due_at=after(30))
    lifecycle.sweep()
    assert completed.heard == []


@pytest.mark.django_db(transaction=True)
def test_signal_sweeps_at_once(completed: Listener) -> None:
    """Two sweeps at once send a signal once."""
    job = put(State.DOWNLOADING)
    complete(job)
    completed.heard.clear()
    job.events.filter(kind=Kind.COMPLETED).update(signal_due_at=after(-1))
    assert sum(at_once(2, lifecycle.sweep)) == 1
    assert len(completed.heard) == 1


def test_signal_without_listeners() -> None:
    """Where nobody listens, nothing waits to be sent."""
    job = put(State.DOWNLOADING)
    complete(job)
    assert not RenderEvent.objects.filter(signal_due_at__isnull=False).exists()
    assert kinds(job) == ["enqueued", "completed"]


# --- accounts --------------------------------------------------------------------------------


def test_account_pause_and_resume() -> None:
    """A pause holds until its end or until a call has succeeded, for that account alone."""
    Account.pause("one", 600, "HTTP 401")
    assert list(Account.paused()) == ["one"]
    assert Account.objects.get(pk="one").pause_reason == "HTTP 401"
    Account.resume("two")
    assert list(Account.paused()) == ["one"]
    Account.resume("one")
    assert Account.paused() == {}
    assert Account.objects.get(pk="one").pause_reason == ""


def test_account_pause_ends() -> None:
    """A pause ends by itself."""
    Account.pause("one", 600, "HTTP 401")
    skip_time(601)
    assert Account.paused() == {}


def test_account_pause_again() -> None:
    """A later pause takes the place of an earlier one."""
    Account.pause("one", 10, "first")
    Account.pause("one", 600, "second")
    skip_time(60)
    assert list(Account.paused()) == ["one"]
    assert Account.objects.get().pause_reason == "second"


@pytest.mark.django_db(transaction=True)
def test_account_admits_one_at_a_time() -> None:
    """Whoever is admitted keeps others out until the commit, also for an account without a row."""
    inside: list[int] = []
    most: list[int] = []

    def enter() -> None:
        with transaction.atomic():
            Account.lock("new")
            inside.append(1)
            most.append(len(inside))
            RenderJob.objects.count()
            inside.pop()

    at_once(4, enter)
    assert max(most) == 1
    assert Account.objects.count() == 1


# --- the pulse -------------------------------------------------------------------------------


def wake_in(seconds: float) -> None:
    """Let the next wake-up be so many seconds from now."""
    Pulse.objects.update_or_create(pk=Pulse.KEY, defaults={"wake_at": after(seconds)})


def test_arm_first() -> None:
    """Where no wake-up was ever set, one is."""
    assert Pulse.arm(30)
    assert Pulse.objects.get().wake_at is not None


def test_arm_one_alarm() -> None:
    """A second alarm for the same time, or a later one, is not set."""
    assert Pulse.arm(30)
    assert not Pulse.arm(30)
    assert not Pulse.arm(60)


def test_arm_earlier_replaces_later() -> None:
    """An earlier need sets an earlier alarm, which then counts."""
    assert Pulse.arm(60)
    assert Pulse.arm(5)
    assert not Pulse.arm(30)


@pytest.mark.parametrize("seconds", [-60, 0, 0.05])
def test_arm_past_is_replaced(seconds: float) -> None:
    """An alarm that has gone off, or is going off now, keeps nobody from setting one."""
    wake_in(seconds)
    assert Pulse.arm(30)


@pytest.mark.django_db(transaction=True)
def test_arm_race() -> None:
    """Of four that ask at once, one sets the alarm."""
    wake_in(-60)
    assert sorted(at_once(4, lambda: Pulse.arm(30))) == [False, False, False, True]


@pytest.mark.django_db(transaction=True)
def test_arm_race_without_a_row() -> None:
    """So it is for the very first alarm."""
    assert sorted(at_once(4, lambda: Pulse.arm(30))) == [False, False, False, True]


def test_note_leaves_the_alarm() -> None:
    """Being seen changes no alarm."""
    Pulse.arm(30)
    before = Pulse.objects.get()
    Pulse.note("ticked_at")
    pulse = Pulse.objects.get()
    assert pulse.wake_at == before.wake_at
    assert before.ticked_at is None
    assert pulse.ticked_at is not None
