"""Budgets are exact: places are taken with the intent, given back with the proof, and held for."""

import random
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from io import BytesIO
from typing import Any
from unittest.mock import Mock

import pytest
from django.contrib.auth.models import User
from django.core.checks import run_checks
from django.core.exceptions import ValidationError
from django.db import OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_docraptor import (
    cancel,
    erase,
    health_problems,
    health_report,
    lifecycle,
    release,
    retry,
)
from django_docraptor.billing import billed_attempts
from django_docraptor.exceptions import BudgetExceededError, ConfigurationError, RejectedError
from django_docraptor.hosted import render_hosted_now
from django_docraptor.lifecycle.submission import claim_for_slots, prepare_batch
from django_docraptor.lifecycle.synchronous import create_now
from django_docraptor.models import BudgetUse, RenderJob, seconds_from_now
from django_docraptor.models.budgets import ACCOUNT, DAY, MONTH, Period, Scope
from django_docraptor.payloads import DocumentRequest
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.shortcuts import render_now, resume_account
from django_docraptor.signals import budget_reached
from django_docraptor.states import HELD_UNTIL, HoldReason, State
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice
from tests.support.jobs import HTML, enqueue, event_kinds, run_until_finished, skip_time
from tests.support.threads import run_in_threads

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.databases]

Configure = Callable[..., None]
THREADS, BUDGET, JOBS = 10, 13, 40
LIVE_REQUEST = DocumentRequest(name="a.pdf", content=HTML, test=False)


@pytest.fixture
def configure(sandbox: Sandbox, documents_dir: Any, settings: Any) -> Configure:
    """Return a function that sets keys of ``DOCRAPTOR``."""

    def set_keys(**keys: Any) -> None:
        settings.DOCRAPTOR = settings.DOCRAPTOR | keys

    return set_keys


@pytest.fixture(autouse=True)
def _evening(settings: Any) -> None:
    """It is evening at the site, so that what a test makes older stays within the day."""
    hours = (18 - timezone.now().hour + 12) % 24 - 12
    settings.TIME_ZONE = f"Etc/GMT{-hours:+d}"


@pytest.fixture
def told() -> Iterator[list[dict[str, Any]]]:
    """What receivers of ``budget_reached`` get."""
    calls: list[dict[str, Any]] = []

    def receive(sender: Any, signal: Any, **kwargs: Any) -> None:
        calls.append(kwargs)

    budget_reached.connect(receive)
    yield calls
    budget_reached.disconnect(receive)


def live_jobs(count: int, **options: Any) -> list[RenderJob]:
    """Enqueue production documents."""
    return [enqueue(test=False, **options) for _ in range(count)]


def used(kind: str = ACCOUNT, name: str = "default", period: str = DAY) -> int | None:
    """Return how many places of a budget are taken."""
    rows = BudgetUse.objects.filter(kind=kind, name=name, period=period)
    return rows.values_list("used", flat=True).first()


def count_states() -> tuple[int, int]:
    """Return how many jobs were sent, and how many are held."""
    held = RenderJob.objects.held().count()
    return RenderJob.objects.filter(attempt__gt=0).count(), held


# --- the limit ---------------------------------------------------------------------------------


@pytest.mark.fault("B1")
def test_job_beyond_the_budget_is_held_until_the_next_period(
    sandbox: Sandbox, configure: Configure
) -> None:
    """It stays pending with the reason, is due when the next day begins, and then is sent."""
    configure(BUDGET={"day": 2})
    live_jobs(3)
    lifecycle.submit()
    assert sandbox.ledger.create_calls == 2
    held = RenderJob.objects.held().get()
    next_day = Period.at(DAY, timezone.now()).ends_at
    assert (held.state, held.attempt, held.lease_token) == ("pending", 0, "")
    assert (held.held_for, held.due_at) == (HoldReason.BUDGET, next_day)
    assert "The budget of the account 'default' allows 2 documents a day" in held.errors
    assert event_kinds(held) == ["enqueued", "held"]
    assert used() == 2
    resume_account("default")  # this is no pause
    lifecycle.submit()
    assert sandbox.ledger.create_calls == 2
    BudgetUse.objects.update(used=0)  # as a row of the next day
    RenderJob.objects.filter(pk=held.pk).update(due_at=seconds_from_now(-1))
    lifecycle.submit()
    held.refresh_from_db()
    assert sandbox.ledger.create_calls == 3
    assert (held.state, held.held_at, held.held_for) == ("queued", None, "")


