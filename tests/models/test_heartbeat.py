"""One alarm for all, and a note of who was seen."""

import pytest

from django_docraptor.models import Heartbeat, seconds_from_now
from tests.support.threads import at_once

pytestmark = pytest.mark.django_db


def wake_in(seconds: float) -> None:
    """Let the next wake-up be so many seconds from now."""
    Heartbeat.objects.update_or_create(
        pk=Heartbeat.KEY, defaults={"wakeup_at": seconds_from_now(seconds)}
    )


def test_arm_first() -> None:
    """Where no wake-up was ever set, one is."""
    assert Heartbeat.claim_wakeup(30)
    assert Heartbeat.objects.get().wakeup_at is not None


def test_arm_one_alarm() -> None:
    """A second alarm for the same time, or a later one, is not set."""
    assert Heartbeat.claim_wakeup(30)
    assert not Heartbeat.claim_wakeup(30)
    assert not Heartbeat.claim_wakeup(60)


def test_arm_earlier_replaces_later() -> None:
    """An earlier need sets an earlier alarm, which then counts."""
    assert Heartbeat.claim_wakeup(60)
    assert Heartbeat.claim_wakeup(5)
    assert not Heartbeat.claim_wakeup(30)


@pytest.mark.parametrize("seconds", [-60, 0, 0.05])
def test_arm_past_is_replaced(seconds: float) -> None:
    """An alarm that has gone off, or is going off now, keeps nobody from setting one."""
    wake_in(seconds)
    assert Heartbeat.claim_wakeup(30)


@pytest.mark.django_db(transaction=True)
def test_arm_race() -> None:
    """Of four that ask at once, one sets the alarm."""
    wake_in(-60)
    assert sorted(at_once(4, lambda: Heartbeat.claim_wakeup(30))) == [False, False, False, True]


@pytest.mark.django_db(transaction=True)
def test_arm_race_without_a_row() -> None:
    """So it is for the very first alarm."""
    assert sorted(at_once(4, lambda: Heartbeat.claim_wakeup(30))) == [False, False, False, True]


def test_note_leaves_the_alarm() -> None:
    """Being seen changes no alarm."""
    Heartbeat.claim_wakeup(30)
    before = Heartbeat.objects.get()
    Heartbeat.record("ticked_at")
    pulse = Heartbeat.objects.get()
    assert pulse.wakeup_at == before.wakeup_at
    assert before.ticked_at is None
    assert pulse.ticked_at is not None
