"""The customers' pages in a real browser, under the strictest Content Security Policy."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponse
from django.template import RequestContext, Template
from django.urls import include, path, reverse
from playwright.sync_api import Browser, BrowserContext, Page, expect

from django_docraptor.models import RenderJob, seconds_from_now
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.states import FINAL_STATES, ErrorCode, State
from tests.support.browser import log_in
from tests.support.jobs import enqueue
from tests.support.threads import background_worker

pytestmark = [
    pytest.mark.services("chromium"),
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls(__name__),
]

HOW_TO = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "progress.md"
PAGE = (
    '<!DOCTYPE html><html lang="en"><title>Shop</title><main>{% load docraptor %}'
    "{% document_progress job %}{% my_documents %}</main></html>"
)


def shop_page(request: HttpRequest, pk: str) -> HttpResponse:
    """A page of the project with both tags."""
    context = RequestContext(request, {"job": RenderJob.objects.get(pk=pk)})
    return HttpResponse(Template(PAGE).render(context))


def fetch_script(request: HttpRequest) -> HttpResponse:
    """The function of the documentation, as a static file of the project."""
    (code,) = re.findall(r"```js\n(.*?)```", HOW_TO.read_text(), re.DOTALL)
    return HttpResponse(code, content_type="text/javascript")


urlpatterns = [
    path("admin/", admin.site.urls),
    path("docraptor/", include("django_docraptor.urls")),
    path("shop/<uuid:pk>/", shop_page, name="shop"),
    path("fetch.mjs", fetch_script),
]


@pytest.fixture(autouse=True)
def _strict_site(settings: Any) -> None:
    """A site with a strict policy."""
    settings.MIDDLEWARE = ["tests.support.browser.strict_policy", *settings.MIDDLEWARE]


@pytest.fixture
def owner() -> Any:
    """A customer."""
    return get_user_model().objects.create_user("ada", password=None)


@pytest.fixture
def open_context(browser: Browser, live_server: Any, owner: Any) -> Iterator[Any]:
    """Return a function that opens a window of the customer; afterwards nothing was refused."""
    messages: list[str] = []

    def open_window(**options: Any) -> BrowserContext:
        context = browser.new_context(base_url=live_server.url, **options)
        context.on("console", lambda message: messages.append(message.text))
        log_in(context, live_server.url, owner)
        return context

    yield open_window
    # Chromium tells of each response that is an error, such as that for the site's icon.
    assert [text for text in messages if not text.startswith("Failed to load resource")] == []


def job_in(state: State, owner: Any, **columns: Any) -> RenderJob:
    """Return a job of the customer in a state."""
    job = enqueue(owner=owner, name="invoice-77.pdf")
    due_at = None if state in FINAL_STATES else seconds_from_now(3600)
    values = {"state": state, "attempt": 1, "due_at": due_at, **columns}
    RenderJob.objects.filter(pk=job.pk).update(**values)
    return RenderJob.objects.get(pk=job.pk)


def status_url(job: RenderJob) -> str:
    """Return the path of a job's status page."""
    return reverse("django_docraptor:status", args=[job.pk])


def downloads_of(page: Page) -> list[str]:
    """Return a list of the files that the page will download."""
    names: list[str] = []
    page.on("download", lambda download: names.append(download.suggested_filename))
    return names


def test_finished_page_downloads_once_without_javascript(
    open_context: Any, owner: Any, sandbox: Sandbox, documents_dir: Path
) -> None:
    """From *Waiting* to the file; reload and Back show the page, and the button works."""
    page = open_context(java_script_enabled=False).new_page()
    names = downloads_of(page)
    job = enqueue(owner=owner, name="invoice-77.pdf")
    page.goto(status_url(job))
    expect(page.locator("[aria-current]")).to_have_text("Waiting")
    with background_worker(), page.expect_download(timeout=30_000):
        pass
    expect(page.get_by_role("heading")).to_have_text("Your document is ready")
    page.reload()
    page.goto(reverse("django_docraptor:my-documents"))
    page.go_back()
    page.wait_for_timeout(1000)
    expect(page.get_by_role("heading")).to_have_text("Your document is ready")
    assert names == ["invoice-77.pdf"]
    with page.expect_download():
        page.get_by_role("link", name="Download").click()
    assert names == ["invoice-77.pdf"] * 2


def test_refreshing_can_be_paused_by_keyboard(open_context: Any, owner: Any) -> None:
    """The link is reached by Tab, and the page then stays as it is."""
    page = open_context(java_script_enabled=False).new_page()
    job = job_in(State.QUEUED, owner, sent_at=seconds_from_now(-60))
    page.goto(status_url(job))
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text("This page does not refresh automatically.")).to_be_visible()
    RenderJob.objects.filter(pk=job.pk).update(state=State.CANCELLED, due_at=None)
    page.wait_for_timeout(1500)
    expect(page.locator("[aria-current]")).to_have_text("In progress")
    page.get_by_role("link", name="Refresh now").click()
    expect(page.get_by_role("heading")).to_have_text("This document was cancelled")


