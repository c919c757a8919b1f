"""Share links in the admin: the section, the form, the URL and the confirmation."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from django_docraptor import revoke, share
from django_docraptor.admin import share_links
from django_docraptor.admin.share_links import lifetime_text
from django_docraptor.models import LinkState, RenderJob, ShareLink, seconds_from_now
from django_docraptor.states import EventKind, State
from tests.apps.shop.documents import InvoicePDF
from tests.support.admin_jobs import (
    ESCAPED,
    HOSTILE,
    RETRY,
    VIEW,
    create_admin_job,
    get_text,
    job_url,
    staff_client,
)
from tests.support.stored_files import completed_job

pytestmark = pytest.mark.django_db
SHARE = "share_renderjob"


@pytest.fixture
def job(documents_dir: Path) -> RenderJob:
    """A completed job with its file."""
    return completed_job()


@pytest.fixture
def support() -> Client:
    """The browser of a staff user who may share documents."""
    return staff_client(VIEW, SHARE)


@pytest.fixture
def viewer() -> Client:
    """The browser of a staff user who may only view jobs."""
    return staff_client(VIEW)


def share_url(job: RenderJob, link: ShareLink | None = None, page: str = "") -> str:
    """Return the URL of the form, of a link's page, or of its revocation."""
    return job_url(job, "share") + (f"{link.pk}/{page}" if link else "")


def create_link(client: Client, job: RenderJob, **data: Any) -> ShareLink:
    """Fill in the form, and return the link."""
    form = {"lifetime": "604800", "max_downloads": "", **data}
    response = client.post(share_url(job), form)
    assert response.status_code == 302, response.context["form"].errors
    return ShareLink.objects.get(pk=response["Location"].rstrip("/").rpartition("/")[2])


# --- creating --------------------------------------------------------------------------------


def test_form_creates_a_link_and_shows_its_url(support: Client, job: RenderJob) -> None:
    """From the job's page through the form to the URL, which works."""
    assert f'href="{share_url(job)}"' in get_text(support, job_url(job))
    form = get_text(support, share_url(job))
    assert '<option value="604800" selected>7 days</option>' in form
    link = create_link(support, job, max_downloads="3")
    assert link.expires_at - link.created_at == timedelta(days=7)
    assert link.max_downloads == 3
    assert link.created_by.username == f"staff-{VIEW}-{SHARE}"
    page = get_text(support, share_url(job, link))
    url = f"http://testserver{link.get_absolute_url()}"
    assert url in page
    assert Client().get(url).status_code == 200


def test_double_click_creates_one_link(support: Client, job: RenderJob) -> None:
    """The same form creates one link and one entry of the log; other values create another."""
    form_id = support.get(share_url(job)).context["form"]["form_id"].value()
    first, second = (create_link(support, job, form_id=form_id) for _ in range(2))
    assert first == second
    assert LogEntry.objects.filter(object_id=str(job.pk)).count() == 1
    assert job.events.filter(kind=EventKind.SHARED).count() == 1
    assert create_link(support, job, form_id=form_id, max_downloads="3") != first
    assert create_link(support, job) != first
    assert support.post(share_url(job), {"lifetime": "604800", "form_id": "x"}).status_code == 200
    assert ShareLink.objects.count() == 3


def test_url_begins_with_the_public_address(support: Client, job: RenderJob, settings: Any) -> None:
    """If the site's public address is known, the URL begins with it, not with the admin's host."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"CALLBACK_BASE_URL": "https://shop.example"}
    link = create_link(support, job)
    page = get_text(support, share_url(job, link))
    assert f"https://shop.example{link.get_absolute_url()}" in page
    assert "http://testserver" not in page


def test_setting_is_preselected(support: Client, job: RenderJob, settings: Any) -> None:
    """The form proposes SHARE_LINK_LIFETIME, also if it is not one of the usual choices."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"SHARE_LINK_LIFETIME": timedelta(hours=12)}
    form = get_text(support, share_url(job))
    assert '<option value="43200" selected>12 hours</option>' in form
    link = create_link(support, job, lifetime="43200")
    assert link.expires_at - link.created_at == timedelta(hours=12)


@pytest.mark.parametrize(
    "data",
    [
        *({"lifetime": ""}, {"lifetime": "1"}, {"lifetime": "99999999999"}, {"lifetime": HOSTILE}),
        *({"max_downloads": "0"}, {"max_downloads": "-1"}, {"max_downloads": "many"}),
        {"max_downloads": "9" * 30},
    ],
)
def test_wrong_input_is_refused(support: Client, job: RenderJob, data: dict[str, str]) -> None:
    """The form is shown again with its errors, and no link is created."""
    response = support.post(share_url(job), {"lifetime": "604800", "max_downloads": "", **data})
    assert response.status_code == 200
    assert response.context["form"].errors
    assert HOSTILE not in response.content.decode()
    assert not ShareLink.objects.exists()


