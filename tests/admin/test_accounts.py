"""Accounts in the admin: their list, and the warning above the jobs."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from django_docraptor.models import Account
from tests.support.admin_jobs import LIST, client_with, text_of

pytestmark = pytest.mark.django_db


def test_restricted_accounts_are_announced(client: Client) -> None:
    """The list says which account waits, until when and why; not once it is over."""
    Account.pause("acme", 600, "the key is not valid")
    Account.objects.create(
        name="flaky", circuit_open_until=timezone.now() + timedelta(60), pause_reason="503"
    )
    Account.objects.create(name="over", paused_until=timezone.now() - timedelta(60))
    text = text_of(client, LIST)
    assert "Account “acme” is paused until" in text
    assert "the key is not valid" in text
    assert "no new documents are submitted for account “flaky”" in text
    assert "over" not in {row.name for row in client.get(LIST).context["restricted_accounts"]}


def test_account_list() -> None:
    """Accounts are listed, to be read."""
    Account.pause("acme", 600, "the key is not valid")
    text = text_of(client_with("view_account"), "/admin/django_docraptor/account/")
    assert "the key is not valid" in text
