"""The admin in a real browser: finding a failed job and retrying it."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Page, expect

from django_docraptor.models import RenderJob
from django_docraptor.states import ErrorCode, EventKind, State
from tests.support.jobs import enqueue

pytestmark = [pytest.mark.services("chromium"), pytest.mark.django_db(transaction=True)]


@pytest.fixture
def browser_page(browser: Browser) -> Page:
    """A new page of Chromium."""
    page = browser.new_page()
    page.set_default_timeout(20_000)
    return page


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

    expect(page.get_by_role("heading", name="Why it failed: DocRaptor could not")).to_be_visible()
    page.get_by_role("link", name="Compare and retry…").click()
    expect(page.get_by_role("heading", name="Retry “invoice-77.pdf”?")).to_be_visible()
    expect(page.get_by_text("billed as a new one")).to_be_visible()
    assert RenderJob.objects.get().state == State.FAILED

    page.get_by_role("button", name="Yes, retry").click()
    expect(page.get_by_text("1 job will be retried.")).to_be_visible()
    expect(page.locator(".docraptor-title .docraptor-state")).to_have_text("… pending")
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


def test_job_page_obeys_a_strict_policy(
    live_server: Any, browser_page: Page, failed_job: RenderJob
) -> None:
    """With ``default-src 'self'`` nothing is refused, IDs are copied, and the HTML is framed."""
    page, refused = browser_page, []
    page.on("console", lambda message: refused.append(message.text))
    log_in(page, live_server.url)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])

    def add_policy(route: Any) -> None:
        response = route.fetch()
        policy = "default-src 'self'; report-uri /csp/"
        own = response.headers.get("content-security-policy", policy)
        route.fulfill(
            response=response, headers={**response.headers, "content-security-policy": own}
        )

    page.route("**/admin/django_docraptor/**", add_policy)
    refused.clear()
    page.get_by_role("link", name="invoice-77.pdf").click()
    page.get_by_role("button", name="Copy the ID").click()
    expect(page.get_by_role("button", name="Copy the ID")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == str(failed_job.pk)

    page.get_by_role("link", name="HTML as sent").click()
    expect(page.frame_locator("iframe").get_by_role("heading", name="Hello")).to_be_visible()
    # With the keyboard: a click beside a frame that has just been loaded may miss.
    page.get_by_role("link", name="Back to the job").press("Enter")
    page.get_by_role("link", name="Generate again…").click()
    page.get_by_role("button", name="Yes, generate").click()
    expect(page.get_by_text("Queued: invoice-77.pdf.")).to_be_visible()
    expect(page.locator(".docraptor-title .docraptor-state")).to_have_text("… pending")
    assert [text for text in refused if "Content Security Policy" in text] == []


def test_job_page_works_without_scripts(
    live_server: Any, browser_page: Page, failed_job: RenderJob
) -> None:
    """Buttons that need the script are hidden, and all else is there."""
    browser = browser_page.context.browser
    assert browser is not None
    page = browser.new_context(java_script_enabled=False).new_page()
    log_in(page, live_server.url)
    page.get_by_role("link", name="invoice-77.pdf").click()
    expect(page.get_by_text(str(failed_job.pk)).first).to_be_visible()
    expect(page.locator(".docraptor-copy").first).to_be_hidden()
    expect(page.locator(".docraptor-parts rect").first).to_be_attached()
    page.get_by_text("Times", exact=True).click()
    expect(page.get_by_text("Created at:")).to_be_visible()


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
