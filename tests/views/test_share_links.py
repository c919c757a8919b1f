"""The page of a share link, and the download behind its button."""

import logging
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import Any
from urllib.parse import urlencode

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.core.files.storage import FileSystemStorage
from django.db import DatabaseError, connection
from django.test import AsyncClient, Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.views.debug import ExceptionReporter

from django_docraptor import revoke, share
from django_docraptor.models import RenderEvent, RenderJob, ShareLink, seconds_from_now
from django_docraptor.share_urls import make_share_token
from django_docraptor.states import FINAL_STATES, EventKind, State
from django_docraptor.views import share_links
from tests.support.pages import html_of
from tests.support.stored_files import PDF, completed_job
from tests.support.threads import run_in_threads

pytestmark = pytest.mark.django_db(transaction=True)


class BrokenStorage(FileSystemStorage):
    """A storage that does not respond."""

    def _open(self, name: str, mode: str = "rb") -> Any:
        raise OSError("the storage does not respond")


class LossyStorage(FileSystemStorage):
    """A storage that has lost its files."""

    def _open(self, name: str, mode: str = "rb") -> Any:
        raise FileNotFoundError(name)


class SigningStorage(FileSystemStorage):
    """A storage whose URLs expire, as those of S3 do."""

    def url(self, name: str, parameters: Any = None, expire: int | None = None) -> str:
        return f"https://files.example/{name}?expires={expire}&{urlencode(parameters or {})}"


@pytest.fixture
def job(owner: AbstractBaseUser, documents_dir: Path) -> RenderJob:
    """A completed job with its file."""
    return completed_job(owner=owner, number_of_pages=2)


@pytest.fixture
def link(job: RenderJob, owner: AbstractBaseUser) -> ShareLink:
    """A link that works."""
    return share(job, by=owner)


def use_storage(storage: type[FileSystemStorage], settings: Any, documents: Path) -> None:
    """Change the storage's class; the files stay where they are."""
    backend = {"BACKEND": f"{__name__}.{storage.__name__}", "OPTIONS": {"location": documents}}
    settings.STORAGES = settings.STORAGES | {"docraptor": backend}


def download(link: ShareLink, query: str = "?download", method: str = "get") -> Any:
    """Return the response to an anonymous browser, with its body read."""
    response = getattr(Client(), method)(f"{link.get_absolute_url()}{query}")
    response.body = response.getvalue()
    return response


def uses(link: ShareLink) -> int:
    """Return how often the link was used, as the database has it."""
    return ShareLink.objects.values_list("downloads", flat=True).get(pk=link.pk)


# --- the page --------------------------------------------------------------------------------


def test_page_says_what_the_link_gives(link: ShareLink) -> None:
    """The page has the name, the type, the size and the buttons, and counts nothing."""
    response = Client().get(link.get_absolute_url())
    text = html_of(response)
    assert response.status_code == 200
    assert "hello.pdf" in text
    assert "PDF, 2 pages, 97.7" in text
    assert 'href="?download"' in text
    assert 'href="?inline"' in text
    assert uses(link) == 0
    assert not link.job.events.filter(kind=EventKind.DOWNLOADED).exists()


def test_page_has_no_inline_style_or_script(link: ShareLink) -> None:
    """A strict Content-Security-Policy lets all of the page through, and it needs no script."""
    text = html_of(Client().get(link.get_absolute_url()))
    assert "/static/django_docraptor/customers.css" in text
    for forbidden in ("<style", "<script", "style=", "onclick", "http-equiv"):
        assert forbidden not in text


def test_page_works_before_collectstatic(link: ShareLink, settings: Any, tmp_path: Path) -> None:
    """A storage that does not know the stylesheet costs the style, not the page."""
    settings.STATIC_ROOT = tmp_path
    backend = "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": backend}}
    response = Client().get(link.get_absolute_url())
    assert response.status_code == 200
    assert html_of(response).count('rel="stylesheet"') == 1


def test_name_is_escaped(link: ShareLink) -> None:
    """A hostile name is text."""
    RenderJob.objects.update(name="<script>alert(1)</script>")
    text = html_of(Client().get(link.get_absolute_url()))
    assert "&lt;script&gt;alert(1)" in text
    assert "<script" not in text


def test_page_tells_how_many_downloads_are_left(job: RenderJob) -> None:
    """The page of a link with a limit says how often it can still be used."""
    link = share(job, max_downloads=3)
    assert "can be downloaded 3 more times" in html_of(Client().get(link.get_absolute_url()))
    download(link)
    download(link)
    assert "can be downloaded once more" in html_of(Client().get(link.get_absolute_url()))


