"""Every page that people see, in a real browser: narrow and wide, light and dark, and at 200 %.

Each is looked at with axe and under a strict Content-Security-Policy. With
``DOCRAPTOR_ALL_SCREENSHOTS=<directory>``, a picture of each is kept there.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.urls import reverse
from playwright.sync_api import Browser, Page

from django_docraptor import pause_account, revoke, share
from django_docraptor.models import Heartbeat, RenderJob
from django_docraptor.models.clock import Now
from django_docraptor.states import ErrorCode, State
from tests.support.admin_jobs import create_admin_job, failed_job
from tests.support.browser import (
    ADMIN,
    log_in,
    note_complaints,
    problems_of_view,
    sideways,
)
from tests.support.usage import used_job

pytestmark = [
    pytest.mark.services("chromium"),
    pytest.mark.django_db(transaction=True),
    pytest.mark.once,
]

SCREENSHOTS = os.environ.get("DOCRAPTOR_ALL_SCREENSHOTS", "")
# Width of the window and scheme; pictures are taken of all four.
VIEWS = [(360, "dark"), (1440, "light")]
if SCREENSHOTS:
    VIEWS += [(360, "light"), (1440, "dark")]
# A window of 1440 px at 200 %: half as many CSS pixels, each of them twice as large.
ZOOMED = {"width": 720, "height": 400, "deviceScaleFactor": 2, "mobile": False}
MALFORMED = "Document Malformed: line 42: opening and ending tag mismatch: b and td"
TRACEBACK = """Traceback (most recent call last):
  File "/srv/shop/documents.py", line 14, in get_context
    return {"total": source.total}
                     ^^^^^^^^^^^^
AttributeError: 'Invoice' object has no attribute 'total'
"""


@pytest.fixture(autouse=True)
def _site(settings: Any) -> None:
    """A site with a strict policy, in which an engine runs."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RUNNER": "none"}
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "tests.support.browser.strict_policy"]
    Heartbeat.objects.create(pk=Heartbeat.KEY, ticked_at=Now(), worked_at=Now())


@pytest.fixture
def staff() -> User:
    """A member of staff who may do everything."""
    return User.objects.create_superuser("sam", "sam@example.com")


@pytest.fixture(name="look")
def _look(browser: Browser, live_server: Any) -> Callable[..., None]:
    """A function that opens a page in each width and scheme, and fails if something is wrong.

    A user has one tab for all pages of a test: for Chromium, another one costs more than a page.
    """
    tabs: dict[int, Page] = {}

    def tab(user: User) -> Page:
        if user.pk not in tabs:
            context = browser.new_context()
            log_in(context, live_server.url, user)
            tabs[user.pk] = context.new_page()
        return tabs[user.pk]

    def look(
        user: User,
        path: str,
        name: str,
        *,
        ours: str = "",
        status: int = 200,
        with_axe: bool = True,
    ) -> None:
        page = tab(user)
        problems = open_page(page, live_server.url + path, status)
        for width, scheme in VIEWS:
            page.set_viewport_size({"width": width, "height": 800})
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            assert page.evaluate("[innerWidth, devicePixelRatio]") == [width, 1]
            found = problems_of_view(page, width, ours) if with_axe else sideways(page, width)
            problems += [f"{width} px, {scheme}: {problem}" for problem in found]
            if SCREENSHOTS:
                picture = Path(SCREENSHOTS, f"{name}-{width}-{scheme}.png")
                page.screenshot(path=picture, full_page=True)
        problems += zoomed_problems(page, name)
        assert problems == []

    return look


def open_page(page: Page, url: str, status: int) -> list[str]:
    """Open a page that must have this status, and return what the browser reports."""
    problems: list[str] = []
    note_complaints(page, problems)
    response = page.goto(url)
    assert response is not None
    if status != 200:  # the browser reports it, too
        problems = [problem for problem in problems if url not in problem]
    return problems if response.status == status else [*problems, f"status {response.status}"]


def zoomed_problems(page: Page, name: str) -> list[str]:
    """Return what is wrong with an open page at 200 %, as a reader with weak eyes sees it."""
    session = page.context.new_cdp_session(page)
    session.send("Emulation.setDeviceMetricsOverride", ZOOMED)
    assert page.evaluate("[innerWidth, devicePixelRatio]") == [720, 2]
    problems = [f"200 %: {problem}" for problem in sideways(page, ZOOMED["width"])]
    if SCREENSHOTS:
        page.screenshot(path=Path(SCREENSHOTS, f"{name}-zoomed.png"), full_page=True)
    session.send("Emulation.clearDeviceMetricsOverride")
    session.detach()
    return problems


def admin_url(name: str, *args: Any) -> str:
    """Return the path of a page of the jobs' admin."""
    return reverse(f"admin:django_docraptor_renderjob_{name}", args=args)


