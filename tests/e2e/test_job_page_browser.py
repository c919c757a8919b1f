"""A job's page and its confirmations in a real browser: they fit, and so does their picture."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import Page, expect

from django_docraptor.models import RenderEvent, RenderJob
from django_docraptor.states import ErrorCode, EventKind, State
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice
from tests.e2e.test_admin_browser import browser_page, log_in
from tests.support.jobs import enqueue

pytestmark = [pytest.mark.services("chromium"), pytest.mark.django_db(transaction=True)]
__all__ = ["browser_page"]
SCREENSHOTS = os.environ.get("DOCRAPTOR_SCREENSHOTS", "")
WORDS = "Document Malformed: line 42: opening and ending tag mismatch: b and td"
BEFORE = "\n".join(f"<td>{number}</td>" for number in range(1, 60))
AFTER = BEFORE.replace("<td>42</td>", "<td><b>42</b></td>").replace("<td>46</td>", "<td>60.00</td>")
# Kind, states, attempt, seconds, message and details of the events.
STORY: list[tuple[EventKind, str, str, int, float, str, dict[str, Any]]] = [
    (EventKind.ENQUEUED, "", State.PENDING, 0, 0, "", {}),
    (EventKind.SUBMITTING, State.PENDING, State.SUBMITTING, 1, 0.7, "", {}),
    (
        EventKind.NOT_ACCEPTED,
        State.SUBMITTING,
        State.PENDING,
        1,
        1,
        "DocRaptor refused the request: too many simultaneous requests (HTTP 403).",
        {"status": 403},
    ),
    (EventKind.SUBMITTING, State.PENDING, State.SUBMITTING, 2, 3.1, "", {}),
    (
        EventKind.ACCEPTED,
        State.SUBMITTING,
        State.QUEUED,
        2,
        3.6,
        "",
        {"status_id": "5f0c8e2b-91d4", "render_seconds": 0.6},
    ),
    (EventKind.WORKING, State.QUEUED, State.WORKING, 2, 4.3, "", {}),
    (EventKind.FAILED, State.WORKING, State.FAILED, 2, 9.7, WORDS, {"reason": "render_failed"}),
]


@pytest.fixture
def job(settings: Any, monkeypatch: pytest.MonkeyPatch) -> RenderJob:
    """An invoice whose HTML was refused, and which was corrected since."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RUNNER": "none"}
    monkeypatch.setattr(InvoicePDF, "render", lambda self: AFTER)
    invoice = Invoice.objects.create(number="2026-0412", total=72)
    job = enqueue(
        name="invoice-2026-0412.pdf",
        test=False,
        content=BEFORE,
        document=InvoicePDF.label,
        source=invoice,
        owner=User.objects.create_user("ines"),
        idempotency_key="invoice-2026-0412",
    )
    start = timezone.now() - timedelta(minutes=4, seconds=12)
    RenderJob.objects.update(
        state=State.FAILED,
        due_at=None,
        attempt=2,
        status_id="5f0c8e2b-91d4",
        error_code=ErrorCode.RENDER_FAILED,
        errors=WORDS,
        created_at=start,
        sent_at=start + timedelta(seconds=3),
        submitted_at=start + timedelta(seconds=3.6),
        finished_at=start + timedelta(seconds=9.7),
    )
    job.events.all().delete()
    RenderEvent.objects.bulk_create(
        RenderEvent(
            job=job,
            kind=kind,
            from_state=from_state,
            to_state=to_state,
            attempt=attempt,
            at=start + timedelta(seconds=seconds),
            message=message,
            detail=detail,
        )
        for kind, from_state, to_state, attempt, seconds, message, detail in STORY
    )
    return job


def test_pages_fit_every_width(
    live_server: Any, browser_page: Page, job: RenderJob, tmp_path: Path
) -> None:
    """Nothing scrolls sideways from 320 to 1440 px, light or dark; pictures are made of it."""
    page, folder = browser_page, Path(SCREENSHOTS or tmp_path)
    log_in(page, live_server.url)
    base = f"{live_server.url}/admin/django_docraptor/renderjob/{job.pk}"
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto(f"{base}/change/")
    page.screenshot(path=folder / "admin-job.png", full_page=True)
    page.goto(f"{base}/retry/")
    expect(page.get_by_role("heading", name="What has changed: 2 lines")).to_be_visible()
    page.screenshot(path=folder / "admin-retry.png")
    for name in ("change", "retry", "again", "html"):
        page.goto(f"{base}/{name}/")
        for details in page.locator("details").all():
            details.evaluate("each => each.open = true")
        for width in (320, 360, 768, 1280, 1440):
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                page.set_viewport_size({"width": width, "height": 900})
                needed = page.evaluate("document.documentElement.scrollWidth")
                assert needed <= width, (name, width, scheme)