def test_page_is_in_the_reader_s_language(link: ShareLink) -> None:
    """The page says its language and direction."""
    assert '<html lang="en' in html_of(Client().get(link.get_absolute_url()))
    with override_settings(LANGUAGE_CODE="ar"):
        assert 'dir="rtl"' in html_of(Client().get(link.get_absolute_url()))


# --- the file --------------------------------------------------------------------------------


def test_link_sends_the_file(link: ShareLink) -> None:
    """The button sends the file as an attachment, without a login."""
    response = download(link)
    assert (response.status_code, response.body) == (200, PDF)
    assert response["Content-Type"] == "application/pdf"
    assert response["Content-Disposition"] == 'attachment; filename="hello.pdf"'
    link.refresh_from_db()
    assert link.downloads == 1
    assert link.last_used_at is not None


def test_pdf_is_shown(link: ShareLink) -> None:
    """A PDF may be shown in the browser, which must not guess what it is."""
    response = download(link, "?inline")
    assert response["Content-Disposition"] == 'inline; filename="hello.pdf"'
    assert response["X-Content-Type-Options"] == "nosniff"
    assert uses(link) == 1


@pytest.mark.parametrize("document_type", ["xlsx", "xls"])
def test_other_files_are_saved(link: ShareLink, document_type: str) -> None:
    """A spreadsheet is never shown in place."""
    RenderJob.objects.update(document_type=document_type)
    assert download(link, "?inline")["Content-Disposition"].startswith("attachment")
    assert "?inline" not in html_of(Client().get(link.get_absolute_url()))


@pytest.mark.parametrize("query", ["", "?download", "?inline", "?x=1"])
def test_head_counts_nothing(link: ShareLink, query: str) -> None:
    """HEAD, by which programs look at links, gets headers and is no use."""
    response = download(link, query, "head")
    assert (response.status_code, response.body) == (200, b"")
    assert uses(link) == 0
    assert not link.job.events.filter(kind=EventKind.DOWNLOADED).exists()


def test_signed_url_of_the_storage(link: ShareLink, settings: Any, documents_dir: Path) -> None:
    """A storage that signs URLs serves the file itself; the link is used all the same."""
    use_storage(SigningStorage, settings, documents_dir)
    response = download(link)
    assert response.status_code == 302
    assert response["Location"].startswith("https://files.example/docraptor/")
    assert uses(link) == 1


def test_signed_url_counts_for_head_too(
    link: ShareLink, settings: Any, documents_dir: Path
) -> None:
    """The URL of the file is the file: HEAD gets no more of them than GET."""
    use_storage(SigningStorage, settings, documents_dir)
    ShareLink.objects.update(max_downloads=1)
    assert download(link, "?download", "head").status_code == 302
    assert uses(link) == 1
    for method in ("head", "get"):
        response = download(link, "?download", method)
        assert (response.status_code, response.has_header("Location")) == (404, False)
    assert link.job.events.filter(kind=EventKind.DOWNLOADED).count() == 1


@pytest.mark.parametrize("query", ["", "?download", "?inline"])
def test_responses_are_private(link: ShareLink, query: str) -> None:
    """Nothing is cached or indexed, and other sites do not learn the URL."""
    response = download(link, query)
    assert response.status_code == 200
    assert_private(response)


def assert_private(response: Any) -> None:
    """Check the headers of a response to a link."""
    assert "no-store" in response["Cache-Control"]
    assert "private" in response["Cache-Control"]
    assert response["Referrer-Policy"] == "no-referrer"
    assert response["X-Robots-Tag"] == "noindex, nofollow"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "Set-Cookie" not in str(response.headers)
    assert not response.cookies


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "options"])
def test_other_methods_are_refused(link: ShareLink, method: str) -> None:
    """Only GET and HEAD are allowed, whatever the token is."""
    url = link.get_absolute_url()
    for path in (url, url.replace(link.pk.hex, "0" * 32)):
        response = getattr(Client(), method)(path)
        assert (response.status_code, response["Allow"]) == (405, "GET, HEAD")
        assert_private(response)


# --- links that do not work ------------------------------------------------------------------


def expire(link: ShareLink) -> None:
    """Let a link's time be over."""
    ShareLink.objects.filter(pk=link.pk).update(expires_at=seconds_from_now(-1))


def use_up(link: ShareLink) -> None:
    """Let a link have no downloads left."""
    ShareLink.objects.filter(pk=link.pk).update(max_downloads=1, downloads=1)


def lose_file(link: ShareLink) -> None:
    """Let the job have no file."""
    RenderJob.objects.update(file="")


