"""Fixtures of the admin's tests."""

from typing import Any

import pytest
from django.test import Client

from tests.apps.shop.models import Invoice
from tests.support.admin_documents import CHANGE, ORDER, VIEW_JOBS
from tests.support.admin_jobs import CANCEL, RETRY, VIEW, client_with


@pytest.fixture(autouse=True)
def _quiet(settings: Any) -> None:
    """No broker."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RUNNER": "none"}


@pytest.fixture
def client() -> Client:
    """A browser with all that there is to do about jobs."""
    return client_with(VIEW, RETRY, CANCEL)


@pytest.fixture
def clerk() -> Client:
    """The browser of a clerk, who may enqueue documents and follow their jobs."""
    return client_with(CHANGE, ORDER, VIEW_JOBS)


@pytest.fixture
def invoice() -> Invoice:
    """An invoice."""
    return Invoice.objects.create(number="2026-1")
