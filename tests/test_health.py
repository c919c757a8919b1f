"""The health report and its problems, and the banner in the admin."""

from typing import Any

import pytest
from django.urls import reverse

from django_docraptor import health, lifecycle
from django_docraptor.models import Account, Heartbeat, seconds_from_now
from django_docraptor.sandbox import Sandbox
from django_docraptor.states import State
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
    assert "the engine has never run" in problem


def test_problem_distinguishes_missing_ticks_from_busy_workers(sandbox: Sandbox) -> None:
    """The message says whether ticks stopped or workers are too slow."""
    enqueue()
    skip_time(300)
    Heartbeat.objects.update_or_create(pk=1, defaults={"ticked_at": "2020-01-01T00:00Z"})
    assert "there has been no tick for" in health.health_problems()[0]
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
    assert any("default is paused until" in text and "Unauthorized" in text for text in problems)
    assert any(
        "other submits no new documents until" in text and "HTTP 503" in text for text in problems
    )


def test_admin_shows_the_problem_in_a_banner(sandbox: Sandbox, admin_client) -> None:
    """The list of jobs shows the same message in a banner, and none if there is no problem."""
    url = reverse("admin:django_docraptor_renderjob_changelist")
    enqueue()
    assert "the engine has never run" not in admin_client.get(url).content.decode()
    skip_time(300)
    assert "the engine has never run" in admin_client.get(url).content.decode()


def test_heartbeat_is_recorded_rarely(sandbox: Sandbox, django_assert_num_queries) -> None:
    """The same heartbeat is not saved again at once."""
    health._last_recorded.clear()
    health.record_heartbeat("ticked_at")
    with django_assert_num_queries(0):
        health.record_heartbeat("ticked_at")
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
