"""The accounts that have due jobs."""

from collections.abc import Callable
from datetime import datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_docraptor.models import RenderJob, due_accounts, seconds_from_now
from django_docraptor.models.due_accounts import first_due_by_account
from django_docraptor.states import HELD_UNTIL, State

pytestmark = [pytest.mark.django_db, pytest.mark.databases]


def create_jobs(account: str, *ages: float, state: str = State.PENDING) -> None:
    """Create jobs of an account that have been due for so many seconds; negative: not yet due."""
    RenderJob.objects.bulk_create(
        RenderJob(
            name="due.pdf",
            document_type="pdf",
            account=account,
            state=state,
            due_at=seconds_from_now(-age),
        )
        for age in ages
    )


def by_single_look_ups(state: str) -> dict[str, datetime]:
    """Return the same as MariaDB and MySQL do."""
    return due_accounts._look_up_each(state)


WAYS = pytest.mark.parametrize("find", [first_due_by_account, by_single_look_ups])
FindAccounts = Callable[[str], dict[str, datetime]]


@WAYS
def test_accounts_with_due_jobs_the_longest_first(find: FindAccounts) -> None:
    """Each account with a due job is found once, with the time of its first."""
    create_jobs("acme", 5, 60)
    create_jobs("Zebra", 90, 1)
    create_jobs("globex", 10)
    found = find(State.PENDING)
    assert list(found) == ["Zebra", "acme", "globex"]
    first = RenderJob.objects.filter(account="acme").earliest("due_at")
    assert found["acme"] == first.due_at


@WAYS
def test_what_is_not_due_is_not_found(find: FindAccounts) -> None:
    """Neither postponed nor held jobs count, nor those in another state; those behind them do."""
    create_jobs("acme", -60)
    create_jobs("beta", 60, state=State.QUEUED)
    create_jobs("delta", 60)
    RenderJob.objects.filter(account="delta").update(due_at=HELD_UNTIL)
    create_jobs("gamma", 60)
    create_jobs("omega", -60)
    assert list(find(State.PENDING)) == ["gamma"]
    assert list(find(State.DOWNLOADING)) == []


def test_accounts_are_found_by_few_statements() -> None:
    """One statement finds all accounts, and the only account on every database."""
    create_jobs("acme", 1, 2, 3)
    with CaptureQueriesContext(connection) as of_one:
        assert len(first_due_by_account(State.PENDING)) == 1
        assert len(by_single_look_ups(State.PENDING)) == 1
    assert len(of_one) == 2
    for number in range(12):
        create_jobs(f"account-{number}", 1)
    with CaptureQueriesContext(connection) as of_many:
        assert len(first_due_by_account(State.PENDING)) == 13
    assert len(of_many) == (13 if connection.vendor == "mysql" else 1)


def test_very_many_accounts_are_grouped(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a number of look-ups, the other accounts are found by one statement."""
    monkeypatch.setattr(due_accounts, "MAX_LOOK_UPS", 2)
    for number in range(9):
        create_jobs(f"account-{number}", 10 + number)
    create_jobs("account-99", -60)
    with CaptureQueriesContext(connection) as queries:
        found = by_single_look_ups(State.PENDING)
    assert list(found) == [f"account-{number}" for number in reversed(range(9))]
    assert len(queries) == 3
