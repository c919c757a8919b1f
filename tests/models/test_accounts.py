"""Accounts: the lock that admits one transaction at a time."""

import pytest
from django.db import transaction

from django_docraptor.models import Account, RenderJob
from tests.support.threads import run_in_threads

pytestmark = [pytest.mark.django_db, pytest.mark.databases]


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
