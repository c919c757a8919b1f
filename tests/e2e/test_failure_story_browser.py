"""A document fails: the customer is told, support reads why and retries, the customer downloads."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from django.contrib.auth.models import User
from django.core.files.storage import FileSystemStorage
from django.urls import reverse
from playwright.sync_api import Browser, Page, expect

from django_docraptor.models import RenderJob
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.states import State
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice
from tests.support.browser import log_in, note_complaints
from tests.support.threads import background_worker

pytestmark = [pytest.mark.services("chromium"), pytest.mark.django_db(transaction=True)]

# Breaks something for the next document, and returns what mends it.
Break = Callable[[Sandbox, pytest.MonkeyPatch], Callable[[], object]]


def break_html(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Callable[[], object]:
    """DocRaptor cannot read the HTML."""
    reason = "Document Malformed: line 42: opening and ending tag mismatch: b and td"
    sandbox.add_fault(Fault(on="render", action="fail", reason=reason, times=1))
    return sandbox.clear_faults


def break_template(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Callable[[], object]:
    """The document's data cannot be computed."""

    def get_context(self: InvoicePDF) -> NoReturn:
        raise ValueError("no rate for VAT")

    monkeypatch.setattr(InvoicePDF, "get_context", get_context)
    return lambda: monkeypatch.setattr(InvoicePDF, "get_context", lambda self: {})


def break_storage(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Callable[[], object]:
    """The storage takes no file, for longer than the engine is patient."""
    save = FileSystemStorage._save

    def refuse(*args: Any) -> NoReturn:
        raise PermissionError("no write access")

    monkeypatch.setattr(FileSystemStorage, "_save", refuse)
    return lambda: monkeypatch.setattr(FileSystemStorage, "_save", save)


@pytest.fixture(name="open_page")
def _open_page(browser: Browser, live_server: Any) -> Callable[..., Page]:
    """A function that opens a page for a user, and notes what the browser complains about."""

    def open_page(user: User, path: str, complaints: list[str]) -> Page:
        context = browser.new_context()
        log_in(context, live_server.url, user)
        page = context.new_page()
        page.set_default_timeout(30_000)
        expect.set_options(timeout=30_000)
        note_complaints(page, complaints)
        page.goto(live_server.url + path)
        return page

    return open_page


@pytest.mark.parametrize(
    ("break_it", "customer_reads", "title", "remedy", "free"),
    [
        (break_html, "must be corrected", "HTML not well formed", "Correct the template", False),
        pytest.param(
            *(break_template, "must be corrected", "error in the template", "Correct the", False),
            marks=pytest.mark.weekly,  # as with HTML, a person corrects the template
        ),
        (break_storage, "went wrong on the way", "file not stored", "Correct the storage", True),
    ],
)
def test_failure_is_understood_and_mended(
    open_page: Callable[..., Page],
    sandbox: Sandbox,
    documents_dir: Path,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    break_it: Break,
    customer_reads: str,
    title: str,
    remedy: str,
    free: bool,
) -> None:
    """From the invoice to the file, through each kind of failure, under a strict policy."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RETRY_FOR": 1, "TEST_MODE": False}
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "tests.support.browser.strict_policy"]
    customer = User.objects.create_user("ines", "ines@example.com")
    support = User.objects.create_superuser("sam", "sam@example.com")
    complaints: list[str] = []
    mend = break_it(sandbox, monkeypatch)

    job = InvoicePDF.enqueue(Invoice.objects.create(number="2026-0412", total=72), owner=customer)
    status = reverse("django_docraptor:status", args=[job.pk])
    page = open_page(customer, status, complaints)
    expect(page.get_by_role("main")).to_contain_text("Your document is being generated")
    with background_worker():
        expect(page.get_by_role("main")).to_contain_text("could not be generated")
    expect(page.get_by_role("main")).to_contain_text(customer_reads)
    expect(page.get_by_role("main")).to_contain_text(job.reference)
    assert (page.get_by_role("button", name="Try again").count() == 1) is free

    admin = open_page(support, "/admin/django_docraptor/renderjob/", complaints)
    admin.locator("#searchbar").fill(job.reference)
    admin.keyboard.press("Enter")
    expect(admin.locator("#result_list")).to_contain_text(title)
    admin.get_by_role("link", name=job.name).press("Enter")  # by the keyboard alone
    expect(admin.get_by_role("heading", name=f"Why it failed: {title}")).to_be_visible()
    expect(admin.get_by_text(remedy).first).to_be_visible()
    mend()
    admin.get_by_role("link", name="retry…").first.press("Enter")
    expect(admin.get_by_text("Not billed" if free else "billed as a new one").first).to_be_visible()
    admin.get_by_role("button", name="Yes, retry").press("Enter")
    expect(admin.get_by_text("1 job will be retried.")).to_be_visible()

    page.goto(page.url)
    with background_worker(), page.expect_download() as download:
        pass
    assert Path(download.value.path()).read_bytes().startswith(b"%PDF-")
    expect(page.get_by_role("main")).to_contain_text("Your document is ready")
    assert RenderJob.objects.get().state == State.COMPLETED
    assert complaints == []
