"""A pause holds for one account; one transaction at a time is admitted."""

import pytest
from django.db import transaction

from django_docraptor.models import Account, RenderJob
from tests.support.jobs import skip_time
from tests.support.threads import at_once

pytestmark = pytest.mark.django_db


def test_account_pause_and_resume() -> None:
    """A pause holds until its end or until a call has succeeded, for that account alone."""
    Account.pause("one", 600, "HTTP 401")
    assert list(Account.paused_until_by_name()) == ["one"]
    assert Account.objects.get(pk="one").pause_reason == "HTTP 401"
    Account.resume("two")
    assert list(Account.paused_until_by_name()) == ["one"]
    Account.resume("one")
    assert Account.paused_until_by_name() == {}
    assert Account.objects.get(pk="one").pause_reason == ""


def test_account_pause_ends() -> None:
    """A pause ends by itself."""
    Account.pause("one", 600, "HTTP 401")
    skip_time(601)
    assert Account.paused_until_by_name() == {}


def test_account_pause_again() -> None:
    """A later pause takes the place of an earlier one."""
    Account.pause("one", 10, "first")
    Account.pause("one", 600, "second")
    skip_time(60)
    assert list(Account.paused_until_by_name()) == ["one"]
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
