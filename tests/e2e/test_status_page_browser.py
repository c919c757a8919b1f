"""The status page in a real browser without JavaScript."""

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.urls import reverse
from playwright.sync_api import Browser, BrowserContext, expect

from django_docraptor.sandbox import Sandbox
from tests.support.browser import log_in
from tests.support.jobs import enqueue
from tests.support.threads import background_worker

pytestmark = [pytest.mark.services("chromium"), pytest.mark.django_db(transaction=True)]


@pytest.fixture
def browser_context(browser: Browser) -> BrowserContext:
    """A browser without JavaScript."""
    return browser.new_context(java_script_enabled=False)


def test_status_page_downloads_the_document_without_javascript(
    live_server: Any, browser_context: BrowserContext, sandbox: Sandbox, documents_dir: Path
) -> None:
    """The page refreshes until the document is ready, and then downloads it."""
    owner = get_user_model().objects.create_user("ada", password=None)
    log_in(browser_context, live_server.url, owner)
    job = enqueue(owner=owner, name="invoice-77.pdf")
    page = browser_context.new_page()
    page.goto(live_server.url + reverse("django_docraptor:status", args=[job.pk]))
    expect(page.locator("[aria-current]")).to_have_text("Waiting")
    with background_worker(), page.expect_download(timeout=30_000) as download:
        pass
    assert download.value.suggested_filename == "invoice-77.pdf"
    assert Path(download.value.path()).read_bytes().startswith(b"%PDF-")
    expect(page.get_by_role("heading")).to_have_text("Your document is ready")