def test_job_that_is_due_again_is_held_again_without_another_event(configure: Configure) -> None:
    """A job whose time was changed by hand is not sent, and its history does not grow."""
    configure(BUDGET={"day": 0})
    (job,) = live_jobs(1)
    for _ in range(3):
        lifecycle.submit()
        RenderJob.objects.held().update(due_at=seconds_from_now(-1))
    assert event_kinds(job) == ["enqueued", "held"]


def test_released_job_is_sent_alone(sandbox: Sandbox, configure: Configure) -> None:
    """A person's release lets exactly that job through; it is counted."""
    configure(BUDGET={"month": 1})
    live_jobs(3)
    lifecycle.submit()
    first, second = RenderJob.objects.held()
    assert release(first)
    lifecycle.submit()
    assert sandbox.ledger.create_calls == 2
    assert used(period=MONTH) == 2
    assert RenderJob.objects.held().get() == second
    assert cancel(second)


def hold_for_source(configure: Configure) -> None:
    """Send a document, and hold one because its object has had too many."""
    configure(MAX_PER_SOURCE={"documents": 1, "seconds": 3600})
    invoice = Invoice.objects.create(number="17")
    for _ in range(2):
        InvoicePDF.enqueue(invoice, test=False)
    lifecycle.submit()
    configure(MAX_PER_SOURCE=None)


def hold_for_live(configure: Configure) -> None:
    """Send a document, and hold one because this host may make none."""
    live_jobs(1)
    lifecycle.submit()
    live_jobs(1)
    configure(ALLOW_LIVE=False)
    lifecycle.submit()
    configure(ALLOW_LIVE=True)


@pytest.mark.parametrize(
    ("make_held", "reason"),
    [(hold_for_source, HoldReason.SOURCE), (hold_for_live, HoldReason.LIVE)],
)
def test_release_from_another_hold_takes_no_place(
    sandbox: Sandbox, configure: Configure, make_held: Callable[[Configure], None], reason: str
) -> None:
    """Who lets a job pass that was held for something else has not decided about the budget."""
    configure(BUDGET={"day": 1})
    make_held(configure)
    (held,) = RenderJob.objects.filter(held_for=reason)
    assert release(held)
    lifecycle.submit()
    assert (sandbox.ledger.create_calls, used()) == (1, 1)
    held.refresh_from_db()
    assert held.held_for == HoldReason.BUDGET
    assert release(held)
    lifecycle.submit()
    assert (sandbox.ledger.create_calls, used()) == (2, 2)


def test_test_documents_need_no_place(sandbox: Sandbox, configure: Configure) -> None:
    """They are free, so they are sent, and no row is written."""
    configure(BUDGET={"day": 0})
    enqueue(test=True)
    lifecycle.submit()
    assert sandbox.ledger.create_calls == 1
    assert not BudgetUse.objects.exists()


