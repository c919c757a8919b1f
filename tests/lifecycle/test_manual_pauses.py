"""A person pauses an account: its jobs wait until the time is over, or until it is resumed."""

from datetime import timedelta
from io import BytesIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError

from django_docraptor import (
    AccountPausedError,
    health,
    lifecycle,
    pause_account,
    render_now,
    resume_account,
)
from django_docraptor.lifecycle.accounts import pause_refused
from django_docraptor.models import ANY_KEY, NO_KEY, Pause, RenderJob
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.states import State
from tests.support.jobs import (
    current_state,
    enqueue,
    paused_accounts,
    run_until_finished,
    skip_time,
)

pytestmark = pytest.mark.django_db(transaction=True)


def test_jobs_of_a_paused_account_wait(sandbox: Sandbox, documents_dir: Any) -> None:
    """No call is made for an account that a person has paused; when it is resumed, all go on."""
    waiting, other = enqueue(), enqueue(account="other")
    assert pause_account("default", reason="wrong totals")
    assert lifecycle.submit() == 1
    assert (current_state(waiting), current_state(other)) == (State.PENDING, State.QUEUED)
    assert "wrong totals" in RenderJob.objects.get(pk=waiting.pk).errors
    assert resume_account("default").was_restricted
    run_until_finished(waiting)
    assert current_state(waiting) == State.COMPLETED


@pytest.mark.parametrize("creates_only", [True, False])
def test_accepted_documents_go_on_if_only_creates_are_paused(
    sandbox: Sandbox, documents_dir: Any, creates_only: bool
) -> None:
    """With ``creates_only`` an accepted document is downloaded; otherwise it waits, too."""
    job = enqueue()
    lifecycle.submit()
    pause_account("default", creates_only=creates_only)
    for _ in range(3):
        skip_time(60)
        lifecycle.run_once()
    assert (current_state(job) == State.COMPLETED) == creates_only


@pytest.mark.fault("S30")
def test_success_of_a_call_does_not_end_it(sandbox: Sandbox) -> None:
    """A call that was under way, with any key, ends neither the pause nor the telling of it."""
    pause_account("default")
    for key_hash in ("some key", ANY_KEY, NO_KEY):
        Pause.end_after_success(["default"], key_hash)
    assert Pause.objects.told().filter(account="default").exists()


def test_pause_of_the_engine_does_not_replace_it(sandbox: Sandbox) -> None:
    """A refusal of DocRaptor has a pause of its own, which ends earlier than the person's."""
    pause_account("default", reason="wrong totals")
    pause_refused("default", "Over document limit.")
    skip_time(3600)
    assert paused_accounts() == ["default"]
    assert [pause.reason for pause in Pause.objects.active()] == ["wrong totals"]


def test_pause_ends_at_its_time(sandbox: Sandbox) -> None:
    """After its duration the account goes on by itself."""
    job = enqueue()
    pause_account("default", duration=timedelta(hours=2))
    skip_time(7000)
    assert lifecycle.submit() == 0
    skip_time(300)
    assert lifecycle.submit() == 1
    assert current_state(job) == State.QUEUED


@pytest.mark.fault("S30")
def test_time_of_failures_does_not_run(sandbox: Sandbox, documents_dir: Any) -> None:
    """A job that was failing before a pause of days does not fail because of the time."""
    sandbox.add_fault(Fault(on="status", action="status", status_code=503, times=1))
    job = enqueue()
    lifecycle.submit()
    skip_time(60)
    lifecycle.poll()
    assert RenderJob.objects.get(pk=job.pk).failing_since is not None
    pause_account("default")
    skip_time(300_000)
    assert RenderJob.objects.get(pk=job.pk).failing_since is None
    resume_account("default")
    run_until_finished(job)
    assert current_state(job) == State.COMPLETED


def test_synchronous_call_says_how_to_go_on(sandbox: Sandbox) -> None:
    """Without an end, the error names none, and says what ends the pause."""
    pause_account("default", reason="wrong totals")
    with pytest.raises(AccountPausedError, match="until it is resumed: wrong totals") as caught:
        render_now(BytesIO(), name="a.pdf", content="<p>a</p>", test=True)
    assert (caught.value.paused_until, caught.value.retry_after) == (None, None)


def test_health_tells_who_and_why(sandbox: Sandbox) -> None:
    """The problem names the person, the reason and what ends the pause; not a wrong key."""
    pause_account("default", reason="wrong totals", by=User(username="anna"))
    (problem,) = health.health_problems()
    assert problem.startswith("Account “default” is paused until it is resumed: wrong totals (by a")
    assert "docraptor_resume" in problem
    assert "key" not in problem


def test_second_pause_replaces_the_first() -> None:
    """The last person's reason and duration are valid; the pause is not a new one."""
    assert pause_account("acme", reason="first")
    assert not pause_account("acme", duration=timedelta(minutes=5), reason="second")
    pause = Pause.objects.get()
    assert pause.reason == "second"
    assert pause.ends_at is not None


def test_resuming_schedules_the_jobs_that_waited(sandbox: Sandbox) -> None:
    """While an account is paused without an end, its due jobs do not make workers check busily."""
    enqueue()
    pause_account("default")
    schedule = lifecycle.read_schedule()
    assert schedule.pause_ends_at is not None
    assert resume_account("default").due == 1


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"account": ""}, "account"),
        ({"account": "a" * 65}, "account"),
        ({"duration": timedelta(0)}, "duration"),
        ({"duration": timedelta(days=40_000)}, "duration"),
        ({"reason": "x" * 501}, "reason"),
    ],
)
def test_invalid_pause_is_refused(values: dict[str, Any], field: str) -> None:
    """The error names the field, and nothing is changed."""
    with pytest.raises(ValidationError) as caught:
        pause_account(**{"account": "acme", **values})
    assert list(caught.value.message_dict) == [field]
    assert not Pause.objects.exists()
