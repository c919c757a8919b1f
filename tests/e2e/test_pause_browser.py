"""A member of staff pauses an account in the admin, and resumes it."""

import os
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import Browser, Page, expect

from django_docraptor.models import Account, Pause
from tests.support.browser import ADMIN, log_in, problems_of_view

pytestmark = [
    pytest.mark.services("chromium"),
    pytest.mark.django_db(transaction=True),
    pytest.mark.once,
]

SCREENSHOTS = os.environ.get("DOCRAPTOR_ALL_SCREENSHOTS", "")


def choose_action(page: Page, action: str) -> None:
    """Run an action on all accounts of the list."""
    page.locator("#action-toggle").check()
    page.get_by_label("Action:").select_option(action)
    page.locator("button[name=index]").click()


def look(page: Page) -> None:
    """Look at the form narrow and wide, light and dark: nothing of ours is wrong with it."""
    for width in (360, 720, 1440):
        for scheme in ("light", "dark"):
            page.set_viewport_size({"width": width, "height": 800})
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            assert problems_of_view(page, width, ADMIN) == []
            if SCREENSHOTS:
                page.screenshot(path=Path(SCREENSHOTS, f"pause-{width}-{scheme}.png"))


def test_account_is_paused_and_resumed(live_server: Any, browser: Browser) -> None:
    """The form asks why and for how long; the list then says so, until *Resume now*."""
    Account.objects.create(name="acme")
    context = browser.new_context()
    log_in(context, live_server.url, User.objects.create_superuser("sam", "sam@example.com"))
    page = context.new_page()
    page.goto(live_server.url + reverse("admin:django_docraptor_account_changelist"))
    choose_action(page, "pause_selected")
    expect(page.get_by_role("heading", name="Pause accounts")).to_be_visible()
    look(page)

    page.get_by_label("Reason").fill("The totals are wrong.")
    page.get_by_label("For how long").select_option("4 hours")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("1 account was paused.")).to_be_visible()
    expect(page.get_by_text("The totals are wrong. (by sam)")).to_be_visible()

    choose_action(page, "resume_selected")
    expect(page.get_by_text("Resumed: 0 jobs are due now.")).to_be_visible()
    assert not Pause.objects.exists()
