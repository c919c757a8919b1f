"""The next wake-up of all workers, and the times at which they were last active."""

import pytest

from django_docraptor.models import Heartbeat, seconds_from_now
from tests.support.threads import run_in_threads

pytestmark = [pytest.mark.django_db, pytest.mark.databases]


def set_wakeup_in(seconds: float) -> None:
    """Set the next wake-up to so many seconds from now."""
    Heartbeat.objects.update_or_create(
        pk=Heartbeat.KEY, defaults={"wakeup_at": seconds_from_now(seconds)}
    )


def test_first_wakeup_is_claimed() -> None:
    """If no wake-up was ever scheduled, one is."""
    assert Heartbeat.claim_wakeup(30)
    assert Heartbeat.objects.get().wakeup_at is not None


def test_later_wakeup_is_not_scheduled() -> None:
    """A wake-up for the same time or later is not scheduled again."""
    assert Heartbeat.claim_wakeup(30)
    assert not Heartbeat.claim_wakeup(30)
    assert not Heartbeat.claim_wakeup(60)


def test_earlier_wakeup_replaces_a_later_one() -> None:
    """An earlier wake-up is scheduled and counts from then on."""
    assert Heartbeat.claim_wakeup(60)
    assert Heartbeat.claim_wakeup(5)
    assert not Heartbeat.claim_wakeup(30)


@pytest.mark.parametrize("seconds", [-60, 0, 0.05])
def test_past_wakeup_is_replaced(seconds: float) -> None:
    """A wake-up that has passed, or is about to, does not prevent another one."""
    set_wakeup_in(seconds)
    assert Heartbeat.claim_wakeup(30)


@pytest.mark.django_db(transaction=True)
def test_parallel_claims_schedule_one_wakeup() -> None:
    """Of four parallel claims, one schedules the wake-up."""
    set_wakeup_in(-60)
    assert sorted(run_in_threads(4, lambda: Heartbeat.claim_wakeup(30))) == [
        False,
        False,
        False,
        True,
    ]


@pytest.mark.django_db(transaction=True)
def test_parallel_first_claims_schedule_one_wakeup() -> None:
    """Of four parallel claims without a row, one schedules the wake-up."""
    assert sorted(run_in_threads(4, lambda: Heartbeat.claim_wakeup(30))) == [
        False,
        False,
        False,
        True,
    ]


def test_heartbeat_keeps_the_wakeup() -> None:
    """Recording a heartbeat does not change the next wake-up."""
    Heartbeat.claim_wakeup(30)
    before = Heartbeat.objects.get()
    Heartbeat.record("ticked_at")
    heartbeat = Heartbeat.objects.get()
    assert heartbeat.wakeup_at == before.wakeup_at
    assert before.ticked_at is None
    assert heartbeat.ticked_at is not None
