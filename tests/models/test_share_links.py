"""The rows of share links: which works, and how uses are counted."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from django_docraptor.models import LinkState, RenderJob, ShareLink, seconds_from_now
from tests.support.databases import connection_time_zone
from tests.support.stored_files import completed_job

pytestmark = [pytest.mark.django_db, pytest.mark.databases]


@pytest.fixture
def make_link(documents_dir: Path) -> Callable[..., ShareLink]:
    """Return a function that makes a link, by default one that works for a minute."""
    job = completed_job()

    def make(seconds: float = 60, **columns: Any) -> ShareLink:
        link = ShareLink.objects.create(job=job, expires_at=seconds_from_now(seconds), **columns)
        return ShareLink.objects.get(pk=link.pk)

    return make


@pytest.mark.parametrize(
    ("columns", "state"),
    [
        ({}, LinkState.ACTIVE),
        ({"max_downloads": 2, "downloads": 1}, LinkState.ACTIVE),
        ({"downloads": 1_000_000}, LinkState.ACTIVE),
        ({"max_downloads": 2, "downloads": 2}, LinkState.USED_UP),
        ({"max_downloads": 2, "downloads": 3}, LinkState.USED_UP),
        ({"seconds": -1}, LinkState.EXPIRED),
        ({"revoked_at": seconds_from_now(-1)}, LinkState.REVOKED),
        ({"revoked_at": seconds_from_now(-1), "seconds": -1}, LinkState.REVOKED),
        ({"seconds": -1, "max_downloads": 1, "downloads": 1}, LinkState.EXPIRED),
    ],
)
def test_state(
    make_link: Callable[..., ShareLink], columns: dict[str, Any], state: LinkState
) -> None:
    """The object, the query and the count agree on which links work."""
    link = make_link(**columns)
    is_active = state == LinkState.ACTIVE
    assert link.state == state
    assert (ShareLink.find_active(link.pk) == link) == is_active
    assert link.count_download() == is_active
    stored = ShareLink.objects.get(pk=link.pk)
    assert stored.downloads == link.downloads + is_active
    assert (stored.last_used_at is not None) == is_active


@pytest.mark.parametrize("zone", ["Pacific/Auckland", "America/Los_Angeles"])
def test_expiry_in_another_time_zone(make_link: Callable[..., ShareLink], zone: str) -> None:
    """A link ends at its time, whatever the zone in which Django stores times is."""
    with connection_time_zone(zone):
        assert ShareLink.find_active(make_link(60).pk)
        assert ShareLink.find_active(make_link(-60).pk) is None


def test_unknown_link(make_link: Callable[..., ShareLink]) -> None:
    """There is no link of any other ID."""
    make_link()
    assert ShareLink.find_active(uuid.uuid4()) is None


def test_link_is_found_with_its_job(
    make_link: Callable[..., ShareLink], django_assert_num_queries: Any
) -> None:
    """One query finds the link and the job."""
    link = make_link()
    with django_assert_num_queries(1):
        found = ShareLink.find_active(link.pk)
        assert found is not None
        assert found.job.name == "hello.pdf"


def test_revoked_once(make_link: Callable[..., ShareLink]) -> None:
    """Only the first revocation is one."""
    link = make_link()
    assert [link.mark_revoked(), link.mark_revoked()] == [True, False]
    assert ShareLink.objects.get(pk=link.pk).state == LinkState.REVOKED


def test_links_go_with_their_job(make_link: Callable[..., ShareLink]) -> None:
    """A deleted job leaves no link."""
    make_link()
    RenderJob.objects.get().delete()
    assert not ShareLink.objects.exists()


def test_times_are_aware(make_link: Callable[..., ShareLink]) -> None:
    """A new link knows when it was created and when it ends."""
    link = make_link(3600)
    assert timedelta(seconds=3599) < link.expires_at - link.created_at <= timedelta(seconds=3601)