def host(link: ShareLink) -> None:
    """Let the job be one whose document is hosted."""
    RenderJob.objects.update(file="", hosted=True, public_url="https://docraptor.example/x")


def retry(link: ShareLink) -> None:
    """Let the job be no longer completed."""
    RenderJob.objects.update(state=State.QUEUED, due_at=seconds_from_now(60))


def delete_link(link: ShareLink) -> None:
    """Delete the link's row."""
    ShareLink.objects.filter(pk=link.pk).delete()


def delete_job(link: ShareLink) -> None:
    """Delete the link's job, as prune does."""
    RenderJob.objects.all().delete()


BREAKS = [expire, revoke, use_up, lose_file, host, retry, delete_link, delete_job]


def headers_of(response: Any) -> dict[str, str]:
    """Return the headers, without the second in which the response was made."""
    return {name: text for name, text in response.headers.items() if name != "Expires"}


@pytest.mark.parametrize("break_link", BREAKS, ids=lambda function: function.__name__)
@pytest.mark.parametrize("query", ["", "?download", "?inline"])
def test_reasons_cannot_be_told_apart(
    link: ShareLink, break_link: Callable[[ShareLink], object], query: str
) -> None:
    """Whatever is wrong with a link, the response is the one to a forged token."""
    url = str(link.get_absolute_url())
    break_link(link)
    response = Client().get(url + query)
    forged = Client().get(url[:-6] + "AAAAA/" + query)
    assert response.status_code == forged.status_code == 404
    assert response.content == forged.content
    assert headers_of(response) == headers_of(forged)
    assert "This link does not work" in html_of(response)
    assert "hello.pdf" not in html_of(response)
    assert_private(response)


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "é",
        "a" * 5000,
        "0" * 32,
        "96ef10da-c325-432f-adfe-bf39da98c6a0",
        "..%2F..%2Fetc%2Fpasswd",
        "%00",
        "%2e%2e",
    ],
)
def test_other_text_in_the_url(client: Client, token: str) -> None:
    """What is not a token gets the same page, and no query is made for it."""
    url = reverse("django_docraptor:shared", args=["token"]).replace("token", token)
    with CaptureQueriesContext(connection) as queries:
        response = client.get(url)
    assert response.status_code == 404
    assert len(queries) == 0


def test_token_of_an_unknown_link(client: Client) -> None:
    """A genuine signature of a link that never existed is no use."""
    url = reverse("django_docraptor:shared", args=[str(make_share_token(uuid.uuid4()))])
    assert client.get(url).status_code == 404


def test_lost_file_does_not_use_up_the_link(
    job: RenderJob, settings: Any, documents_dir: Path
) -> None:
    """A file that is missing from the storage gets 404, and the download is not counted."""
    link = share(job, max_downloads=1)
    use_storage(LossyStorage, settings, documents_dir)
    response = Client().get(f"{link.get_absolute_url()}?download")
    assert response.status_code == 404
    assert uses(link) == 0


# --- the limit -------------------------------------------------------------------------------


def test_limit_of_downloads(job: RenderJob) -> None:
    """A link for two downloads gives two; another one of the same job goes on."""
    link, other = share(job, max_downloads=2), share(job)
    assert [download(link).status_code for _ in range(3)] == [200, 200, 404]
    assert Client().get(link.get_absolute_url()).status_code == 404
    assert uses(link) == 2
    assert download(other).status_code == 200


def test_limit_is_exact_under_concurrency(job: RenderJob, monkeypatch: Any) -> None:
    """Of five browsers that have seen a working link at the same time, three get the file."""
    link = share(job, max_downloads=3)
    browsers, find = 5, share_links._find_link
    barrier = Barrier(browsers, timeout=30)

    def find_together(token: str) -> ShareLink | None:
        found = find(token)
        barrier.wait()
        return found

    monkeypatch.setattr(share_links, "_find_link", find_together)
    statuses = run_in_threads(browsers, lambda: int(download(link).status_code))
    assert sorted(statuses) == [200, 200, 200, 404, 404]
    assert uses(link) == 3


def test_database_that_refuses_to_count_refuses_the_file(link: ShareLink, monkeypatch: Any) -> None:
    """A download that cannot be counted is not given: the limit would not hold."""

    def refuse(self: ShareLink) -> bool:
        raise DatabaseError("read-only")

    monkeypatch.setattr(ShareLink, "count_download", refuse)
    with pytest.raises(DatabaseError):
        download(link)
    assert not RenderEvent.objects.filter(kind=EventKind.DOWNLOADED).exists()


# --- the record ------------------------------------------------------------------------------


