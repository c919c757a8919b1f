"""The page of a job: title, IDs, links and the mark of an older document."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from django_docraptor.models import RenderJob
from django_docraptor.states import HELD_UNTIL, State
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice
from tests.support.admin_documents import JOBS
from tests.support.admin_jobs import (
    HOSTILE,
    RETRY,
    VIEW,
    create_admin_job,
    failed_job,
    get_text,
    job_url,
    staff_client,
)

pytestmark = pytest.mark.django_db


def test_title_says_what_and_when(client: Client) -> None:
    """Name, state, when with the exact time and zone, and how long it took."""
    job = failed_job()
    start = timezone.now() - timedelta(minutes=4)
    RenderJob.objects.update(created_at=start, finished_at=start + timedelta(seconds=9.7))
    text = get_text(client, job_url(job))
    title = text[text.index("docraptor-title") :][:900]
    assert "<h2>hello.pdf</h2>" in title
    assert "failed" in title
    assert f"{start + timedelta(seconds=9.7):%H:%M:%S} UTC" in title
    assert "3\xa0minutes ago" in title
    assert "after 9.7 s" in title


@pytest.mark.parametrize("attempt", [0, 2])
def test_ids_can_be_copied(client: Client, attempt: int) -> None:
    """Each ID that there is has a button, hidden without its script, and a label."""
    job = failed_job(
        attempt=attempt, status_id="status-7", options={"idempotency_key": 'key "7" <b>'}
    )
    text = get_text(client, job_url(job))
    for value in (str(job.pk), "status-7", "key &quot;7&quot; &lt;b&gt;"):
        assert f'data-docraptor-copy="{value}"' in text
    assert (f'data-docraptor-copy="{job.tag}"' in text) == bool(attempt)
    assert text.count('<button type="button" class="docraptor-copy"') == 3 + bool(attempt)
    assert text.count(" hidden>Copy</button>") == 3 + bool(attempt)
    assert "django_docraptor/admin-job.js" in text


@pytest.mark.parametrize(
    ("url", "link"),
    [
        ("", ""),
        ("https://log.example/{status_id}", "https://log.example/a%2Fb%26c"),
        ("https://log.example/?tag={tag}", "https://log.example/?tag={hex}%3A2"),
        ("javascript:alert(1)", ""),
        (5, ""),
    ],
)
def test_link_to_docraptors_log(client: Client, settings: Any, url: Any, link: str) -> None:
    """The setting has the URL; what it contains is escaped."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"LOG_URL": url}
    job = failed_job(attempt=2, status_id="a/b&c")
    response = client.get(job_url(job))
    assert response.context["log_url"] == link.format(hex=job.pk.hex)
    assert ("log</a>" in response.content.decode()) == bool(link)


def test_job_that_was_not_sent_has_no_link_to_the_log(client: Client, settings: Any) -> None:
    """Nothing leads to an entry that does not exist."""
    for url in ("https://log.example/{status_id}", "https://log.example/{tag}"):
        settings.DOCRAPTOR = settings.DOCRAPTOR | {"LOG_URL": url}
        job = failed_job(attempt=0, status_id="")
        assert client.get(job_url(job)).context["log_url"] == ""


def test_pdf_can_be_viewed(client: Client) -> None:
    """A PDF opens in the browser; a spreadsheet is only downloaded."""
    pdf = create_admin_job(State.COMPLETED)
    view = f"{reverse('django_docraptor:status', args=[pdf.pk])}?inline=1"
    text = get_text(client, job_url(pdf))
    assert f'href="{view}"' in text
    assert ">View</a>" in text
    sheet = create_admin_job(State.COMPLETED, {"document_type": "xlsx", "name": "a.xlsx"})
    text = get_text(client, job_url(sheet))
    assert ">View</a>" not in text
    assert sheet.get_absolute_url() in text


def test_may_download_decides_about_the_links(client: Client, monkeypatch: Any) -> None:
    """Who may not read the document has neither link."""
    invoice = Invoice.objects.create(number="1")
    job = create_admin_job(State.COMPLETED, {"document": InvoicePDF.label, "source": invoice})
    assert job.get_absolute_url() in get_text(client, job_url(job))
    monkeypatch.setattr(InvoicePDF, "may_download", lambda user, job: False)
    text = get_text(client, job_url(job))
    assert job.get_absolute_url() not in text
    assert "inline=1" not in text


@pytest.mark.urls("tests.apps.shop.urls")
def test_changed_source_is_told(monkeypatch: Any) -> None:
    """Users who may view the source see that it was saved after its document was rendered."""
    invoice = Invoice.objects.create(number=HOSTILE)
    job = create_admin_job(State.COMPLETED, {"document": InvoicePDF.label, "source": invoice})
    monkeypatch.setattr(InvoicePDF, "changed_at_field", "changed_at")
    monkeypatch.setattr(Invoice, "changed_at", timezone.now(), raising=False)
    RenderJob.objects.update(created_at=timezone.now() - timedelta(days=1))
    url = f"{JOBS}{job.pk}/change/"
    text = get_text(staff_client(VIEW, "view_invoice"), url)
    assert "Changed since:" in text
    assert "<script>alert" not in text
    assert "Changed since:" not in get_text(staff_client(VIEW, RETRY), url)


def test_page_has_no_inline_script_or_style(client: Client) -> None:
    """A strict Content-Security-Policy holds."""
    job = failed_job(options={"content": "<p>a</p>"})
    for page in ("change", "retry", "html", "history"):
        text = get_text(client, job_url(job, page))
        assert " style=" not in text
        assert "<style" not in text
        assert " onclick=" not in text
        assert "<script>" not in text


def test_bar_is_drawn_from_the_history(client: Client) -> None:
    """The bar has the parts that were reached, and a cut history has none."""
    job = create_admin_job(State.QUEUED)
    RenderJob.objects.update(created_at=timezone.now() - timedelta(minutes=1))
    text = get_text(client, job_url(job))
    assert '<rect class="docraptor-part-1" x="0" y="0" width="' in text
    assert "Storing: not reached" in text


def test_pages_have_a_constant_number_of_queries(client: Client) -> None:
    """The pages around a job need few queries, whatever its history is."""
    job = failed_job()
    for page, limit in (("retry", 16), ("html", 10), ("html-frame", 8)):
        client.get(job_url(job, page))
        with CaptureQueriesContext(connection) as queries:
            client.get(job_url(job, page))
        assert len(queries) <= limit, page


def test_held_job_says_what_to_do(client: Client) -> None:
    """A held job waits for a person."""
    job = create_admin_job(State.PENDING, held_at=timezone.now(), due_at=HELD_UNTIL)
    text = get_text(client, job_url(job))
    assert "Release it if it is wanted, or cancel it." in text
    assert "Jan. 1, 9000" not in text
