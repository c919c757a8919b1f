"""The database's clock, on a session in local time and on a connection with a time zone."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from django.db.models import F

from django_docraptor.lifecycle import read_schedule
from django_docraptor.models import Heartbeat, RenderEvent, RenderJob, seconds_from_now
from django_docraptor.models.clock import Now
from tests.support.databases import connection_time_zone
from tests.support.jobs import enqueue

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.databases]


@pytest.fixture(params=["UTC", "Asia/Tokyo", "America/St_Johns", "Etc/GMT+12"])
def _connection_time_zone(request: pytest.FixtureRequest) -> Iterator[None]:
    """The zone in which Django stores times."""
    with connection_time_zone(None if request.param == "UTC" else request.param):
        yield


def seconds_since(time: datetime | None) -> float:
    """Return how long ago a time was, by this process's clock."""
    assert time is not None
    return (datetime.now(UTC) - time).total_seconds()


@pytest.mark.fault("C6")
@pytest.mark.usefixtures("_connection_time_zone")
def test_now_is_the_present_however_times_are_stored() -> None:
    """What the database writes as now, Django reads as now."""
    Heartbeat.objects.create(pk=Heartbeat.KEY, ticked_at=Now(), wakeup_at=seconds_from_now(60))
    heartbeat = Heartbeat.objects.get()
    job, (event,) = enqueue(), RenderEvent.objects.all()
    assert seconds_since(heartbeat.ticked_at) == pytest.approx(0, abs=30)
    assert seconds_since(heartbeat.wakeup_at) == pytest.approx(-60, abs=30)
    assert seconds_since(job.created_at) == pytest.approx(0, abs=30)
    assert seconds_since(event.at) == pytest.approx(0, abs=30)
    assert seconds_since(read_schedule().now) == pytest.approx(0, abs=30)


@pytest.mark.fault("C6")
@pytest.mark.usefixtures("_connection_time_zone")
def test_now_compares_with_times_that_python_writes() -> None:
    """A row that Python made due a second ago is due, and one of the next minute is not."""
    job = enqueue()
    for seconds, is_due in ((-1, True), (60, False)):
        due_at = datetime.fromtimestamp(datetime.now(UTC).timestamp() + seconds, UTC)
        RenderJob.objects.filter(pk=job.pk).update(due_at=due_at)
        assert RenderJob.objects.due().exists() is is_due


def test_time_is_not_later_than_itself() -> None:
    """SQLite compares texts: what the database wrote, and Python writes again, is the same time."""
    Heartbeat.objects.create(pk=Heartbeat.KEY, ticked_at=Now())
    rows = Heartbeat.objects.filter(pk=Heartbeat.KEY)
    rows.update(wakeup_at=rows.get().ticked_at)
    assert rows.filter(wakeup_at__lte=F("ticked_at")).exists()


def test_jobs_are_created_now() -> None:
    """The column's default follows the same clock."""
    assert seconds_since(enqueue().created_at) == pytest.approx(0, abs=30)
