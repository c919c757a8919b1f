"""A share link in a real browser: created in the admin, used without a login, revoked."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from django_docraptor.models import ShareLink
from tests.e2e.test_admin_browser import browser_page, log_in
from tests.support.admin_jobs import job_url
from tests.support.stored_files import PDF, completed_job

__all__ = ["browser_page"]  # a fixture

pytestmark = [pytest.mark.services("chromium"), pytest.mark.django_db(transaction=True)]


def test_link_is_shared_used_and_revoked(
    live_server: Any, browser_page: Page, documents_dir: Path, settings: Any, tmp_path: Path
) -> None:
    """Support shares; a reader without login, cookies and JavaScript downloads; support revokes."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RUNNER": "none"}
    settings.MIDDLEWARE = ["tests.support.browser.strict_policy", *settings.MIDDLEWARE]
    job, page, problems = completed_job(name="invoice-418.pdf"), browser_page, []
    log_in(page, live_server.url)
    page.goto(f"{live_server.url}{job_url(job)}")
    page.get_by_role("link", name="Share…").click()
    page.get_by_label("Maximum number of downloads").fill("1")
    page.get_by_role("button", name="Create the link").click()
    url = page.locator(".docraptor-url code").inner_text()
    assert url == f"{live_server.url}{ShareLink.objects.get().get_absolute_url()}"

    context = page.context.browser.new_context(java_script_enabled=False, accept_downloads=True)
    reader = context.new_page()
    reader.on("console", lambda message: problems.append(message.text))
    reader.goto(url)
    expect(reader.get_by_role("heading", name="invoice-418.pdf")).to_be_visible()
    expect(reader.locator("main")).to_have_css("border-radius", "12px")  # the stylesheet is loaded
    with reader.expect_download() as found:
        reader.get_by_role("link", name="Download").click()
    found.value.save_as(tmp_path / "saved.pdf")
    assert (tmp_path / "saved.pdf").read_bytes() == PDF
    assert found.value.suggested_filename == "invoice-418.pdf"
    assert (problems, context.cookies()) == ([], [])
    assert reader.goto(url).status == 404
    expect(reader.get_by_role("heading", name="This link does not work")).to_be_visible()

    page.goto(f"{live_server.url}{job_url(job)}")
    expect(page.locator(".docraptor-links")).to_contain_text("used up")
    expect(page.get_by_text("The document was downloaded once.")).to_be_visible()


def test_revoked_in_the_browser(
    live_server: Any, browser_page: Page, documents_dir: Path, settings: Any
) -> None:
    """*Revoke…* asks first, and then the link is dead."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RUNNER": "none"}
    job, page = completed_job(), browser_page
    log_in(page, live_server.url)
    page.goto(f"{live_server.url}{job_url(job, 'share')}")
    page.get_by_role("button", name="Create the link").click()
    url = page.locator(".docraptor-url code").inner_text()
    page.get_by_role("link", name="Revoke…").click()
    assert page.request.get(url).status == 200
    page.get_by_role("button", name="Yes, revoke").click()
    expect(page.get_by_text("The link was revoked.")).to_be_visible()
    expect(page.locator(".docraptor-links")).to_contain_text("revoked")
    assert page.request.get(url).status == 404