def test_budgets_of_document_and_owner_count_over_all_accounts(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each document needs a place in each of its budgets, and takes none if one is full."""
    keys = {name: {"API_KEY": f"{name}-key"} for name in ("acme", "beta")}
    configure(ACCOUNTS=keys, TEST_MODE=False, OWNER_BUDGET=lambda key: {"day": 2})
    monkeypatch.setattr(InvoicePDF, "budget", {"day": 3})
    ada, bob = (User.objects.create_user(name) for name in ("ada", "bob"))
    invoices = [Invoice.objects.create(number=str(number)) for number in range(6)]
    for number, invoice in enumerate(invoices):
        owner = ada if number < 3 else bob
        InvoicePDF.enqueue(invoice, owner=owner, account=("acme", "beta")[number % 2])
        lifecycle.submit()
    assert count_states() == (3, 3)
    assert used("owner", str(ada.pk)) == 2
    assert used("owner", str(bob.pk)) == 1
    assert used("document", "shop.InvoicePDF") == 3


def test_accounts_have_budgets_of_their_own(configure: Configure) -> None:
    """An account without one in ACCOUNTS has that of all accounts, by its own name."""
    configure(
        BUDGET={"day": 1}, ACCOUNTS={"acme": {"BUDGET": {"day": 2}}, "beta": {"BUDGET": None}}
    )
    for name in ("acme", "beta", "default"):
        live_jobs(3, account=name)
    lifecycle.submit()
    sent = RenderJob.objects.filter(attempt=1).values_list("account", flat=True)
    assert sorted(sent) == ["acme"] * 2 + ["beta"] * 3 + ["default"]


def test_without_a_budget_nothing_is_looked_up(configure: Configure) -> None:
    """Neither when a document is sent, nor when its attempt ends without a bill."""
    live_jobs(1)
    with CaptureQueriesContext(connection) as queries:
        lifecycle.submit()
    assert not [query for query in queries if "budgetuse" in query["sql"]]


@pytest.mark.parametrize("count", [1, 8])
def test_batch_looks_at_its_budgets_once(configure: Configure, count: int) -> None:
    """However many jobs a batch has: the row is locked, read and written by three statements."""
    configure(BUDGET={"day": 100})
    live_jobs(1)
    lifecycle.submit()  # the row is there
    live_jobs(count)
    with CaptureQueriesContext(connection) as queries:
        prepare_batch(claim_for_slots("default", 16).jobs)
    assert len([query for query in queries if "budgetuse" in query["sql"]]) == 3


# --- what is counted ---------------------------------------------------------------------------


@pytest.mark.fault("B2")
@pytest.mark.parametrize("code", [403, 429])
def test_attempt_that_was_not_accepted_gives_its_place_back(
    sandbox: Sandbox, configure: Configure, code: int
) -> None:
    """A refused attempt has no place, however often it is repeated; the accepted one has."""
    configure(BUDGET={"day": 1, "month": 1})
    fault = Fault(on="create", action="status", status_code=code, accept=False, times=3)
    sandbox.add_fault(fault)
    (job,) = live_jobs(1)
    lifecycle.submit()
    assert (used(), used(period=MONTH)) == (0, 0)
    job = run_until_finished(job)
    assert (job.state, used(), used(period=MONTH)) == (State.COMPLETED, 1, 1)


def test_failed_document_gives_its_place_back_once(sandbox: Sandbox, configure: Configure) -> None:
    """DocRaptor does not bill a document that it could not make; a retry takes a place again."""
    configure(BUDGET={"day": 1})
    sandbox.add_fault(Fault(on="create", action="status", status_code=422, reason="bad", times=1))
    (job,) = live_jobs(1)
    job = run_until_finished(job)
    assert (job.state, used()) == (State.FAILED, 0)
    assert retry(job)
    job = run_until_finished(job)
    assert (job.state, used()) == (State.COMPLETED, 1)


def test_unknown_outcome_keeps_its_place_until_it_is_disproved(
    sandbox: Sandbox, configure: Configure
) -> None:
    """The response is lost: the place is taken until the log shows that nothing was made."""
    configure(BUDGET={"day": 1})
    sandbox.add_fault(Fault(on="create", action="reset", accept=False, times=1))
    (job,) = live_jobs(1)
    lifecycle.submit()
    job.refresh_from_db()
    assert (job.state, used()) == (State.UNCONFIRMED, 1)
    live_jobs(1)
    lifecycle.submit()
    assert RenderJob.objects.held().count() == 1
    job = run_until_finished(job)
    assert (job.state, job.attempt, used()) == (State.COMPLETED, 2, 1)


def test_cancelled_document_keeps_its_place(sandbox: Sandbox, configure: Configure) -> None:
    """DocRaptor may make and bill it."""
    configure(BUDGET={"day": 1})
    (job,) = live_jobs(1)
    lifecycle.submit()
    job.refresh_from_db()
    assert cancel(job)
    assert used() == 1


def test_new_budget_counts_what_was_sent_before(sandbox: Sandbox, configure: Configure) -> None:
    """A budget that is set in the middle of a day knows the history of that day."""
    live_jobs(2)
    sandbox.add_fault(Fault(on="create", action="status", status_code=422, reason="bad", times=1))
    lifecycle.submit()
    assert RenderJob.objects.filter(state=State.FAILED).count() == 1
    configure(BUDGET={"day": 2})
    live_jobs(2)
    lifecycle.submit()
    assert (used(), RenderJob.objects.held().count()) == (2, 1)


def test_lost_claim_takes_no_place(sandbox: Sandbox, configure: Configure) -> None:
    """A job that another process has taken meanwhile is not sent, and has no place."""
    configure(BUDGET={"day": 5})
    first, _second = live_jobs(2)
    batch = claim_for_slots("default", 5)
    RenderJob.objects.filter(pk=first.pk).update(lease_token="other")
    attempts, _copies = prepare_batch(batch.jobs)
    assert len(attempts) == 1
    assert used() == 1


@pytest.mark.fault("B1")
@pytest.mark.parametrize("run", range(10))
def test_budget_is_exact_with_concurrent_processes(
    sandbox: Sandbox, configure: Configure, run: int
) -> None:
    """Ten workers and synchronous calls share the places: none is taken twice, none is lost."""
    configure(BUDGET={"day": BUDGET}, MAX_IN_FLIGHT=1000)
    live_jobs(JOBS)
    refusals: list[str] = []

    def work() -> None:
        for _ in range(2):
            for job in claim_for_slots("default", 3).jobs:
                prepare_batch([job])
        try:
            create_now("default", LIVE_REQUEST, lambda *_: None)
        except BudgetExceededError as error:
            refusals.append(str(error))

    run_in_threads(THREADS, work)
    sent = RenderJob.objects.filter(state=State.SUBMITTING).count()
    assert used() == sent + THREADS - len(refusals) == BUDGET


def random_step(rng: random.Random, sandbox: Sandbox, owner: User) -> None:
    """Do something that may take a place or give one back, or break what does."""
    jobs = list(RenderJob.objects.order_by("created_at"))
    faults = [
        Fault(on="create", action="reset", accept=rng.random() < 0.5, times=1),
        Fault(on="create", action="status", status_code=rng.choice([403, 422, 503]), times=2),
        Fault(on="status", action="status", status_code=rng.choice([404, 500]), times=1),
        Fault(on="download", action="status", status_code=rng.choice([400, 500]), times=1),
    ]
    match rng.choice(["enqueue"] * 2 + ["fault"] * 2 + ["cancel", "retry", "release", "wait"]):
        case "enqueue":
            live_jobs(1, owner=rng.choice([owner, None]))
        case "fault":
            sandbox.add_fault(rng.choice(faults))
        case "cancel" if jobs:
            cancel(rng.choice(jobs))
        case "retry":
            for job in RenderJob.objects.failed():
                retry(job)
        case "release":
            for job in RenderJob.objects.held():
                release(job)
        case _:
            skip_time(rng.choice([5, 60, 700]))
    resume_account("default")
    lifecycle.run_once()


@pytest.mark.parametrize("seed", range(3))
def test_places_agree_with_the_history_after_any_faults(
    sandbox: Sandbox, configure: Configure, settings: Any, seed: int
) -> None:
    """What was taken and given back is what the history says, and what usage calls billed."""
    rng = random.Random(seed)
    policy = rng.choice([None, "resubmit", "fail"])
    configure(BUDGET={"day": 6, "month": 50}, OWNER_BUDGET={"day": 4}, UNCONFIRMED=policy)
    ada = User.objects.create_user("ada")
    for _ in range(30):
        random_step(rng, sandbox, ada)
    taken = {row: row.used for row in BudgetUse.objects.all()}
    BudgetUse.objects.update(used=None)
    for row, count in taken.items():
        with transaction.atomic():
            (counted,) = BudgetUse.lock({(row.scope, row.period)}, row.begins_at).values()
        assert (str(row), counted.used) == (str(row), count)
    histories = [job.events.order_by("pk") for job in RenderJob.objects.all()]
    billed = sum(len(billed_attempts(events)) for events in histories)
    assert {row.period: count for row, count in taken.items() if row.kind == ACCOUNT} == {
        DAY: billed,
        MONTH: billed,
    }


# --- people are told ---------------------------------------------------------------------------


def test_people_are_told_once_in_a_period(configure: Configure, told: list[dict[str, Any]]) -> None:
    """The soft limit and the hard one are told once each, and hold nothing before the hard one."""
    configure(BUDGET={"day": 3, "soft_day": 2})
    for _ in range(5):
        live_jobs(1)
        lifecycle.submit()
    expected = {"scope": "account", "name": "default", "period": "day"}
    assert [(call["level"], call["limit"], call["used"]) for call in told] == [
        ("soft", 2, 2),
        ("hard", 3, 3),
    ]
    assert all(expected.items() <= call.items() for call in told)


def test_receiver_that_fails_is_logged(
    configure: Configure, caplog: pytest.LogCaptureFixture
) -> None:
    """Its exception stops nothing."""

    def fail(**kwargs: Any) -> None:
        raise RuntimeError("no mail")

    budget_reached.connect(fail)
    try:
        configure(BUDGET={"day": 1})
        live_jobs(1)
        lifecycle.submit()
    finally:
        budget_reached.disconnect(fail)
    assert "of budget_reached failed" in caplog.text
    assert RenderJob.objects.get().state == State.QUEUED


@pytest.mark.parametrize("budget", [0, "", False, [], 5, {"day": "1"}, {"week": 1}])
def test_value_that_is_no_budget_is_not_read_as_no_limit(
    sandbox: Sandbox, configure: Configure, budget: object
) -> None:
    """Only ``None`` and an empty dict allow any number; anything else holds, and says why."""
    configure(OWNER_BUDGET=lambda key: budget)
    live_jobs(1, owner=User.objects.create_user("ada"))
    lifecycle.submit()
    assert sandbox.ledger.create_calls == 0
    assert "The budget of the owner " in RenderJob.objects.held().get().errors
    configure(OWNER_BUDGET=lambda key: {} if budget else None)
    skip_time(200)
    lifecycle.submit()
    assert sandbox.ledger.create_calls == 1


@pytest.mark.parametrize("error", [LookupError, SystemExit])
def test_budget_that_cannot_be_told_holds_for_a_moment(
    sandbox: Sandbox, configure: Configure, error: type[BaseException]
) -> None:
    """The failure of a callable is no verdict: the job waits, says why, and goes on."""

    def fail(key: Any) -> None:
        raise error(key)

    configure(OWNER_BUDGET=fail)
    live_jobs(1, owner=User.objects.create_user("ada"))
    lifecycle.submit()
    held = RenderJob.objects.held().get()
    assert f"DOCRAPTOR['OWNER_BUDGET'] raised {error.__name__}" in held.errors
    configure(OWNER_BUDGET={"day": 1})
    skip_time(200)
    lifecycle.submit()
    assert sandbox.ledger.create_calls == 1


# --- synchronous calls -------------------------------------------------------------------------


@pytest.mark.fault("B3")
def test_synchronous_calls_count_and_are_refused(sandbox: Sandbox, configure: Configure) -> None:
    """The call beyond the budget sends nothing, and says when it may be made."""
    configure(BUDGET={"day": 2})
    html = {"name": "a.pdf", "content": HTML, "test": False}
    render_now(BytesIO(), **html)
    render_hosted_now(**html)
    for call in (lambda: render_now(BytesIO(), **html), lambda: render_hosted_now(**html)):
        with pytest.raises(BudgetExceededError, match="allows 2 documents a day") as caught:
            call()
        assert caught.value.ends_at == Period.at(DAY, timezone.now()).ends_at
        assert not caught.value.retryable
    assert sandbox.ledger.create_calls == 2
    render_now(BytesIO(), name="a.pdf", content=HTML, test=True)
    live_jobs(1)
    lifecycle.submit()
    assert RenderJob.objects.held().count() == 1


def test_refused_synchronous_call_gives_its_place_back(
    sandbox: Sandbox, configure: Configure
) -> None:
    """What DocRaptor rejects is not billed; what it may be making is."""
    configure(BUDGET={"day": 5})
    html = {"name": "a.pdf", "content": HTML, "test": False}
    sandbox.add_fault(Fault(on="create", action="status", status_code=422, reason="bad", times=1))
    with pytest.raises(RejectedError):
        render_now(BytesIO(), **html)
    assert used() == 0
    sandbox.add_fault(Fault(on="create", action="reset", accept=True, times=1))
    with pytest.raises(Exception, match="Connection"):
        render_now(BytesIO(), **html)
    assert used() == 1


def test_place_that_cannot_be_given_back_hides_no_error(
    sandbox: Sandbox, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller learns what DocRaptor said; the place stays taken."""
    configure(BUDGET={"day": 5})
    sandbox.add_fault(Fault(on="create", action="status", status_code=422, reason="bad", times=1))
    monkeypatch.setattr(BudgetUse, "give_back", Mock(side_effect=OperationalError("gone")))
    with pytest.raises(RejectedError):
        render_now(BytesIO(), name="a.pdf", content=HTML, test=False)
    assert used() == 1


def test_synchronous_call_within_a_transaction_is_refused(
    sandbox: Sandbox, configure: Configure
) -> None:
    """Other processes would not see its place. Without a budget, it is made."""
    html = {"name": "a.pdf", "content": HTML, "test": False}
    with transaction.atomic():
        render_now(BytesIO(), **html)
    configure(BUDGET={"day": 5})
    with transaction.atomic(), pytest.raises(BudgetExceededError, match="outside of the trans"):
        render_now(BytesIO(), **html)
    assert sandbox.ledger.create_calls == 1


# --- ALLOW_LIVE --------------------------------------------------------------------------------


@pytest.mark.fault("B4")
def test_host_that_may_not_spend_refuses_production_documents(
    sandbox: Sandbox, configure: Configure
) -> None:
    """A caller who asks for one is told which field is wrong, and what to do; nothing is stored."""
    hosts = ["production.example"]
    for keys in ({"test": False}, {}):
        configure(ALLOW_LIVE=hosts, TEST_MODE=bool(keys))
        html = {"name": "a.pdf", "content": HTML, **keys}
        for call in (enqueue, partial(render_now, BytesIO()), render_hosted_now):
            with pytest.raises(ValidationError, match=r"ALLOW_LIVE.*Pass test=True") as caught:
                call(**html)
            assert list(caught.value.message_dict) == ["test"]
    enqueue(test=True)
    lifecycle.submit()
    assert sandbox.ledger.create_calls == RenderJob.objects.count() == 1
    with pytest.raises(ConfigurationError, match="ALLOW_LIVE"):
        create_now("default", LIVE_REQUEST, lambda *_: None)


@pytest.mark.fault("B4")
def test_host_that_may_not_spend_holds_stored_production_documents(
    sandbox: Sandbox, configure: Configure
) -> None:
    """A job that another process has stored is held, and its release does not change that."""
    (job,) = live_jobs(1)
    configure(ALLOW_LIVE=False)
    lifecycle.submit()
    held = RenderJob.objects.held().get()
    assert (held.held_for, held.due_at) == (HoldReason.LIVE, HELD_UNTIL)
    assert "ALLOW_LIVE" in held.errors
    assert release(held)
    lifecycle.submit()
    assert sandbox.ledger.create_calls == 0
    configure(ALLOW_LIVE=True)
    assert release(RenderJob.objects.held().get())
    lifecycle.submit()
    job.refresh_from_db()
    assert job.state == State.QUEUED


# --- periods -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "moment", "begins", "ends"),
    [
        (DAY, "2026-11-27T23:30", "2026-11-27T23:00", "2026-11-28T23:00"),
        (DAY, "2026-03-29T12:00", "2026-03-28T23:00", "2026-03-29T22:00"),  # 23 hours
        (DAY, "2026-10-25T12:00", "2026-10-24T22:00", "2026-10-25T23:00"),  # 25 hours
        (MONTH, "2026-12-31T22:59", "2026-11-30T23:00", "2026-12-31T23:00"),
        (MONTH, "2026-12-31T23:00", "2026-12-31T23:00", "2027-01-31T23:00"),
    ],
)
def test_periods_are_those_of_the_site(
    settings: Any, kind: str, moment: str, begins: str, ends: str
) -> None:
    """They begin at midnight in the site's time zone, also when the clocks change."""
    settings.TIME_ZONE = "Europe/Vienna"
    now = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    period = Period.at(kind, now)
    assert period.begins_at == datetime.fromisoformat(begins).replace(tzinfo=UTC)
    assert period.ends_at == datetime.fromisoformat(ends).replace(tzinfo=UTC)


