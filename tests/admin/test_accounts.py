"""Accounts in the admin: their list, and the warning above the jobs."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from django_docraptor.models import Account
from tests.support.admin_jobs import LIST, get_text, staff_client
from tests.support.jobs import pause_account

pytestmark = pytest.mark.django_db


def test_list_warns_of_restricted_accounts(client: Client) -> None:
    """The list of jobs names each restricted account with its end and its reason."""
    pause_account("acme", "the key is not valid")
    Account.objects.create(
        name="flaky", circuit_open_until=timezone.now() + timedelta(60), pause_reason="503"
    )
    pause_account("over", "it was", seconds=-60)
    text = get_text(client, LIST)
    assert "Account “acme” is paused until" in text
    assert "the key is not valid" in text
    assert "no new documents are submitted for account “flaky”" in text
    assert "over" not in {each.account for each in client.get(LIST).context["restrictions"]}


def test_accounts_are_listed() -> None:
    """Users who may view accounts see them with their reasons."""
    pause_account("acme", "the key is not valid")
    text = get_text(staff_client("view_account"), "/admin/django_docraptor/account/")
    assert "the key is not valid" in text