def test_failed_document_is_tried_again(
    open_context: Any, owner: Any, sandbox: Sandbox, documents_dir: Path
) -> None:
    """The customer reads a reason and a reference, presses the button, and gets the file."""
    reason = "Timeout trying to create"
    sandbox.add_fault(Fault(on="render", action="fail", reason=reason, times=1))
    page = open_context().new_page()
    job = enqueue(owner=owner, name="invoice-77.pdf")
    page.goto(status_url(job))
    with background_worker():
        heading = page.get_by_role("heading")
        expect(heading).to_have_text("Your document could not be generated", timeout=30_000)
        expect(page.get_by_text(job.reference)).to_be_visible()
        with page.expect_download(timeout=30_000):
            page.get_by_role("button", name="Try again").click()


def test_tag_follows_the_document(
    open_context: Any, owner: Any, sandbox: Sandbox, documents_dir: Path
) -> None:
    """The script changes word, sentence and link, without a reload of the page."""
    page = open_context().new_page()
    job = enqueue(owner=owner, name="invoice-77.pdf")
    page.goto(reverse("shop", args=[job.pk]))
    progress = page.locator(".docraptor-progress")
    expect(progress).to_contain_text("Waiting")
    page.evaluate("window.wasNotReloaded = true")
    with background_worker():
        expect(progress).to_contain_text("Your document is ready.", timeout=30_000)
    with page.expect_download():
        progress.get_by_role("link", name="Download").click()
    assert page.evaluate("window.wasNotReloaded")


def test_tag_survives_a_site_that_fails(open_context: Any, owner: Any, live_server: Any) -> None:
    """An error of the network or the site is no end: the next answer is shown."""
    context = open_context()
    page = context.new_page()
    job = job_in(State.QUEUED, owner)
    failures = iter([500, 503])

    def fail_twice(route: Any) -> None:
        status = next(failures, None)
        route.fulfill(status=status, body="") if status else route.continue_()

    page.goto(reverse("shop", args=[job.pk]))
    page.route("**/status/", fail_twice)
    RenderJob.objects.filter(pk=job.pk).update(state=State.CANCELLED, due_at=None)
    message = page.locator(".docraptor-message")
    expect(message).to_have_text("This document was cancelled.", timeout=20_000)


def test_function_of_the_documentation_follows_a_document(
    open_context: Any, owner: Any, sandbox: Sandbox, documents_dir: Path
) -> None:
    """The function for fetch calls back with each state, and returns the last one."""
    page = open_context().new_page()
    job = enqueue(owner=owner)
    page.goto(reverse("django_docraptor:my-documents"))
    with background_worker():
        final, states = page.evaluate(
            """async (url) => {
                const { followDocument } = await import("/fetch.mjs");
                const states = [];
                const final = await followDocument(url, (status) => states.push(status.state));
                return [final, states];
            }""",
            status_url(job),
        )
    assert (final["stage"], states[-1]) == ("ready", "completed")
    assert len(states) == len(set(states))


PAGES: dict[str, dict[str, Any]] = {
    "waiting": {"state": State.PENDING},
    "in-progress": {"state": State.WORKING},
    "late": {"state": State.WORKING, "due_at": seconds_from_now(-900)},
    "failed": {"state": State.FAILED, "error_code": ErrorCode.SUBMIT_FAILED},
    "refused": {"state": State.FAILED, "error_code": ErrorCode.REJECTED},
    "cancelled": {"state": State.CANCELLED},
}


@pytest.mark.parametrize(("scheme", "language"), [("light", "en"), ("dark", "ar")])
def test_pages_fit_and_have_their_style(
    open_context: Any, owner: Any, settings: Any, scheme: str, language: str
) -> None:
    """Nothing scrolls sideways from 320 px on, in both directions of writing, with the style."""
    settings.LANGUAGE_CODE = language
    page = open_context(color_scheme=scheme, java_script_enabled=True).new_page()
    urls = [f"{status_url(job_in(owner=owner, **columns))}?pause=1" for columns in PAGES.values()]
    RenderJob.objects.filter(state=State.CANCELLED).update(name="Rechnung" * 25)
    for url in [*urls, reverse("django_docraptor:my-documents")]:
        page.goto(url)
        for width in (320, 360, 1440):
            page.set_viewport_size({"width": width, "height": 800})
            root = "document.documentElement"
            assert page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth"), (url, width)
            assert page.evaluate(f"{root}.dir") == ("rtl" if language == "ar" else "ltr")
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert background == ("rgb(244, 245, 246)" if scheme == "light" else "rgb(18, 18, 18)")