def test_places_of_each_period_are_counted_alone(configure: Configure) -> None:
    """Yesterday's place is not today's; what is given back goes to the period it was taken in."""
    configure(BUDGET={"day": 5})
    scope, now = Scope(ACCOUNT, "default"), timezone.now()
    yesterday = now - timedelta(days=1)
    for moment, count in ((yesterday, 3), (now, 1)):
        with transaction.atomic():
            (row,) = BudgetUse.lock({(scope, DAY)}, moment).values()
            row.used = count
            BudgetUse.save_all([row])
    BudgetUse.give_back([scope], yesterday)
    assert sorted(BudgetUse.objects.values_list("used", flat=True)) == [1, 2]
    BudgetUse.objects.filter(used=2).update(ends_at=now - timedelta(days=100))
    assert BudgetUse.delete_old() == 1


# --- reports -----------------------------------------------------------------------------------


def test_health_tells_reached_budgets_and_why_jobs_are_held(configure: Configure) -> None:
    """The soft limit is told, then the hard one, and that a job is held for it."""
    configure(BUDGET={"day": 2, "soft_day": 1})
    assert not health_report().budgets
    live_jobs(1)
    lifecycle.submit()
    (budget,) = health_report().budgets
    assert (budget.used, budget.limit, str(budget) in health_problems()) == (1, 1, True)
    live_jobs(2)
    lifecycle.submit()
    report = health_report()
    assert (report.held, report.budgets[0].limit) == (1, 2)
    assert "1 job is held, such as “hello.pdf”: a budget is used up" in report.problems()[0]


