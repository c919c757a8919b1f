"""Accounts: pauses, and the lock that admits one transaction at a time."""

import pytest
from django.db import transaction

from django_docraptor.models import Account, RenderJob
from tests.support.jobs import skip_time
from tests.support.threads import run_in_threads

pytestmark = pytest.mark.django_db


def test_pause_lasts_until_resume_for_one_account() -> None:
    """A pause lasts until a call succeeds, and for its own account only."""
    Account.pause("one", 600, "HTTP 401")
    assert list(Account.paused_until_by_name()) == ["one"]
    assert Account.objects.get(pk="one").pause_reason == "HTTP 401"
    Account.resume("two")
    assert list(Account.paused_until_by_name()) == ["one"]
    Account.resume("one")
    assert Account.paused_until_by_name() == {}
    assert Account.objects.get(pk="one").pause_reason == ""


def test_pause_ends_at_its_time() -> None:
    """A pause ends at its time."""
    Account.pause("one", 600, "HTTP 401")
    skip_time(601)
    assert Account.paused_until_by_name() == {}


def test_later_pause_replaces_an_earlier_one() -> None:
    """A second pause replaces the first one's end and reason."""
    Account.pause("one", 10, "first")
    Account.pause("one", 600, "second")
    skip_time(60)
    assert list(Account.paused_until_by_name()) == ["one"]
    assert Account.objects.get().pause_reason == "second"


@pytest.mark.django_db(transaction=True)
def test_lock_admits_one_transaction_at_a_time() -> None:
    """The lock excludes other transactions until the commit, even for an account without a row."""
    inside: list[int] = []
    most: list[int] = []

    def enter() -> None:
        with transaction.atomic():
            Account.lock("new")
            inside.append(1)
            most.append(len(inside))
            RenderJob.objects.count()
            inside.pop()

    run_in_threads(4, enter)
    assert max(most) == 1
    assert Account.objects.count() == 1
