"""Downloads are counted and named in the job's history, and a record never costs a download."""

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser, User
from django.db import DatabaseError, InterfaceError, connection, transaction
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from django_docraptor.models import RenderJob
from django_docraptor.responses import download_records, record_download, record_downloads
from django_docraptor.states import EventKind, State
from tests.support.databases import writes
from tests.support.jobs import create_job
from tests.support.stored_files import PDF, completed_job
from tests.support.threads import run_in_threads

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def owner() -> AbstractBaseUser:
    """The job's owner."""
    return get_user_model().objects.create_user("anna")


@pytest.fixture
def job(owner: AbstractBaseUser, documents_dir: Path) -> RenderJob:
    """A completed job with its file."""
    return completed_job(owner=owner)


def get(user: AbstractBaseUser, url: str, method: str = "get") -> HttpResponse:
    """Return the response to a user, with its body read."""
    client = Client()
    client.force_login(user)
    response = getattr(client, method)(url)
    response.body = response.getvalue()
    return response


def records(job: RenderJob) -> list[tuple[str, dict[str, Any]]]:
    """Return the messages and details of the recorded downloads."""
    events = job.events.filter(kind=EventKind.DOWNLOADED)
    return list(events.values_list("message", "detail"))


def count(job: RenderJob) -> int:
    """Return how often the job was downloaded, as its row has it."""
    return RenderJob.objects.values_list("downloads", flat=True).get(pk=job.pk)


def test_downloads_are_recorded(job: RenderJob, owner: AbstractBaseUser) -> None:
    """The owner's and the staff's downloads are in the history, each with a name."""
    staff = User.objects.create_superuser("support")
    get(owner, job.get_absolute_url())
    get(staff, job.get_absolute_url())
    get(owner, reverse("django_docraptor:status", args=[job.pk]) + "?inline=1")
    assert records(job) == [
        ("by anna", {"as": "attachment"}),
        ("by support", {"as": "attachment"}),
        ("by anna", {"as": "inline"}),
    ]
    assert count(job) == 3
    event = job.events.last()
    assert (event.from_state, event.to_state) == (State.COMPLETED, State.COMPLETED)


def test_head_and_refusals_are_not_recorded(job: RenderJob, owner: AbstractBaseUser) -> None:
    """Headers alone are no download, nor is a 404."""
    assert get(owner, job.get_absolute_url(), "head").status_code == 200
    other = get_user_model().objects.create_user("other")
    assert get(other, job.get_absolute_url()).status_code == 404
    RenderJob.objects.update(file="")
    assert get(owner, job.get_absolute_url()).status_code == 404
    assert (records(job), count(job)) == ([], 0)


def test_hosted_document_is_recorded(owner: AbstractBaseUser) -> None:
    """A redirect to a public URL counts, too: it is how this site gives the document."""
    job = create_job(
        State.COMPLETED, owner=owner, hosted=True, public_url="https://docraptor.example/x"
    )
    assert get(owner, job.get_absolute_url()).status_code == 302
    assert records(job) == [("by anna", {"as": "attachment"})]


def test_records_are_bounded_and_the_count_is_exact(job: RenderJob, monkeypatch: Any) -> None:
    """From a certain number on, downloads are only counted."""
    monkeypatch.setattr(download_records, "MAX_RECORDS", 3)
    for _ in range(5):
        record_download(job, by="by anna")
    assert (len(records(job)), count(job)) == (3, 5)


def test_count_is_exact_under_concurrency(job: RenderJob, monkeypatch: Any) -> None:
    """Downloads at the same time are all counted, and add no record too many."""
    monkeypatch.setattr(download_records, "MAX_RECORDS", 3)
    run_in_threads(6, lambda: record_download(RenderJob.objects.get(pk=job.pk)))
    assert (len(records(job)), count(job)) == (3, 6)


def test_other_columns_are_left_alone(job: RenderJob) -> None:
    """A record of an old object does not write that object's values."""
    RenderJob.objects.update(message="new")
    record_download(job)
    assert RenderJob.objects.get().message == "new"


