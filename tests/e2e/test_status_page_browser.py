"""The status page in a real browser without JavaScript."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse
from playwright.sync_api import BrowserContext, expect, sync_playwright

from django_docraptor.sandbox import Sandbox
from tests.e2e.test_admin_browser import ARGUMENTS
from tests.support.jobs import enqueue
from tests.support.threads import background_worker

pytestmark = [pytest.mark.services("chromium"), pytest.mark.django_db(transaction=True)]


@pytest.fixture
def browser_context(monkeypatch: pytest.MonkeyPatch) -> Iterator[BrowserContext]:
    """A browser without JavaScript; Playwright's loop must not trigger Django's async guard."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    with sync_playwright() as playwright:
        path = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser.new_context(java_script_enabled=False)
        browser.close()


def log_in(browser_context: BrowserContext, url: str, user: Any) -> None:
    """Give the browser the session of a logged-in user."""
    client = Client()
    client.force_login(user)
    name = django_settings.SESSION_COOKIE_NAME
    browser_context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": url}])


def test_status_page_downloads_the_document_without_javascript(
    live_server: Any, browser_context: BrowserContext, sandbox: Sandbox, documents_dir: Path
) -> None:
    """The page refreshes until the document is ready, and then downloads it."""
    owner = get_user_model().objects.create_user("ada", password=None)
    log_in(browser_context, live_server.url, owner)
    job = enqueue(owner=owner, name="invoice-77.pdf")
    page = browser_context.new_page()
    page.goto(live_server.url + reverse("django_docraptor:status", args=[job.pk]))
    expect(page.get_by_role("status")).to_contain_text("in progress")
    with background_worker(), page.expect_download(timeout=30_000) as download:
        pass
    assert download.value.suggested_filename == "invoice-77.pdf"
    assert Path(download.value.path()).read_bytes().startswith(b"%PDF-")
    expect(page.get_by_role("status")).to_contain_text("ready")