def test_download_is_in_the_history(link: ShareLink) -> None:
    """The history says by which link the document was downloaded, and how."""
    download(link)
    download(link, "?inline")
    events = list(link.job.events.filter(kind=EventKind.DOWNLOADED))
    assert [event.message for event in events] == [f"by share link {link.short_id}"] * 2
    assert [event.detail for event in events] == [
        {"as": "attachment", "link": link.short_id},
        {"as": "inline", "link": link.short_id},
    ]
    assert RenderJob.objects.get().downloads == 2


def test_number_of_statements(link: ShareLink) -> None:
    """A page takes one query; a download one more to count, and two to record it."""
    with CaptureQueriesContext(connection) as queries:
        Client().get(link.get_absolute_url())
    assert [query["sql"].split()[0] for query in queries] == ["SELECT"]
    with CaptureQueriesContext(connection) as queries:
        download(link)
    verbs = [query["sql"].split()[0] for query in queries]
    assert [verb for verb in verbs if verb not in ("BEGIN", "COMMIT")] == [
        *("SELECT", "UPDATE", "UPDATE", "INSERT")
    ]


# --- secrets ---------------------------------------------------------------------------------


def test_token_is_not_logged(
    link: ShareLink, settings: Any, documents_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No log has the token, not even of an error in the view, and error reports neither."""
    caplog.set_level(logging.DEBUG)
    token = str(link.get_absolute_url()).split("/")[-2]
    client = Client(raise_request_exception=False)
    for query in ("", "?download"):
        client.get(link.get_absolute_url() + query).getvalue()
    client.post(link.get_absolute_url())
    client.get(str(link.get_absolute_url()).replace(link.pk.hex, "0" * 32))
    use_storage(BrokenStorage, settings, documents_dir)
    assert client.get(f"{link.get_absolute_url()}?download").status_code == 500
    signature = token.partition(".")[2]
    assert [record for record in caplog.records if record.levelno >= logging.ERROR]
    ours = [record for record in caplog.records if not record.name.startswith("django.db")]
    assert not [record for record in ours if signature in record.getMessage()]
    for record in ours:
        if record.exc_info:
            request = getattr(record, "request", None)
            report = ExceptionReporter(request, *record.exc_info)  # type: ignore[misc]
            assert signature not in report.get_traceback_text()
            assert signature not in report.get_traceback_html()


def test_access_logs_of_servers_do_not_have_the_token(link: ShareLink) -> None:
    """What gunicorn and uvicorn write to their logs is read from variables without the token."""
    path = str(link.get_absolute_url())
    token = path.split("/")[-2]
    environ = Client().get(path, RAW_URI=path, REQUEST_URI=path).wsgi_request.environ
    assert (environ["RAW_URI"], environ["REQUEST_URI"]) == ("/docraptor/shared/…/",) * 2
    assert token not in str(environ)
    request = async_to_sync(AsyncClient().get)(path).asgi_request
    assert request.scope["path"] == "/docraptor/shared/…/"
    assert token not in str(request.scope)
    assert token.encode() not in request.scope["raw_path"]


def test_login_of_the_site_is_not_required(link: ShareLink, settings: Any) -> None:
    """Sites that require a login everywhere let share links through."""
    middleware = "django.contrib.auth.middleware.LoginRequiredMiddleware"
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, middleware]
    assert download(link).status_code == 200


def test_link_works_for_a_user_who_may_not_download(link: ShareLink) -> None:
    """The link decides, not the user who happens to be logged in."""
    client = Client()
    client.force_login(get_user_model().objects.create_user("other"))
    response = client.get(f"{link.get_absolute_url()}?download")
    assert (response.status_code, response.getvalue()) == (200, PDF)
    assert client.get(link.job.get_absolute_url()).status_code == 404


def test_link_is_for_one_job_only(link: ShareLink, documents_dir: Path) -> None:
    """A link gives access to nothing else."""
    other = completed_job(name="other.pdf")
    assert Client().get(other.get_absolute_url()).status_code == 404
    assert "other.pdf" not in html_of(Client().get(link.get_absolute_url()))


def test_longest_lifetime_is_stored(job: RenderJob) -> None:
    """A year is allowed, and its link works."""
    assert download(share(job, expires_in=timedelta(days=365))).status_code == 200


def test_every_final_state_but_completed_has_no_download(link: ShareLink) -> None:
    """A job that has failed or was cancelled gives nothing, whatever its row says."""
    for state in FINAL_STATES - {State.COMPLETED}:
        RenderJob.objects.update(state=state)
        assert download(link).status_code == 404
