"""Labels have few values, whatever names people choose."""

from typing import Any

import pytest

from django_docraptor.metrics import labels
from tests.apps.shop.documents import InvoicePDF


@pytest.fixture(autouse=True)
def _no_accounts_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "_seen", set())


def test_document_label_is_one_of_the_registry() -> None:
    """A registered class has its label; a job without one, or of a removed class, has "other"."""
    assert labels.document_label(InvoicePDF.label) == InvoicePDF.label
    assert labels.document_label("gone.Document") == "other"
    assert labels.document_label("") == "other"


def test_configured_accounts_have_labels(settings: Any) -> None:
    """Accounts that the settings name have their names, and so has the default one."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"ACCOUNTS": {"acme": {}}}
    assert labels.account_label("acme") == "acme"
    assert labels.account_label("default") == "default"
    assert labels.account_label("tenant-17") == "other"


def test_labels_of_many_configured_accounts_are_few(settings: Any) -> None:
    """However many accounts the settings name, only the first ones have labels."""
    names = [f"tenant-{number}" for number in range(10_000)]
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"ACCOUNTS": {name: {} for name in names}}
    found = {labels.account_label(name) for name in reversed(names)}
    assert found == {*names[: labels.MAX_ACCOUNTS], "other"}


def test_accounts_that_no_setting_names_are_few() -> None:
    """Of accounts that only a callable knows, a limited number has labels."""
    names = {labels.account_label(f"tenant-{number}") for number in range(1000)}
    assert len(names) == labels.MAX_ACCOUNTS + 1
    assert "other" in names
    assert labels.account_label("tenant-0") == "tenant-0"


def test_outcome_of_a_success() -> None:
    """A call without an error is ok."""
    assert labels.outcome_label("") == "ok"
    assert labels.outcome_label("timeout") == "timeout"
