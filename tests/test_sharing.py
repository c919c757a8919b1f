"""Creating and revoking share links."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import ValidationError

from django_docraptor import arevoke, ashare, revoke, share
from django_docraptor.models import LinkState, RenderJob, ShareLink, seconds_from_now
from django_docraptor.retention import RetentionLimit, prune
from django_docraptor.states import FINAL_STATES, EventKind, State
from tests.support.jobs import create_job
from tests.support.stored_files import completed_job

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def job(documents_dir: Path) -> RenderJob:
    """A completed job with its file."""
    return completed_job()


@pytest.fixture
def anna() -> AbstractBaseUser:
    """The acting user."""
    return get_user_model().objects.create_user("anna")


def last_event(job: RenderJob) -> Any:
    """Return the last event of a job."""
    return job.events.last()


def test_share_creates_a_link_for_a_week(job: RenderJob, anna: AbstractBaseUser) -> None:
    """By default the link works for seven days, as often as people like."""
    link = share(job, by=anna)
    assert link.expires_at - link.created_at == timedelta(days=7)
    assert abs(link.created_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert (link.created_by, link.max_downloads, link.downloads) == (anna, None, 0)
    assert (link.last_used_at, link.state) == (None, LinkState.ACTIVE)
    assert list(job.share_links.all()) == [link]
    assert str(link) == f"{link.pk.hex[:8]} (active)"


def test_share_is_in_the_history(job: RenderJob, anna: AbstractBaseUser) -> None:
    """The history says who shared the document, until when and how often, without the token."""
    link = share(job, by=anna, max_downloads=3)
    event = last_event(job)
    assert (event.kind, event.message) == (EventKind.SHARED, "by anna")
    assert event.detail == {
        "link": link.short_id,
        "expires_at": link.expires_at.isoformat(),
        "max_downloads": "3",
    }
    assert str(link.get_absolute_url()).split("/")[-2] not in str(event.detail)


def test_setting_is_the_default_lifetime(job: RenderJob, settings: Any) -> None:
    """SHARE_LINK_LIFETIME is used unless the call says otherwise."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"SHARE_LINK_LIFETIME": timedelta(hours=2)}
    link = share(job)
    assert link.expires_at - link.created_at == timedelta(hours=2)
    link = share(job, expires_in=timedelta(minutes=5))
    assert link.expires_at - link.created_at == timedelta(minutes=5)


@pytest.mark.parametrize("by", [None, AnonymousUser()])
def test_share_without_a_user(job: RenderJob, by: Any) -> None:
    """Code may share without a user."""
    assert share(job, by=by).created_by is None
    assert last_event(job).message == ""


@pytest.mark.parametrize(
    ("keywords", "field", "text"),
    [
        ({"expires_in": timedelta(0)}, "expires_in", "must be a positive timedelta"),
        ({"expires_in": timedelta(seconds=-1)}, "expires_in", "must be a positive timedelta"),
        ({"expires_in": timedelta(days=366)}, "expires_in", "at most 365 days"),
        ({"expires_in": timedelta.max}, "expires_in", "at most 365 days"),
        ({"expires_in": 7}, "expires_in", "must be a positive timedelta"),
        ({"max_downloads": 0}, "max_downloads", "from 1 to 1000000000"),
        ({"max_downloads": -1}, "max_downloads", "from 1 to"),
        ({"max_downloads": True}, "max_downloads", "from 1 to"),
        ({"max_downloads": "3"}, "max_downloads", "Use None for unlimited"),
        ({"max_downloads": 10**12}, "max_downloads", "from 1 to"),
    ],
)
def test_wrong_arguments_are_refused(
    job: RenderJob, keywords: dict[str, Any], field: str, text: str
) -> None:
    """An error names the field, the value and the remedy, and no link is created."""
    with pytest.raises(ValidationError) as caught:
        share(job, **keywords)
    (message,) = caught.value.message_dict[field]
    assert text in message
    assert repr(keywords[field]) in message
    assert not ShareLink.objects.exists()


@pytest.mark.parametrize("state", sorted(set(State) - {State.COMPLETED}))
def test_only_completed_jobs_are_shared(state: State) -> None:
    """There is no file before the job is completed."""
    due_at = None if state in FINAL_STATES else seconds_from_now(60)
    job = create_job(state, due_at=due_at)
    with pytest.raises(ValidationError, match=f"is {state}: only a completed job"):
        share(job)


def test_hosted_document_is_not_shared() -> None:
    """A hosted document has a public URL already, which the error names."""
    job = create_job(State.COMPLETED, hosted=True, public_url="https://docraptor.example/x")
    with pytest.raises(ValidationError, match=r"Send job\.public_url"):
        share(job)


def test_job_without_a_file_is_not_shared() -> None:
    """A job whose file was deleted has nothing to share."""
    with pytest.raises(ValidationError, match="has no file to share"):
        share(create_job(State.COMPLETED))


def test_revoke_ends_a_link_once(job: RenderJob, anna: AbstractBaseUser) -> None:
    """The first call revokes the link, and the history says who did."""
    link = share(job)
    assert revoke(link, by=anna)
    assert link.state == LinkState.REVOKED
    event = last_event(job)
    assert (event.kind, event.message) == (EventKind.SHARE_REVOKED, "by anna")
    assert event.detail == {"link": link.short_id}
    revoked_at = link.revoked_at
    assert not revoke(ShareLink.objects.get(pk=link.pk))
    assert ShareLink.objects.get(pk=link.pk).revoked_at == revoked_at
    assert job.events.filter(kind=EventKind.SHARE_REVOKED).count() == 1


def test_async_functions_do_the_same(job: RenderJob, anna: AbstractBaseUser) -> None:
    """`ashare` and `arevoke` run the functions in a thread."""
    link = async_to_sync(ashare)(job, expires_in=timedelta(days=1), by=anna, max_downloads=2)
    assert (link.created_by_id, link.max_downloads) == (anna.pk, 2)
    assert link.expires_at - link.created_at == timedelta(days=1)
    assert async_to_sync(arevoke)(link, by=anna)
    assert not async_to_sync(arevoke)(link)


def test_link_outlives_its_creator(job: RenderJob, anna: AbstractBaseUser) -> None:
    """A deleted user leaves the link, without a name."""
    link = share(job, by=anna)
    anna.delete()
    link = ShareLink.objects.get(pk=link.pk)
    assert (link.created_by, link.created_by_id) == (None, None)


def test_prune_deletes_links_with_the_job(job: RenderJob) -> None:
    """Links protect nothing: they go with their job and its file."""
    share(job)
    RenderJob.objects.update(finished_at=seconds_from_now(-60))
    limit = RetentionLimit(label="", jobs=timedelta(seconds=1), inputs=None)
    assert sum(result.jobs for result in prune([limit])) == 1
    assert not ShareLink.objects.exists()
