"""The job list in a real browser: it refreshes, fits narrow windows, and needs no JavaScript.

With ``DOCRAPTOR_SCREENSHOTS=docs/images``, the documentation's screenshot is made anew.
"""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import Page, Response, Route, expect

from django_docraptor.models import Heartbeat, RenderJob
from django_docraptor.models.clock import Now
from django_docraptor.states import FINAL_STATES, State
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice
from tests.e2e.test_admin_browser import browser_page, log_in
from tests.support.jobs import enqueue

__all__ = ["browser_page"]
pytestmark = [pytest.mark.services("chromium"), pytest.mark.django_db(transaction=True)]
SCREENSHOTS = os.environ.get("DOCRAPTOR_SCREENSHOTS", "")
# Strict: nothing but files of the site itself.
POLICY = "default-src 'self'; frame-ancestors 'none'; form-action 'self'; base-uri 'none'"


@pytest.fixture(autouse=True)
def _no_runner(settings: Any) -> None:
    """No worker is notified."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RUNNER": "none"}


def open_list(page: Page, url: str) -> None:
    """Log in and open the list, in a browser whose time the test moves."""
    page.clock.install()
    log_in(page, url)
    expect(page.get_by_text("Refreshed at")).to_be_visible()


def refresh(page: Page) -> None:
    """Let the time pass after which the list is refreshed, and wait until it was."""
    with page.expect_response(lambda response: "/renderjob/" in response.url):
        page.clock.run_for(10_000)


def test_list_refreshes_and_keeps_the_selection(live_server: Any, browser_page: Page) -> None:
    """A state changes in the table without a reload; what is selected stays selected."""
    jobs = [enqueue(name=f"invoice-{number}.pdf") for number in range(3)]
    page = browser_page
    open_list(page, live_server.url)
    page.evaluate("window.isSamePage = true")
    row = page.locator("tr", has_text="invoice-1.pdf")
    row.locator("input[type=checkbox]").check()
    expect(page.locator(".action-counter")).to_have_text("1 of 3 selected")
    page.locator("h1").click()

    RenderJob.objects.filter(pk=jobs[1].pk).update(
        state=State.FAILED, due_at=None, error_code="storage_error"
    )
    refresh(page)
    expect(row.locator(".docraptor-state")).to_have_text("✕ failed")
    expect(page.locator(".docraptor-number-error strong")).to_have_text("1")
    expect(row.locator("input[type=checkbox]")).to_be_checked()
    assert page.evaluate("window.isSamePage")

    page.locator("#action-toggle").check()
    expect(page.locator(".action-counter")).to_have_text("3 of 3 selected")


def test_new_rows_get_no_old_selection(live_server: Any, browser_page: Page) -> None:
    """A job that leaves the filtered list is not selected under another's name."""
    jobs = [enqueue(name=f"invoice-{number}.pdf") for number in range(2)]
    page = browser_page
    open_list(page, live_server.url)
    row = page.locator("tr", has_text="invoice-0.pdf")
    row.locator("input[type=checkbox]").check()
    page.locator("h1").click()
    RenderJob.objects.filter(pk=jobs[0].pk).delete()
    enqueue(name="invoice-new.pdf")
    refresh(page)
    expect(page.locator("#result_list")).to_contain_text("invoice-new.pdf")
    expect(page.locator("#result_list")).not_to_contain_text("invoice-0.pdf")
    expect(page.locator("tr", has_text="invoice-new.pdf").locator("input")).not_to_be_checked()
    expect(page.locator(".action-counter")).to_have_text("0 of 2 selected")


def test_list_is_not_refreshed_while_paused(live_server: Any, browser_page: Page) -> None:
    """Pausing is remembered in this tab, and can be ended."""
    job = enqueue()
    page = browser_page
    open_list(page, live_server.url)
    page.get_by_role("button", name="Pause automatic refresh").click()
    expect(page.get_by_text("Automatic refresh is paused.")).to_be_visible()
    requests: list[Response] = []
    page.on("response", lambda response: requests.append(response))
    RenderJob.objects.filter(pk=job.pk).update(state=State.CANCELLED, due_at=None)
    page.clock.run_for(60_000)
    assert requests == []
    page.reload()
    expect(page.get_by_text("Automatic refresh is paused.")).to_be_visible()
    page.get_by_role("button", name="Resume automatic refresh").click()
    expect(page.get_by_text("Refreshed at")).to_be_visible()
    refresh(page)
    expect(page.locator(".docraptor-state")).to_have_text("⊘ cancelled")


def test_refreshing_ends_with_the_session(live_server: Any, browser_page: Page) -> None:
    """Once logged out, the table stays, and the login page does not replace it."""
    enqueue(name="invoice-1.pdf")
    page = browser_page
    open_list(page, live_server.url)
    page.context.clear_cookies()
    with page.expect_response(lambda response: "/login/" in response.url):
        page.clock.run_for(10_000)
    expect(page.locator("#result_list")).to_contain_text("invoice-1.pdf")


