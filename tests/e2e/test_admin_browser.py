"""The admin in a real browser: finding a failed job and retrying it."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect, sync_playwright

from django_docraptor.models import RenderJob
from django_docraptor.states import ErrorCode, EventKind, State
from tests.support.jobs import enqueue

pytestmark = [pytest.mark.services("chromium"), pytest.mark.django_db(transaction=True)]

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
]


@pytest.fixture
def browser_page(monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    """A new page of Chromium; Playwright's event loop must not trigger Django's async guard."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=ARGUMENTS
        )
        page = browser.new_page()
        page.set_default_timeout(20_000)
        yield page
        browser.close()


@pytest.fixture
def failed_job(settings: Any) -> RenderJob:
    """A failed production job."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RUNNER": "none"}
    job = enqueue(name="invoice-77.pdf", test=False)
    RenderJob.objects.update(
        state=State.FAILED,
        due_at=None,
        attempt=1,
        error_code=ErrorCode.RENDER_FAILED,
        errors="Prince: no such image\n" * 50 + "<b>the last line</b>",
    )
    return job


def log_in(page: Page, url: str) -> None:
    """Log in as a superuser and open the list of jobs."""
    User.objects.create_superuser("ada", password="lovelace")
    page.goto(f"{url}/admin/django_docraptor/renderjob/")
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password").fill("lovelace")
    page.get_by_role("button", name="Log in").click()


def test_failed_job_can_be_retried_in_the_browser(
    live_server: Any, browser_page: Page, failed_job: RenderJob
) -> None:
    """From the list to the failed job, through the confirmation, to a pending job."""
    page = browser_page
    log_in(page, live_server.url)
    expect(page.locator(".docraptor-state")).to_have_text("✕ failed")

    page.get_by_role("link", name="invoice-77.pdf").click()
    expect(page.locator("pre").first).to_contain_text("<b>the last line</b>")

    page.get_by_role("link", name="Retry…").click()
    expect(page.get_by_role("heading", name="Retry “invoice-77.pdf”?")).to_be_visible()
    expect(page.get_by_text("billed as a new one")).to_be_visible()
    assert RenderJob.objects.get().state == State.FAILED

    page.get_by_role("button", name="Yes, retry").click()
    expect(page.get_by_text("1 job will be retried.")).to_be_visible()
    expect(page.locator(".field-state_badge .docraptor-state")).to_have_text("… pending")
    assert failed_job.events.filter(kind=EventKind.RETRIED, message="by ada").exists()


def test_selected_jobs_can_be_cancelled_in_the_browser(
    live_server: Any, browser_page: Page, settings: Any
) -> None:
    """The list's action asks, and cancels after the confirmation."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RUNNER": "none"}
    for number in range(3):
        enqueue(name=f"invoice-{number}.pdf")
    page = browser_page
    log_in(page, live_server.url)
    page.locator("#action-toggle").check()
    page.get_by_label("Action:").select_option("cancel_selected")
    page.locator("button[name=index]").click()  # "Go", or "Run" from Django 6.1
    expect(page.get_by_role("heading", name="Cancel 3 jobs?")).to_be_visible()

    page.get_by_role("button", name="Yes, cancel").click()
    expect(page.get_by_text("3 jobs were cancelled.")).to_be_visible()
    assert set(RenderJob.objects.values_list("state", flat=True)) == {State.CANCELLED}


def test_styles_are_loaded(live_server: Any, browser_page: Page, failed_job: RenderJob) -> None:
    """The stylesheet is loaded, and a dark theme changes the badge's colours."""
    page = browser_page
    log_in(page, live_server.url)
    badge = page.locator(".docraptor-state")
    background = "badge => getComputedStyle(badge).backgroundColor"
    expect(badge).to_have_css("border-radius", "10px")
    page.emulate_media(color_scheme="light")
    light = badge.evaluate(background)
    page.emulate_media(color_scheme="dark")
    assert badge.evaluate(background) != light
