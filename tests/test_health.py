"""The health report and its problems, and the banner in the admin."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.html import escape

from django_docraptor import advice, health, lifecycle
from django_docraptor.models import (
    Account,
    Heartbeat,
    RenderJob,
    heartbeat,
    record_heartbeat,
    seconds_from_now,
)
from django_docraptor.models.clock import Now
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.states import State
from tests.support.admin_jobs import staff_client
from tests.support.jobs import create_job, enqueue, pause_account, run_until_finished, skip_time

pytestmark = pytest.mark.django_db(transaction=True)


def test_idle_site_has_no_problem(sandbox: Sandbox, documents_dir) -> None:
    """Without jobs there is no problem, even if no tick ever ran."""
    run_until_finished(enqueue())
    found = health.health_report()
    assert found.lag == 0
    assert set(found.counts.values()) == {0}
    assert health.health_problems() == []


def test_waiting_job_without_any_tick_is_a_problem(sandbox: Sandbox) -> None:
    """A job that no worker claims is a problem, and the message says what to start."""
    enqueue()
    skip_time(300)
    (problem,) = health.health_problems()
    assert "5 min" in problem
    assert "The engine has never run" in problem


def test_problem_distinguishes_missing_ticks_from_busy_workers(sandbox: Sandbox) -> None:
    """The message says whether ticks stopped or workers are too slow."""
    enqueue()
    skip_time(300)
    Heartbeat.objects.update_or_create(pk=1, defaults={"ticked_at": "2020-01-01T00:00Z"})
    assert "The last tick was seen " in health.health_problems()[0]
    Heartbeat.record("ticked_at")
    assert "not all busy" in health.health_problems()[0]


def test_job_that_waits_for_a_slot_is_not_late(sandbox: Sandbox, settings) -> None:
    """Jobs that wait because all slots are taken are not a problem."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"MAX_IN_FLIGHT": 1}
    sandbox.change_settings(delay=100)
    enqueue()
    lifecycle.submit()
    waiting = enqueue()
    skip_time(1)
    type(waiting).objects.filter(pk=waiting.pk).update(due_at="2020-01-01T00:00Z")
    assert health.health_report().lag < 60


def test_paused_accounts_are_problems_with_reasons(sandbox: Sandbox) -> None:
    """A paused account and an open circuit are problems, with their reasons."""
    pause_account("default", "Unauthorized")
    for _ in range(5):
        Account.lock("other")
        Account.record_failure("other", "HTTP 503")
    problems = health.health_problems()
    assert any("“default” is paused until" in text and "Unauthorized" in text for text in problems)
    assert any(
        "“other” submits no new documents until" in text and "HTTP 503" in text for text in problems
    )


def _admin_pages() -> list[str]:
    """Return the app's index, the list of jobs, and the page of an unfinished job."""
    job = enqueue()
    return [
        reverse("admin:app_list", args=["django_docraptor"]),
        reverse("admin:django_docraptor_renderjob_changelist"),
        reverse("admin:django_docraptor_renderjob_change", args=[job.pk]),
    ]


def test_admin_shows_the_problem_in_a_banner(sandbox: Sandbox, admin_client) -> None:
    """The app's pages show the same message in a banner, and none if there is no problem."""
    urls = _admin_pages()
    for url in urls:
        assert "The engine has never run" not in admin_client.get(url).content.decode()
    skip_time(31 * 86_400)
    (problem,) = health.health_problems()
    for url in urls:
        assert escape(problem) in admin_client.get(url).content.decode()
    assert "31 days" in problem
    for way in ("Celery worker", "Celery beat", "docraptor_tick", "cron", "systemd"):
        assert way in problem


def test_page_of_a_job_shows_the_pauses_of_its_account(sandbox: Sandbox, admin_client) -> None:
    """Another account's pause is on the list, not on the page of a job that it does not concern."""
    index, job_list, job_page = _admin_pages()
    pause_account("another", "Bad key of another")
    texts = [admin_client.get(url).content.decode() for url in (index, job_list, job_page)]
    assert ["Bad key of another" in text for text in texts] == [True, True, False]
    pause_account("default", "Bad key of this one")
    assert "Bad key of this one" in admin_client.get(job_page).content.decode()


