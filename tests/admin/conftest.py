"""Users of the admin with their browsers, and an invoice."""

from typing import Any

import pytest
from django.test import Client

from tests.apps.shop.models import Invoice
from tests.support.admin_documents import CHANGE, ORDER, VIEW_JOBS
from tests.support.admin_jobs import CANCEL, RETRY, VIEW, staff_client


@pytest.fixture(autouse=True)
def _no_runner(settings: Any) -> None:
    """No worker is notified."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RUNNER": "none"}


@pytest.fixture
def client() -> Client:
    """The browser of a staff user who may view, retry and cancel jobs."""
    return staff_client(VIEW, RETRY, CANCEL)


@pytest.fixture
def clerk() -> Client:
    """The browser of a clerk, who may generate documents and view their jobs."""
    return staff_client(CHANGE, ORDER, VIEW_JOBS)


@pytest.fixture
def invoice() -> Invoice:
    """An invoice."""
    return Invoice.objects.create(number="2026-1")