def completed_job(owner: User) -> RenderJob:
    """Store a completed job with a file."""
    job = create_admin_job(State.COMPLETED, {"owner": owner, "name": "invoice-2026-0412.pdf"})
    job.file.save("invoice.pdf", ContentFile(b"%PDF-1.7"))
    job.save()
    return job


def jobs_of_all_states(owner: User) -> dict[str, RenderJob]:
    """Store a job in each state, with what a page may show of it."""
    options = {"owner": owner, "name": "invoice-2026-0412.pdf"}
    jobs = {state: create_admin_job(state, options) for state in State if state != State.FAILED}
    jobs["failed"] = failed_job(ErrorCode.RENDER_FAILED, errors=MALFORMED, owner=owner)
    jobs["template_error"] = failed_job(ErrorCode.TEMPLATE_ERROR, errors=TRACEBACK, owner=owner)
    return jobs


def test_lists(look: Callable[..., None], staff: User) -> None:
    """The list of jobs with and without jobs, the statistics, the usage and the accounts."""
    look(staff, admin_url("changelist"), "list-empty", ours=ADMIN)
    jobs_of_all_states(staff)
    look(staff, admin_url("changelist"), "list", ours=ADMIN)
    look(staff, admin_url("statistics"), "statistics", ours=ADMIN)
    accounts = reverse("admin:django_docraptor_account_changelist")
    look(staff, accounts, "accounts", ours=ADMIN)
    pause_account("default", reason="The totals are wrong.", creates_only=True, by=staff)
    look(staff, accounts, "accounts-paused", ours=ADMIN)
    look(staff, admin_url("changelist"), "list-paused", ours=ADMIN)
    used_job(document="shop.Invoice", owner=staff)
    look(staff, admin_url("usage"), "usage", ours=ADMIN)
    look(staff, reverse("admin:app_list", args=["django_docraptor"]), "index", ours=ADMIN)


@pytest.mark.parametrize("state", ["working", "completed", "failed", "template_error"])
def test_page_of_a_job(look: Callable[..., None], staff: User, state: str) -> None:
    """What it shows differs most between these states."""
    job = jobs_of_all_states(staff)[state]
    # An unfinished one would refresh itself while it is looked at.
    look(staff, f"{admin_url('change', job.pk)}?pause", f"job-{state}", ours=ADMIN)


def test_questions_about_a_job(look: Callable[..., None], staff: User) -> None:
    """What asks before anything is done, and the HTML as it was sent."""
    jobs = jobs_of_all_states(staff)
    look(staff, admin_url("retry", jobs["failed"].pk), "retry", ours=ADMIN)
    look(staff, admin_url("cancel", jobs["queued"].pk), "cancel", ours=ADMIN)
    look(staff, admin_url("again", jobs["completed"].pk), "again", ours=ADMIN)
    look(staff, admin_url("html", jobs["completed"].pk), "html", ours=ADMIN)
    look(staff, admin_url("retry_all"), "retry-all", ours=ADMIN)


def test_share_links(look: Callable[..., None], staff: User, documents_dir: Path) -> None:
    """For staff, and for who has the link."""
    job = completed_job(staff)
    look(staff, admin_url("share", job.pk), "share", ours=ADMIN)
    link = share(job, by=staff)
    look(staff, admin_url("share_link", job.pk, link.pk), "share-link", ours=ADMIN)
    look(staff, admin_url("share_revoke", job.pk, link.pk), "share-revoke", ours=ADMIN)
    look(staff, admin_url("change", job.pk), "job-shared", ours=ADMIN)
    look(staff, link.get_absolute_url(), "shared")
    revoke(link)
    look(staff, link.get_absolute_url(), "shared-gone", status=404)


@pytest.mark.parametrize("state", ["working", "completed", "failed"])
def test_status_page(look: Callable[..., None], state: str) -> None:
    """As its owner, a customer, sees it."""
    customer = User.objects.create_user("ines", "ines@example.com")
    job = jobs_of_all_states(customer)[state]
    path = reverse("django_docraptor:status", args=[job.pk])
    look(customer, f"{path}?pause=1", f"status-{state}")


def test_my_documents(look: Callable[..., None]) -> None:
    """With and without documents."""
    customer = User.objects.create_user("ines", "ines@example.com")
    look(customer, reverse("django_docraptor:my-documents"), "my-documents-empty")
    jobs_of_all_states(customer)
    look(customer, reverse("django_docraptor:my-documents"), "my-documents")


@pytest.mark.parametrize("language", ["ar", "de"])
def test_other_languages(look: Callable[..., None], settings: Any, language: str) -> None:
    """From right to left, and with long words."""
    settings.LANGUAGE_CODE = language
    staff = User.objects.create_superuser("sam", "sam@example.com")
    jobs = jobs_of_all_states(staff)
    status = reverse("django_docraptor:status", args=[jobs["failed"].pk])
    look(staff, admin_url("changelist"), f"list-{language}", with_axe=False)
    look(staff, admin_url("change", jobs["failed"].pk), f"job-{language}", with_axe=False)
    look(staff, status, f"status-{language}", with_axe=False)
