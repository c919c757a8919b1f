"""How long a document usually takes: which jobs count, and what a broken cache does."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.core.cache.backends.locmem import LocMemCache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_docraptor import estimates
from django_docraptor.estimates import Estimate, estimate_of, seconds_within
from django_docraptor.models import RenderJob
from django_docraptor.states import State

pytestmark = pytest.mark.django_db
LABEL = "shop.InvoicePDF"


@pytest.fixture(autouse=True)
def _empty_cache() -> Iterator[None]:
    """A cache that remembers nothing of other tests."""
    cache.clear()
    yield
    cache.clear()


def create_history(*durations: float, **columns: Any) -> None:
    """Create finished jobs that took so many seconds, the first one latest."""
    now = timezone.now()
    for number, duration in enumerate(durations):
        finished_at = now - timedelta(hours=number)
        values = {"document": LABEL, "state": State.COMPLETED, "attempt": 1, **columns}
        job = RenderJob.objects.create(
            name="a.pdf", document_type="pdf", finished_at=finished_at, **values
        )
        created_at = finished_at - timedelta(seconds=duration)
        RenderJob.objects.filter(pk=job.pk).update(created_at=created_at)


def test_estimate_is_the_median_and_the_95th_percentile() -> None:
    """Half of the documents take no longer than the first number, 95 % than the second."""
    create_history(*range(1, 21))
    assert estimate_of(LABEL) == Estimate(usual=10, longest=19)


def test_no_estimate_with_a_short_history() -> None:
    """Four documents say nothing; five do."""
    create_history(3, 3, 3, 3)
    assert estimate_of(LABEL) is None
    cache.clear()
    create_history(3)
    assert estimate_of(LABEL) == Estimate(usual=3, longest=3)


@pytest.mark.parametrize(
    "columns",
    [
        {"document": "shop.Other"},
        {"state": State.FAILED},
        {"state": State.CANCELLED},
        {"attempt": 0},
        {"attempt": 2},
    ],
    ids=str,
)
def test_what_does_not_count(columns: dict[str, Any]) -> None:
    """Other classes, failures, copies, and jobs that needed another attempt."""
    create_history(*[3] * 5)
    create_history(*[3000] * 20, **columns)
    assert estimate_of(LABEL) == Estimate(usual=3, longest=3)


def test_no_estimate_without_a_class() -> None:
    """Documents without a class have nothing in common; the history is not even read."""
    create_history(*[3] * 5, document="")
    with CaptureQueriesContext(connection) as queries:
        assert estimate_of("") is None
    assert len(queries) == 0


def test_only_the_latest_documents_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was usual long ago is not usual now."""
    monkeypatch.setattr(estimates, "MAX_DOCUMENTS", 6)
    create_history(*[2] * 6, *[500] * 20)
    assert estimate_of(LABEL) == Estimate(usual=2, longest=2)


def test_estimate_is_remembered_for_a_while(django_assert_num_queries: Any) -> None:
    """The history is read once, also if it says nothing."""
    with django_assert_num_queries(1):
        assert [estimate_of(LABEL), estimate_of(LABEL)] == [None, None]
    create_history(*[2] * 5)
    assert estimate_of(LABEL) is None
    cache.clear()
    with django_assert_num_queries(1):
        assert [estimate_of(LABEL)] * 2 == [estimate_of(LABEL)] * 2 == [Estimate(2, 2)] * 2


class BrokenCache(LocMemCache):
    """A cache whose server is down."""

    def get(self, *args: Any, **kwargs: Any) -> Any:
        """Fail as a client of Redis does."""
        raise ConnectionError("refused")

    set = get


def test_broken_cache_is_tolerated(settings: Any) -> None:
    """The estimate comes from the database."""
    settings.CACHES = {"default": {"BACKEND": f"{__name__}.BrokenCache"}}
    create_history(*[2] * 5)
    assert estimate_of(LABEL) == Estimate(usual=2, longest=2)


@pytest.mark.parametrize("value", ["text", 7, (1, 2, 3)])
def test_foreign_value_in_the_cache_is_ignored(value: object, monkeypatch: Any) -> None:
    """Another version's value does not break the page."""
    create_history(*[2] * 5)
    monkeypatch.setattr(cache, "get", lambda key: value)
    assert estimate_of(LABEL) == Estimate(usual=2, longest=2)


def test_percentile_is_at_least_a_second() -> None:
    """No reader is told that a document takes no time."""
    assert seconds_within([0.0, 0.2], 50) == 1
    assert seconds_within([1.2, 5.0, 9.1], 50) == 5
    assert seconds_within([1.2, 5.0, 9.1], 95) == 10
