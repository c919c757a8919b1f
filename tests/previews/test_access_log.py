"""What the log of ``runserver`` leaves out."""

import logging

import pytest

from django_docraptor.previews.access_log import WithoutPolls, hide_polls


@pytest.mark.parametrize(
    ("line", "status", "is_logged"),
    [
        ("GET /docraptor/previews/shop.InvoicePDF/state/?source=1 HTTP/1.1", "304", False),
        ("GET /previews/shop.InvoicePDF/state/ HTTP/1.1", "304", False),
        ("GET /docraptor/previews/shop.InvoicePDF/state/ HTTP/1.1", "200", True),
        ("GET /docraptor/previews/shop.InvoicePDF/ HTTP/1.1", "304", True),
        ("GET /shop/?next=/previews/a/state/ HTTP/1.1", "304", True),
    ],
)
def test_only_polls_without_a_change_are_left_out(line: str, status: str, is_logged: bool) -> None:
    """All other requests are logged."""
    record = logging.LogRecord(
        "django.server", logging.INFO, "", 0, '"%s" %s %s', (line, status, "0"), None
    )
    assert bool(WithoutPolls().filter(record)) == is_logged


def test_other_records_are_logged() -> None:
    """A message without a request is logged."""
    record = logging.LogRecord("django.server", logging.INFO, "", 0, "Quit", (), None)
    assert WithoutPolls().filter(record)


def test_filter_is_installed_once() -> None:
    """A second call adds nothing."""
    hide_polls()
    hide_polls()
    filters = logging.getLogger("django.server").filters
    assert len([each for each in filters if isinstance(each, WithoutPolls)]) == 1