def test_get_creates_nothing(support: Client, job: RenderJob) -> None:
    """Opening the form, also with parameters, changes nothing."""
    get_text(support, share_url(job), {"lifetime": "604800"})
    assert not ShareLink.objects.exists()


@pytest.mark.parametrize(
    "columns",
    [
        {"state": State.QUEUED, "due_at": seconds_from_now(600)},
        {"state": State.FAILED},
        {"file": ""},
        {"file": "", "hosted": True, "public_url": "https://docraptor.example/x"},
    ],
)
def test_job_without_a_private_file_cannot_be_shared(
    support: Client, job: RenderJob, columns: dict[str, Any]
) -> None:
    """There is no button, and the form's URL leads back with a reason."""
    RenderJob.objects.update(**columns)
    assert share_url(job) not in get_text(support, job_url(job))
    for method in (support.get, support.post):
        response = method(share_url(job), {"lifetime": "604800"}, follow=True)
        assert response.redirect_chain == [(job_url(job), 302)]
        assert "Only a completed document" in response.content.decode()
    assert not ShareLink.objects.exists()


def test_actions_are_in_django_s_log(support: Client, job: RenderJob) -> None:
    """Sharing and revoking are in *History* of the admin, without the token."""
    link = create_link(support, job)
    support.post(share_url(job, link, "revoke/"))
    texts = [entry.get_change_message() for entry in LogEntry.objects.order_by("pk")]
    assert texts == [f"Shared by link {link.short_id}.", f"Revoked share link {link.short_id}."]
    history = get_text(support, job_url(job, "history"))
    assert all(text in history for text in texts)


# --- the section -----------------------------------------------------------------------------


def test_section_lists_the_links(support: Client, job: RenderJob) -> None:
    """Support sees who created which link, whether it works and how often it was used."""
    anna = get_user_model().objects.create_user("anna")
    link, revoked = share(job, by=anna, max_downloads=5), share(job)
    expired, used_up = share(job), share(job, max_downloads=1)
    revoke(revoked)
    ShareLink.objects.filter(pk=expired.pk).update(expires_at=seconds_from_now(-1))
    for each in (link, link, used_up):
        Client().get(f"{each.get_absolute_url()}?download").getvalue()
    text = " ".join(get_text(support, job_url(job)).split())
    assert "The document was downloaded 3 times." in text
    for each in (link, revoked, expired, used_up):
        assert f"<code>{each.short_id}</code>" in text
    for state in LinkState:
        assert f">{state.label}</span>" in text
    assert "by anna" in text
    assert "<td>2 / 5</td>" in text
    assert text.count("Revoke…") == 1
    assert str(link.get_absolute_url()) not in text


def test_section_of_a_job_without_links(viewer: Client, job: RenderJob) -> None:
    """Who may not share sees the number of downloads only."""
    text = get_text(viewer, job_url(job))
    assert "The document was not downloaded from this site yet." in text
    assert "docraptor-links" not in text
    assert "Share…" not in text


def test_unfinished_job_has_no_section(support: Client) -> None:
    """A job that has nothing to share has no section."""
    job = create_admin_job(State.QUEUED)
    assert "docraptor-share-links" not in get_text(support, job_url(job))


def test_section_is_bounded(viewer: Client, job: RenderJob, monkeypatch: Any) -> None:
    """Only the latest links are shown, by a number of queries that does not grow."""
    monkeypatch.setattr(share_links, "MAX_LINKS_SHOWN", 3)

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            get_text(viewer, job_url(job))
        return len(captured)

    queries()  # the first page asks whether the engine is alive, and remembers it
    without = queries()
    anna = get_user_model().objects.create_user("anna")
    links = [share(job, by=anna) for _ in range(3)]
    assert "Only the latest" not in get_text(viewer, job_url(job))
    assert queries() == without + 1
    ShareLink.objects.update(created_at=seconds_from_now(-60))
    ShareLink.objects.filter(pk=links[0].pk).update(created_at=seconds_from_now(-90))
    links.append(share(job, by=anna))
    text = get_text(viewer, job_url(job))
    assert "Only the latest links are shown." in text
    assert [f"<code>{link.short_id}</code>" in text for link in links] == [False, *[True] * 3]
    assert queries() == without + 1


def test_names_of_users_are_escaped(viewer: Client, job: RenderJob) -> None:
    """A hostile user name is text."""
    share(job, by=get_user_model().objects.create_user(HOSTILE))
    text = get_text(viewer, job_url(job))
    assert f"by {ESCAPED}" in text
    assert HOSTILE not in text


