"""The HTML of a job as it was sent, in a sandboxed frame."""

from typing import Any

import pytest
from django.test import Client

from django_docraptor.models import RenderInput
from django_docraptor.states import State
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice
from tests.support.admin_jobs import (
    HOSTILE,
    RETRY,
    create_admin_job,
    get_text,
    job_url,
    staff_client,
)

pytestmark = pytest.mark.django_db


def test_html_is_in_a_sandboxed_frame(client: Client) -> None:
    """The page has a frame without any permission, and no HTML of the document."""
    job = create_admin_job(State.COMPLETED, {"content": HOSTILE})
    text = get_text(client, job_url(job, "html"))
    assert f'src="{job_url(job, "html-frame")}" sandbox ' in text
    assert HOSTILE not in text
    assert f'href="{job_url(job, "html")}"' in get_text(client, job_url(job))


def test_frame_has_its_own_policy(client: Client) -> None:
    """The HTML is as it was sent; it runs nothing, and only this site may frame it."""
    job = create_admin_job(State.COMPLETED, {"content": HOSTILE})
    response = client.get(job_url(job, "html-frame"))
    assert response.content.decode() == HOSTILE
    policy = response["Content-Security-Policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    assert "frame-ancestors 'self'" in policy
    assert "script" not in policy
    assert "http" not in policy
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["X-Frame-Options"] == "SAMEORIGIN"
    assert "no-store" in response["Cache-Control"]


def test_other_sites_are_contacted_on_request_only(client: Client) -> None:
    """They would learn who looks at the document."""
    job = create_admin_job(State.COMPLETED, {"content": "<p>a</p>"})
    assert '<a href="?external">' in get_text(client, job_url(job, "html"))
    text = get_text(client, job_url(job, "html"), {"external": ""})
    assert f'src="{job_url(job, "html-frame")}?external" sandbox ' in text
    policy = client.get(job_url(job, "html-frame"), {"external": ""})["Content-Security-Policy"]
    assert policy.startswith("sandbox; default-src 'none'; img-src https:")
    assert "script" not in policy


@pytest.mark.parametrize("page", ["html", "html-frame"])
def test_html_needs_permission(client: Client, monkeypatch: Any, page: str) -> None:
    """Neither the permission to retry, nor that to view jobs, is enough if the document says no."""
    invoice = Invoice.objects.create(number="1")
    options = {"document": InvoicePDF.label, "source": invoice, "content": "<p>canary</p>"}
    job = create_admin_job(State.COMPLETED, options)
    assert staff_client(RETRY).get(job_url(job, page)).status_code == 403
    assert Client().get(job_url(job, page)).status_code == 302
    monkeypatch.setattr(InvoicePDF, "may_download", lambda user, job: False)
    assert client.get(job_url(job, page)).status_code == 403
    assert job_url(job, "html") not in get_text(client, job_url(job))


@pytest.mark.parametrize("page", ["html", "html-frame"])
def test_unknown_job_is_404(client: Client, page: str) -> None:
    """There is no such job."""
    job = create_admin_job()
    url = job_url(job, page)
    job.delete()
    assert client.get(url).status_code == 404


def test_missing_html_is_explained(client: Client) -> None:
    """What is rendered by a worker, fetched by DocRaptor, or deleted, is said."""
    invoice = Invoice.objects.create(number="1")
    worker = create_admin_job(
        options={"document": InvoicePDF.label, "source": invoice, "content": ""}
    )
    assert "snapshot=True" in get_text(client, job_url(worker, "html"))
    page = create_admin_job(options={"content": "", "url": "https://shop.example/"})
    assert "DocRaptor fetches the HTML" in get_text(client, job_url(page, "html"))
    RenderInput.objects.all().delete()
    text = get_text(client, job_url(worker, "html"))
    assert "The input is no longer stored." in text
    assert "<iframe" not in text
    assert client.get(job_url(worker, "html-frame")).status_code == 404