def test_banner_is_for_those_who_may_view_jobs(sandbox: Sandbox) -> None:
    """Staff who see only the accounts learn nothing about the jobs."""
    index, _list, _job = _admin_pages()
    skip_time(300)
    text = staff_client("view_account").get(index).content.decode()
    assert "Accounts" in text
    assert "never run" not in text


def test_pages_need_a_constant_number_of_queries(sandbox: Sandbox, admin_client) -> None:
    """The banner takes as many, however many jobs of however many accounts are late.

    On MariaDB and MySQL, it takes one more for each account.
    """
    others = 5
    expected = others if connection.vendor == "mysql" else 0
    for url in _admin_pages():
        skip_time(300)
        postpone(enqueue())
        admin_client.get(url)
        with CaptureQueriesContext(connection) as few:
            admin_client.get(url)
        for number in range(others):
            enqueue(account=f"account-{number}")
            postpone(enqueue(account=f"account-{number}"))
        skip_time(300)
        with CaptureQueriesContext(connection) as many:
            admin_client.get(url)
        assert 0 <= len(many) - len(few) <= expected


@pytest.mark.parametrize(
    ("heartbeats", "problem"),
    [
        ({}, advice.NEVER_RAN),
        ({"ticked_at": 300, "worked_at": 4000}, "the last worker or tick was seen 5 minutes ago."),
        ({"ticked_at": 80}, None),
        ({"ticked_at": 300, "worked_at": 80}, None),
    ],
)
def test_engine_that_does_not_run_is_told_before_a_job_is_late(
    heartbeats: dict[str, float], problem: object
) -> None:
    """One sign of life within a minute and a half is enough; otherwise both ways are named."""
    Heartbeat.objects.get_or_create(pk=Heartbeat.KEY)
    Heartbeat.objects.update(**{key: seconds_from_now(-age) for key, age in heartbeats.items()})
    reasons = health.waiting_reasons()
    assert len(reasons) == (problem is not None)
    assert health.health_report().engine_problem() == "".join(reasons)
    if problem is not None:
        assert reasons[0].endswith(f"{problem} {advice.START_ENGINE}")


def test_pause_of_an_account_is_a_reason_for_its_jobs(sandbox: Sandbox) -> None:
    """That of another account is none; the remedy says when jobs go on."""
    Heartbeat.record("ticked_at")
    pause_account("other", "Bad key.")
    assert health.waiting_reasons("default") == []
    (reason,) = health.waiting_reasons("other")
    assert reason.startswith("Account “other” is paused until ")
    assert reason.endswith(f"Bad key. {advice.RESUME}")


def test_errors_of_other_jobs_of_the_account_are_told(sandbox: Sandbox) -> None:
    """A person who asks for a document learns before it is tried what will happen to it."""
    assert health.failing_reason("default") == ""
    postpone(enqueue(account="other"), seconds=5, errors="Refused.\nmore")
    assert health.failing_reason("default") == ""
    assert health.failing_reason("other").endswith("because of: Refused.")


def test_page_of_an_unfinished_job_tells_that_nothing_runs(sandbox: Sandbox, admin_client) -> None:
    """At once, once, and not on the page of a finished job, nor in the list."""
    _index, job_list, job_page = _admin_pages()
    told = str(advice.NEVER_RAN)
    assert admin_client.get(job_page).content.decode().count(told) == 1
    assert told not in admin_client.get(job_list).content.decode()
    skip_time(300)
    assert told not in admin_client.get(job_page).content.decode()
    RenderJob.objects.update(state=State.CANCELLED, due_at=None)
    assert told not in admin_client.get(job_page).content.decode()


def test_heartbeat_is_recorded_rarely(sandbox: Sandbox, django_assert_num_queries) -> None:
    """The same heartbeat is not saved again at once."""
    heartbeat._last_recorded.clear()
    record_heartbeat("ticked_at")
    with django_assert_num_queries(0):
        record_heartbeat("ticked_at")
    assert Heartbeat.objects.get().ticked_at is not None


