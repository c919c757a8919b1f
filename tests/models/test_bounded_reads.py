"""Several ranges of jobs, read by one statement."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import Q
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_docraptor.models import RenderJob
from django_docraptor.models.bounded_reads import FIRST, TIMES, JobRange, PreparedRanges, read_keys
from django_docraptor.states import State
from tests.support.admin_jobs import create_admin_job
from tests.support.databases import connection_time_zone

pytestmark = [pytest.mark.django_db, pytest.mark.databases]


def newest(**conditions: Any) -> Any:
    """Return jobs, the newest first."""
    return RenderJob.objects.filter(**conditions).order_by("-created_at")


def test_ranges_are_counted_up_to_their_limits() -> None:
    """Each range has its own limit and its own condition."""
    for number in range(3):
        create_admin_job(State.QUEUED, {"test": number == 0})
    create_admin_job(State.FAILED)
    with CaptureQueriesContext(connection) as queries:
        found = PreparedRanges(
            {
                "first": JobRange(newest(), 1, reads=FIRST),
                "all": JobRange(newest(), 10, marked=Q(test=True)),
                "two": JobRange(newest(state=State.QUEUED), 2),
                "none": JobRange(newest(state=State.WORKING), 2),
            }
        ).fetch()
    assert len(queries) == 1
    assert [(each.count, each.marked, each.is_truncated) for each in found.values()] == [
        (1, 0, True),
        (4, 1, False),
        (2, 0, True),
        (0, 0, False),
    ]


@pytest.mark.parametrize("zone", [None, "Asia/Kolkata"])
def test_times_are_aware(zone: str | None) -> None:
    """The first time and the durations are right, whatever zone the connection stores times in."""
    with connection_time_zone(zone):
        job = create_admin_job(State.COMPLETED)
        created_at = timezone.now() - timedelta(hours=5)
        finished_at = created_at + timedelta(seconds=7)
        RenderJob.objects.filter(pk=job.pk).update(created_at=created_at, finished_at=finished_at)
        jobs = newest(state=State.COMPLETED)
        found = PreparedRanges(
            {1: JobRange(jobs, 5, reads=FIRST), 2: JobRange(jobs, 5, reads=TIMES)}
        ).fetch()
        assert found[1].first_created_at == created_at
        assert found[1].durations == {}
        assert found[2].durations == {50: timedelta(seconds=7), 95: timedelta(seconds=7)}
        assert found[2].count == 1


def test_nothing_is_read_without_ranges() -> None:
    """Without ranges there is no statement, which would be invalid."""
    with CaptureQueriesContext(connection) as queries:
        assert read_keys([], 10) == []
    assert len(queries) == 0


def test_keys_of_all_ranges_are_read_once() -> None:
    """A job that is in two ranges is found once, and each range ends at the limit."""
    jobs = [create_admin_job(State.QUEUED) for _ in range(3)]
    failed = create_admin_job(State.FAILED)
    ranges = [newest(state=State.FAILED), newest(), newest(state=State.QUEUED)]
    assert read_keys(ranges, 1)[0] == failed.pk
    assert len(read_keys(ranges, 1)) == 2
    assert set(read_keys(ranges, 10)) == {failed.pk, *(job.pk for job in jobs)}
