"""What the admin enqueues after a confirmation: bounds and permissions."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError

from django_docraptor.admin import enqueue
from django_docraptor.models import RenderJob
from tests.apps.shop.admin import Reminder
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice
from tests.support.admin_documents import create_invoices

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.apps.shop.urls")]


def test_objects_without_permission_are_skipped(rf: Any) -> None:
    """A permission by object also counts for a selection."""
    mine, _theirs = create_invoices(2)
    confirmed = enqueue.ConfirmedRequest(
        document=InvoicePDF, owner=User.objects.create_user("clerk")
    )
    count, _job = confirmed.enqueue(Invoice.objects.all(), lambda source: source == mine)
    assert count == 1
    assert [job.source for job in RenderJob.objects.all()] == [mine]


def test_more_than_confirmed_is_never_enqueued() -> None:
    """Rows that appear between the confirmation and the enqueueing cancel the whole request."""
    create_invoices(3)
    owner = User.objects.create_user("clerk")
    confirmed = enqueue.ConfirmedRequest(document=Reminder, owner=owner, max_documents=2)
    with pytest.raises(ValidationError, match="More objects are selected now than you confirmed"):
        confirmed.enqueue(Invoice.objects.all(), lambda source: True)
    assert not RenderJob.objects.exists()


LIVE = {"TEST_MODE": False}


@pytest.mark.parametrize(
    ("accounts", "is_billed"),
    [
        (None, False),
        ({"north": {"TEST_MODE": False}}, False),
        ({"default": {"TEST_MODE": False}}, True),
    ],
)
def test_account_decides_what_is_billed(settings: Any, accounts: Any, is_billed: bool) -> None:
    """A document is billed if its account makes no test documents."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"ACCOUNTS": accounts}
    assert enqueue.is_billed(InvoicePDF) is is_billed


def test_few_accounts_of_a_provider_are_asked_for(settings: Any, monkeypatch: Any) -> None:
    """A page does not read the settings of ten thousand tenants; a person is asked instead."""
    asked = []

    class Tenants:
        def __init__(self, count: int) -> None:
            self.count = count

        def names(self) -> list[str]:
            return [f"tenant {number}" for number in range(self.count)]

        def get(self, name: str) -> dict[str, Any]:
            asked.append(name)
            return {"TEST_MODE": True}

    monkeypatch.setattr(InvoicePDF, "get_account", lambda self: "tenant 1")
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"ACCOUNTS": Tenants(10_000)}
    assert enqueue.is_billed(InvoicePDF)
    assert asked == []
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"ACCOUNTS": Tenants(10)}
    assert not enqueue.is_billed(InvoicePDF)
    assert len(asked) == 11  # and "default"


def test_document_of_any_account_may_be_billed(settings: Any, monkeypatch: Any) -> None:
    """If the account follows from the object, a person is asked as soon as one account pays."""
    monkeypatch.setattr(InvoicePDF, "get_account", lambda self: "north")
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"ACCOUNTS": {"north": {"TEST_MODE": False}}}
    assert enqueue.is_billed(InvoicePDF)
    create_invoices(1)
    confirmed = enqueue.ConfirmedRequest(document=InvoicePDF, owner=User.objects.create_user("c"))
    confirmed.enqueue(Invoice.objects.all(), lambda source: True)
    assert RenderJob.objects.get().account == "north"