@pytest.mark.parametrize("account", ["default", "acme"])
def test_lateness_is_told_for_each_account(sandbox: Sandbox, settings: Any, account: str) -> None:
    """An account without a free slot, or a paused one, does not hide that another's jobs are late.

    Nor does a free slot of an account make the waiting jobs of another late.
    """
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"MAX_IN_FLIGHT": 1}
    other = {"default": "acme", "acme": "default"}[account]
    create_job(State.QUEUED, account=other)
    enqueue(account=other)
    skip_time(300)
    assert health.health_report().lag == 0
    enqueue(account=account)
    skip_time(200)
    assert 190 < health.health_report().lag < 250
    pause_account(account, "HTTP 401")
    assert health.health_report().lag == 0


@pytest.mark.parametrize("state", [State.QUEUED, State.PENDING])
def test_jobs_that_a_pause_does_not_stop_may_be_late(sandbox: Sandbox, state: State) -> None:
    """If only new documents are refused, those that DocRaptor has must go on."""
    pause_account("default", "Over document limit.", creates_only=True)
    create_job(state, due_at=seconds_from_now(-300))
    assert (health.health_report().lag > 60) == (state == State.QUEUED)


def test_late_jobs_are_counted_for_each_account(sandbox: Sandbox) -> None:
    """The message counts the jobs of each account, the latest first, and names a few accounts."""
    enqueue(account="acme")
    skip_time(3 * 3600)
    for _ in range(2):
        enqueue(account="other")
    skip_time(300)
    (problem,) = health.health_problems()
    assert problem.startswith(
        "1 job of account “acme” has been due for 3 hours. "
        "2 jobs of account “other” are due, the first for 5 minutes. The engine has never run."
    )
    for number in range(9):
        enqueue(account=f"account-{number}")
    skip_time(300)
    (problem,) = health.health_problems()
    assert " Jobs of 6 more accounts are late. " in problem


def test_jobs_of_several_states_are_counted_together(sandbox: Sandbox) -> None:
    """An account's jobs are counted in whatever state they are late, without those that wait."""
    for state in (State.QUEUED, State.WORKING, State.DOWNLOADING):
        create_job(state, due_at=seconds_from_now(-300))
    create_job(State.QUEUED, due_at=seconds_from_now(300))
    (late,) = health.health_report().late
    assert (late.account, late.count) == ("default", 3)


def test_jobs_are_counted_up_to_a_limit(sandbox: Sandbox) -> None:
    """Of many jobs a limited number is counted, which the sentences say; or all, if asked for."""
    for account in ("acme", "acme", "acme", "globex"):
        enqueue(account=account)
    skip_time(300)
    few = health.health_report(max_counted=2)
    assert (few.counts["pending"], few.format_count(2), few.format_count(1)) == (2, "2+", "1")
    assert "2+ jobs of account “acme” are due" in few.problems()[0]
    assert "1 job of account “globex” has been due" in few.problems()[0]
    assert health.health_report(max_counted=None).counts["pending"] == 4