def test_health_forgets_a_limit_that_was_raised(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tells the limits in force, also before the next document is sent, and of each kind."""
    ada = User.objects.create_user("ada")
    limits = {ada.pk: {"day": 1}}
    monkeypatch.setattr(InvoicePDF, "budget", {"day": 1})
    configure(BUDGET={"day": 1, "soft_month": 1}, OWNER_BUDGET=limits.get)
    InvoicePDF.enqueue(Invoice.objects.create(number="17"), owner=ada, test=False)
    lifecycle.submit()

    def told() -> list[tuple[str, str]]:
        return [(budget.kind, budget.period) for budget in health_report().budgets]

    account = [("account", "day"), ("account", "month")]
    assert told() == [*account, ("document", "day"), ("owner", "day")]
    limits[ada.pk] = {"day": 2}
    assert told() == [*account, ("document", "day")]
    monkeypatch.setattr(InvoicePDF, "budget", None)
    assert told() == account
    configure(BUDGET={"day": 1, "soft_day": 1})
    (budget,) = health_report().budgets
    assert (budget.period, budget.limit) == ("day", 1)
    configure(BUDGET=None)
    assert health_report().budgets == []


def test_health_tells_a_reached_budget_whose_limit_cannot_be_told(configure: Configure) -> None:
    """A function of the project that fails does not end the report; the last limit is told."""
    limits = {"day": 1}

    def owner_budget(key: int) -> dict[str, int]:
        if not limits:
            raise LookupError(key)
        return limits

    configure(OWNER_BUDGET=owner_budget)
    live_jobs(1, owner=User.objects.create_user("ada"))
    lifecycle.submit()
    limits = {}
    (budget,) = health_report().budgets
    assert (budget.kind, budget.limit) == ("owner", 1)


def test_erasure_forgets_what_an_owner_has_used(configure: Configure) -> None:
    """The row has the owner's key; that of the account stays."""
    configure(BUDGET={"day": 2}, OWNER_BUDGET={"day": 2})
    ada = User.objects.create_user("ada")
    live_jobs(1, owner=ada)
    lifecycle.submit()
    erase(owner=ada)
    assert list(BudgetUse.objects.values_list("kind", flat=True)) == ["account"]


@pytest.mark.check("E031")
def test_check_refuses_production_where_it_is_not_allowed(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TEST_MODE of all accounts, of one, and a document's `test` are named."""
    configure(ALLOW_LIVE=[socket.gethostname().upper()], TEST_MODE=False)
    assert not [e for e in run_checks() if e.id == "django_docraptor.E031"]
    configure(ALLOW_LIVE=False, ACCOUNTS={"acme": {"TEST_MODE": False}}, TEST_MODE=True)
    monkeypatch.setattr(InvoicePDF, "test", False)
    messages = [str(e) for e in run_checks() if e.id == "django_docraptor.E031"]
    for part in ("DOCRAPTOR['ACCOUNTS']['acme']['TEST_MODE'] is False", "InvoicePDF.test is False"):
        assert any(part in message for message in messages)


@pytest.mark.check("E014")
def test_check_refuses_a_wrong_budget_of_a_document(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what is wrong."""
    monkeypatch.setattr(InvoicePDF, "budget", {"week": 5})
    (message,) = [str(e) for e in run_checks() if e.id == "django_docraptor.E014"]
    assert ".budget is invalid: it has the unknown key 'week'" in message