def test_list_and_statistics_respect_a_strict_policy(live_server: Any, browser_page: Page) -> None:
    """No inline style, script or handler: a strict Content-Security-Policy is not violated."""
    job = enqueue(name="invoice-1.pdf")
    RenderJob.objects.filter(pk=job.pk).update(state=State.FAILED, due_at=None)
    page = browser_page
    log_in(page, live_server.url)

    def restrict(route: Route) -> None:
        response = route.fetch()
        headers = {**response.headers, "content-security-policy": POLICY}
        route.fulfill(response=response, headers=headers)

    messages: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.route("**/renderjob/**", restrict)
    for path in ("", "?q=nothing", "statistics/", "usage/"):
        page.goto(f"{live_server.url}/admin/django_docraptor/renderjob/{path}")
        expect(page.locator(".docraptor-bar")).to_be_visible()
    assert [text for text in messages if "Content Security Policy" in text] == []


def test_list_fits_the_window(live_server: Any, browser_page: Page) -> None:
    """Nothing scrolls sideways, at 1280 pixels beside the open sidebar; narrow rows are cards."""
    owner_names = ("ines", "omar")
    for number, name in enumerate(owner_names):
        enqueue(name=f"invoice-2026-{number:04}-{name}.pdf")
    RenderJob.objects.update(
        state=State.COMPLETED, due_at=None, file="x.pdf", file_size=25_000, number_of_pages=2
    )
    page = browser_page
    log_in(page, live_server.url)
    for width, is_card in ((320, True), (360, True), (768, True), (1280, False)):
        page.set_viewport_size({"width": width, "height": 800})
        for selector in ("html", ".results"):
            scrolls = page.locator(selector).evaluate("e => e.scrollWidth > e.clientWidth")
            assert not scrolls, (selector, width)
        assert page.locator("#result_list thead").is_hidden() == is_card, width


def test_list_works_without_javascript(live_server: Any, browser_page: Page) -> None:
    """Without JavaScript there is no button that does nothing, and all that is listed is there."""
    enqueue(name="invoice-1.pdf")
    log_in(browser_page, live_server.url)
    browser = browser_page.context.browser
    assert browser is not None
    context = browser.new_context(java_script_enabled=False)
    context.add_cookies(browser_page.context.cookies())  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(f"{live_server.url}/admin/django_docraptor/renderjob/")
    expect(page.locator("#result_list")).to_contain_text("invoice-1.pdf")
    expect(page.locator(".docraptor-refresh")).to_be_hidden()
    page.get_by_role("link", name="Last 24 hours").first.click()
    expect(page.locator("#result_list")).to_contain_text("invoice-1.pdf")


def test_screenshot(live_server: Any, browser_page: Page, tmp_path: Path) -> None:
    """The list of a small shop on a usual day, which shows why each document failed."""
    store_a_day()
    page, folder = browser_page, Path(SCREENSHOTS or tmp_path)
    page.set_viewport_size({"width": 1280, "height": 860})
    log_in(page, live_server.url)
    expect(page.locator("#result_list")).to_contain_text("HTML not well formed")
    expect(page.locator("#result_list")).to_contain_text("file not stored")
    expect(page.locator(".docraptor-numbers")).to_contain_text("Needs a look")
    page.screenshot(path=folder / "admin-jobs.png")


def store_a_day() -> None:
    """Store the latest jobs, of several states, and the engine's heartbeat."""
    Heartbeat.objects.create(pk=Heartbeat.KEY, ticked_at=Now(), worked_at=Now())
    owners = [User.objects.create_user(name) for name in ("ines", "omar", "lena")]
    malformed = "Document Malformed: line 42: opening and ending tag mismatch: b and td"
    done = {"state": State.COMPLETED, "file": "x.pdf", "file_size": 25_312, "number_of_pages": 2}
    rows: list[tuple[float, dict[str, Any]]] = [
        (0.2, {"state": State.WORKING}),
        (1.2, done),
        (2.1, done | {"number_of_pages": 1, "file_size": 19_870}),
        (4.2, {"state": State.FAILED, "error_code": "render_failed", "errors": malformed}),
        (5.0, done),
        (7.3, {"state": State.UNCONFIRMED}),
        (11.0, done | {"number_of_pages": 3, "file_size": 41_220}),
        (18.4, {"state": State.FAILED, "error_code": "storage_error", "errors": "Access denied"}),
    ]
    for number, (minutes, columns) in enumerate(rows):
        invoice = Invoice.objects.create(number=f"2026-{418 - number:04}")
        created_at = timezone.now() - timedelta(minutes=minutes)
        job = InvoicePDF.enqueue(invoice, owner=owners[number % 3], test=False)
        if columns["state"] in FINAL_STATES:
            finished_at = created_at + timedelta(seconds=3.9 + number)
            columns = columns | {"due_at": None, "finished_at": finished_at}
        RenderJob.objects.filter(pk=job.pk).update(
            created_at=created_at, sent_at=created_at, attempt=1, **columns
        )