def test_late_jobs_of_many_accounts_are_not_all_counted(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All late accounts are told; beyond some, at least one job of each."""
    monkeypatch.setattr(health, "MAX_COUNTED_ACCOUNTS", 1)
    for account in ("acme", "acme", "globex"):
        enqueue(account=account)
        skip_time(100)
    late = health.health_report().late
    assert [(each.account, each.count, each.is_truncated) for each in late] == [
        ("acme", 2, False),
        ("globex", 1, True),
    ]


# Jobs that are only ever postponed


def postpone(job: RenderJob, *, seconds: float = 7200, errors: str = "HTTP 503") -> RenderJob:
    """Let a job fail for some time; its next try is in the future."""
    columns = {"failing_since": seconds_from_now(-seconds), "failures": 9, "errors": errors}
    RenderJob.objects.filter(pk=job.pk).update(due_at=seconds_from_now(200), **columns)
    return job


def test_jobs_that_are_only_postponed_are_told(sandbox: Sandbox) -> None:
    """How many there are, for how long the first has failed, and the commonest error."""
    for number in range(3):
        postpone(
            enqueue(), errors="HTTP 503: Service Unavailable\nmore", seconds=7200 * (number + 1)
        )
    postpone(enqueue(), errors="Connection refused")
    postpone(enqueue(), errors="HTTP 500", seconds=600)
    (problem,) = health.health_problems()
    assert "4 jobs have been postponed again and again, the first for 6 hours" in problem
    assert "HTTP 503: Service Unavailable." in problem
    assert "more" not in problem.partition("Unavailable.")[0]
    assert health.health_report().to_json()["postponed"]["count"] == 4


def test_outage_is_told_while_jobs_are_postponed(sandbox: Sandbox) -> None:
    """A document whose status cannot be read is told after an hour, not after days."""
    sandbox.add_fault(Fault(on="status", action="status", status_code=500))
    job = run_until_finished(enqueue(), until=lambda job: job.failures > 0)
    assert health.health_problems() == []
    RenderJob.objects.filter(pk=job.pk).update(failing_since=seconds_from_now(-4000))
    (problem,) = health.health_problems()
    assert "1 job has been postponed again and again for 67 minutes" in problem
    sandbox.clear_faults()
    run_until_finished(job)
    assert health.health_problems() == []


def test_gist_of_a_traceback_is_its_last_line(sandbox: Sandbox) -> None:
    """The commonest reason is never "Traceback (most recent call last):"."""
    frames = "\n".join(f'  File "/srv/{number}.py"' for number in range(99))
    errors = f"Traceback (most recent call last):\n{frames}\nOperationalError: no connection"
    postpone(enqueue(), errors=errors)
    (problem,) = health.health_problems()
    assert "OperationalError: no connection." in problem
    assert "Traceback" not in problem


@pytest.mark.parametrize("is_readable", [True, False])
def test_jobs_that_wait_for_proof_are_told(
    sandbox: Sandbox, settings: Any, *, is_readable: bool
) -> None:
    """Production jobs of unknown outcome: since when, why, and what a person can do."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"PROBE": False}
    sandbox.add_fault(Fault(on="create", action="reset", accept=False, times=2))
    jobs = [enqueue(test=False), enqueue(test=False)]
    lifecycle.submit()
    if not is_readable:
        sandbox.add_fault(Fault(on="logs", action="status", status_code=403))
    for hours in (0.5, 0.4):
        skip_time(hours * 3600)
        lifecycle.reconcile()
    assert health.health_problems() == []
    for _ in range(2):
        skip_time(3600)
        lifecycle.reconcile()
    (problem,) = health.health_problems()
    assert "2 jobs have waited for proof whether DocRaptor accepted them" in problem
    assert "the first for 3 hours" in problem
    assert ("certainly sent later" if is_readable else "403") in problem
    assert "fail after 3 days" in problem
    assert "cancel the job" in problem
    postpone(jobs[0], errors="HTTP 503")
    assert health.health_report().to_json()["unproven"]["count"] == 2
    RenderJob.objects.filter(pk=jobs[0].pk).update(state=State.PENDING)
    first, second = health.health_problems()
    assert "1 job has waited for 3 hours for proof" in first
    assert "1 job has been postponed" in second


def test_many_postponed_jobs_are_not_all_read(sandbox: Sandbox, monkeypatch) -> None:
    """The number that is read is bounded, and the message says so."""
    monkeypatch.setattr(health, "MAX_POSTPONED", 2)
    for _ in range(3):
        postpone(enqueue())
    assert "2+ jobs have been postponed" in health.health_problems()[0]


# Callbacks that do not arrive


def completed(count: int, *, hours: float = 0.5, **columns: Any) -> None:
    """Create completed jobs of some hours ago whose documents were polled."""
    for _ in range(count):
        job = create_job(State.COMPLETED, due_at=None)
        past = seconds_from_now(-hours * 3600)
        times = {"created_at": past, "sent_at": past, "submitted_at": past, "finished_at": past}
        RenderJob.objects.filter(pk=job.pk).update(**{**times, **columns})


CALLBACKS = {"CALLBACK_BASE_URL": "https://shop.example"}


@pytest.mark.parametrize("count", [1, 3])
def test_callbacks_that_never_arrive_are_told(sandbox: Sandbox, settings: Any, count: int) -> None:
    """If the site itself answers 301 or 400, no other message says so."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | CALLBACKS
    completed(count)
    (problem,) = health.health_problems()
    assert "Callbacks do not arrive" in problem
    for remedy in ("SECURE_SSL_REDIRECT", "ALLOWED_HOSTS", "https://shop.example/docraptor"):
        assert remedy in problem


@pytest.mark.parametrize(
    ("called_back_hours_ago", "count", "is_told"),
    [(2, 3, True), (2, 2, False), (0.1, 3, False)],
)
def test_callbacks_that_stop_are_told(
    sandbox: Sandbox, settings: Any, called_back_hours_ago: float, count: int, is_told: bool
) -> None:
    """One or two may be lost; if none has come since three documents were sent, it is told."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | CALLBACKS
    at = seconds_from_now(-called_back_hours_ago * 3600)
    Heartbeat.objects.update_or_create(pk=1, defaults={"called_back_at": at})
    completed(count)
    assert bool(health.health_problems()) == is_told


@pytest.mark.parametrize(
    "options",
    [
        {"hours": 0.001},  # it may still come
        {"hours": 30},  # yesterday's news
        {"submitted_at": None},  # a copy of another job's file
        {"callback_at": Now()},
    ],
)
def test_no_callback_is_missed(sandbox: Sandbox, settings: Any, options: dict[str, Any]) -> None:
    """A callback that has come, may come, or was never asked for, is no problem."""
    completed(1, **options)
    assert health.health_problems() == []
    settings.DOCRAPTOR = settings.DOCRAPTOR | CALLBACKS
    assert health.health_problems() == []


def test_site_that_only_polls_misses_no_callback(sandbox: Sandbox) -> None:
    """Without CALLBACK_BASE_URL, nothing is said about callbacks."""
    completed(9)
    assert health.health_problems() == []


def test_healthy_site_needs_three_queries() -> None:
    """What is not wrong is not read in detail: jobs that have just become due are on time."""
    enqueue()
    health.health_report()
    with CaptureQueriesContext(connection) as queries:
        found = health.read_report(min_lag=60)
    assert len(queries) == 3
    assert (found.counts[State.PENDING], list(found.late)) == (1, [])
    skip_time(300)
    assert [late.count for late in health.read_report(min_lag=60).late] == [1]


def test_engine_was_seen_by_its_last_tick_or_worker() -> None:
    """Either shows that the engine runs."""
    assert health.health_report().seconds_since_engine is None
    Heartbeat.objects.update(ticked_at=seconds_from_now(-300), worked_at=seconds_from_now(-50))
    assert round(health.health_report().seconds_since_engine or 0, -1) == 50


def test_each_account_has_its_own_slots(sandbox: Sandbox, settings: Any) -> None:
    """Whether jobs wait for a slot is told by the limit of their account, and all names of its key.

    An account that is no longer in the settings has the limit of all.
    """
    own = {"acme": {"MAX_IN_FLIGHT": 1}, "beta": {"MAX_IN_FLIGHT": 9}, "one": {"MAX_IN_FLIGHT": 1}}
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"ACCOUNTS": own, "MAX_IN_FLIGHT": 1}
    for name in ("acme", "beta"):
        Account.objects.create(name=name, key_hash="same")
    create_job(State.QUEUED, account="beta", due_at=seconds_from_now(60))
    for name in ("acme", "beta", "one", "gone"):
        create_job(State.PENDING, account=name, due_at=seconds_from_now(-300))
    create_job(State.QUEUED, account="gone", due_at=seconds_from_now(60))
    late = {each.account for each in health.health_report().late}
    assert late == {"beta", "one"}  # acme waits for the slot that beta has


@pytest.mark.parametrize(("account", "count"), [("acme", 1), ("default", 0)])
def test_callbacks_are_missed_where_they_were_asked_for(
    sandbox: Sandbox, settings: Any, account: str, count: int
) -> None:
    """Documents of an account without CALLBACK_BASE_URL miss none."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"ACCOUNTS": {"acme": CALLBACKS}}
    completed(1, account=account)
    assert health.health_report().missed_callbacks == count