# --- revoking --------------------------------------------------------------------------------


def test_revoking_asks_first(support: Client, job: RenderJob) -> None:
    """A GET shows the question; the button revokes, and the history says who did."""
    link = share(job)
    url = share_url(job, link, "revoke/")
    assert f'href="{url}"' in get_text(support, job_url(job))
    assert "stops working at once" in get_text(support, url)
    assert Client().get(link.get_absolute_url()).status_code == 200
    response = support.post(url, follow=True)
    assert "The link was revoked." in response.content.decode()
    assert Client().get(link.get_absolute_url()).status_code == 404
    event = job.events.get(kind=EventKind.SHARE_REVOKED)
    assert event.message == f"by staff-{VIEW}-{SHARE}"


def test_second_revocation_says_so(support: Client, job: RenderJob) -> None:
    """Pressing the button of an old page changes nothing."""
    link = share(job)
    revoke(link)
    response = support.post(share_url(job, link, "revoke/"), follow=True)
    assert "had been revoked already" in response.content.decode()
    assert job.events.filter(kind=EventKind.SHARE_REVOKED).count() == 1


def test_url_of_a_revoked_link_is_not_shown(support: Client, job: RenderJob) -> None:
    """The page of a link that does not work leads back to the job."""
    link = share(job)
    revoke(link)
    response = support.get(share_url(job, link), follow=True)
    assert response.redirect_chain == [(job_url(job), 302)]
    assert "does not work any more" in response.content.decode()


# --- permissions -----------------------------------------------------------------------------


@pytest.mark.parametrize("permissions", [(), (VIEW,), (SHARE,), (VIEW, RETRY)])
def test_sharing_needs_two_permissions(job: RenderJob, permissions: tuple[str, ...]) -> None:
    """Without view_renderjob and share_renderjob, nothing is shown, created or revoked."""
    link, client = share(job), staff_client(*permissions)
    for url in (share_url(job), share_url(job, link), share_url(job, link, "revoke/")):
        assert client.get(url).status_code == 403
        assert client.post(url, {"lifetime": "604800"}).status_code == 403
    assert ShareLink.objects.get().state == LinkState.ACTIVE


def test_document_decides_who_may_share(
    support: Client, job: RenderJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may not read the document gets no link to it, but may still revoke one."""
    link = share(job)
    RenderJob.objects.update(document=InvoicePDF.label)
    monkeypatch.setattr(InvoicePDF, "may_download", lambda user, job: False)
    text = get_text(support, job_url(job))
    assert "Share…" not in text
    assert "Show the URL" not in text
    assert support.get(share_url(job)).status_code == 403
    assert support.post(share_url(job), {"lifetime": "604800"}).status_code == 403
    assert support.get(share_url(job, link)).status_code == 403
    assert support.post(share_url(job, link, "revoke/")).status_code == 302
    assert ShareLink.objects.get().state == LinkState.REVOKED


def test_link_of_another_job(support: Client, job: RenderJob) -> None:
    """A link is found below its own job only."""
    link, other = share(job), completed_job(name="other.pdf")
    for page in ("", "revoke/"):
        assert support.get(share_url(other, link, page)).status_code == 404
        assert support.post(share_url(other, link, page)).status_code == 404
    assert ShareLink.objects.get().state == LinkState.ACTIVE


def test_pages_are_not_cached(support: Client, job: RenderJob) -> None:
    """The page with the URL stays out of caches."""
    link = share(job)
    assert "no-store" in support.get(share_url(job, link))["Cache-Control"]


def test_pages_have_no_inline_style_or_script(support: Client, job: RenderJob) -> None:
    """A strict Content-Security-Policy lets all of these pages through."""
    link = share(job)
    for url in (share_url(job), share_url(job, link), share_url(job, link, "revoke/")):
        main = get_text(support, url).partition('id="content-main"')[2]
        for forbidden in ("<style", "<script", "style=", "onclick"):
            assert forbidden not in main


@pytest.mark.parametrize(
    ("lifetime", "text"),
    [
        (timedelta(seconds=5), "1 minute"),
        (timedelta(minutes=90), "90 minutes"),
        (timedelta(hours=1), "1 hour"),
        (timedelta(hours=36), "36 hours"),
        (timedelta(days=1), "1 day"),
        (timedelta(days=365), "365 days"),
    ],
)
def test_lifetime_in_words(lifetime: timedelta, text: str) -> None:
    """A lifetime is told in the largest unit that is exact."""
    assert lifetime_text(lifetime) == text