@pytest.mark.parametrize("error", [DatabaseError("read-only"), InterfaceError("closed")])
def test_database_that_refuses_does_not_cost_the_download(
    job: RenderJob,
    owner: AbstractBaseUser,
    monkeypatch: Any,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    """The file is sent although nothing can be recorded, and the log says so."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise error

    monkeypatch.setattr(RenderJob, "record_event", refuse)
    assert get(owner, job.get_absolute_url()).body == PDF
    assert f"Job {job.pk}: a download was not recorded" in caplog.text
    assert (records(job), count(job)) == ([], 0)


def test_refused_record_leaves_the_transaction_usable(job: RenderJob, monkeypatch: Any) -> None:
    """With ATOMIC_REQUESTS, what the request does afterwards is still committed."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        RenderJob.objects.filter(pk=job.pk).update(state=None)

    monkeypatch.setattr(RenderJob, "record_event", refuse)
    with transaction.atomic():
        record_download(job)
        RenderJob.objects.update(message="afterwards")
    assert RenderJob.objects.get().message == "afterwards"
    assert count(job) == 0


def test_record_takes_two_statements(job: RenderJob) -> None:
    """A download costs two writes, also after the last record."""
    for downloads in (0, download_records.MAX_RECORDS):
        RenderJob.objects.update(downloads=downloads)
        with CaptureQueriesContext(connection) as queries:
            record_download(job)
        assert len([query for query in queries if writes(query["sql"])]) == 2


def test_name_that_the_database_lacks(job: RenderJob) -> None:
    """A user's name with any character is recorded."""
    record_download(job, by="by Zoë 🦊\x00")
    assert records(job)[0][0].startswith("by Zoë")


# --- many at once ----------------------------------------------------------------------------


def test_archive_is_recorded_for_each_job(job: RenderJob, documents_dir: Path) -> None:
    """Each file of an archive is a download of its job; other jobs are left alone."""
    second, other = completed_job(name="second.pdf"), completed_job(name="other.pdf")
    record_downloads([job, second], by="by support")
    record_download(second, by="by anna")
    assert records(job) == [("by support", {"as": "archive"})]
    assert records(second) == [
        ("by support", {"as": "archive"}),
        ("by anna", {"as": "attachment"}),
    ]
    assert (count(job), count(second), count(other), records(other)) == (1, 2, 0, [])
    event = job.events.last()
    assert (event.attempt, event.from_state, event.to_state) == (1, *[State.COMPLETED] * 2)
    assert event.signal_due_at is None


def test_archive_takes_three_statements(documents_dir: Path) -> None:
    """The number of statements does not grow with the archive."""
    jobs = [create_job(State.COMPLETED) for _ in range(5)]
    with CaptureQueriesContext(connection) as queries:
        record_downloads(jobs, by="by support")
    verbs = [query["sql"].split()[0] for query in queries]
    assert [verb for verb in verbs if verb not in ("BEGIN", "COMMIT")] == [
        *("UPDATE", "SELECT", "INSERT")
    ]
    assert [count(job) for job in jobs] == [1] * 5


def test_archive_respects_the_bound(job: RenderJob, monkeypatch: Any) -> None:
    """The records of archives are bounded as all others are, and the count is exact."""
    monkeypatch.setattr(download_records, "MAX_RECORDS", 2)
    second = completed_job(name="second.pdf")
    record_download(job)
    for _ in range(3):
        record_downloads([job, second])
    assert [len(records(each)) for each in (job, second)] == [2, 2]
    assert [count(each) for each in (job, second)] == [4, 3]


def test_empty_archive(django_assert_num_queries: Any) -> None:
    """Without files there is nothing to record."""
    with django_assert_num_queries(0):
        record_downloads([])


def test_archive_that_cannot_be_recorded(
    job: RenderJob, monkeypatch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The archive is sent all the same."""

    def refuse(*args: Any) -> None:
        raise DatabaseError("read-only")

    monkeypatch.setattr(download_records, "_insert_events", refuse)
    record_downloads([job])
    assert f"Job {job.pk}: a download was not recorded" in caplog.text
    assert count(job) == 0


def test_archives_at_the_same_time(job: RenderJob) -> None:
    """Two archives of the same files in another order are both recorded."""
    second = completed_job(name="second.pdf")
    orders = iter([[job, second], [second, job]] * 2)
    run_in_threads(4, lambda: record_downloads(next(orders)))
    assert [count(each) for each in (job, second)] == [4, 4]
