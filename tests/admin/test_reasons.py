"""Why a job failed, as its page says it first."""

import time
from typing import Any

import pytest
from django.test import Client

from django_docraptor import lifecycle, registry
from django_docraptor.admin.reasons import bill_text, error_location, failure_reason
from django_docraptor.models import RenderJob
from django_docraptor.states import ErrorCode, State
from tests.apps.shop.documents import Broken
from tests.apps.shop.models import Invoice
from tests.support.admin_jobs import HOSTILE, create_admin_job, failed_job, get_text, job_url
from tests.support.jobs import enqueue

pytestmark = pytest.mark.django_db

TRACEBACK = (
    "Traceback (most recent call last):\n"
    '  File "/site/shop/documents.py", line 12, in get_context\n'
    '  File "/venv/lib/python3.11/site-packages/django/x.py", line 7, in y\n'
    "ValueError: no total\n"
)


def test_reason_comes_first(client: Client) -> None:
    """The page begins with the title, DocRaptor's words, what to do and the bill."""
    words = "Document Malformed: line 42: opening and ending tag mismatch: b and td"
    text = get_text(client, job_url(failed_job(errors=words)))
    positions = [
        text.index(each)
        for each in (
            "Why it failed: HTML not well formed",
            f'tabindex="0">{words}</pre>',
            "What happened",
            "a tag is opened and not closed",
            "What to do",
            "The bill",
            "A retry that succeeds is billed: 1 document.",
            '<code class="docraptor-code">render_failed</code>',
            "fieldset",
        )
    ]
    assert positions == sorted(positions)


def test_unfinished_job_has_its_last_error_only(client: Client) -> None:
    """What is still tried has not failed."""
    job = create_admin_job(State.QUEUED, errors="bad gateway")
    text = get_text(client, job_url(job))
    assert "Last error" in text
    assert "bad gateway</pre>" in text
    assert "Why it failed" not in text


@pytest.mark.parametrize(
    ("code", "columns", "expected"),
    [
        (ErrorCode.RENDER_FAILED, {}, "probably not billed. A retry that succeeds is billed"),
        (ErrorCode.RENDER_FAILED, {"test": True}, "A retry is free: it is a test document."),
        (ErrorCode.STORAGE_ERROR, {"download_id": "d"}, "was billed. A retry continues"),
        (ErrorCode.DOCUMENT_GONE, {}, "may have been billed. A retry that succeeds is billed"),
        ("unheard_of", {}, "may have been billed. A retry that succeeds"),
    ],
)
def test_bill_is_told(code: Any, columns: dict[str, Any], expected: str) -> None:
    """What the attempt has cost, and what a retry would."""
    assert expected in bill_text(failed_job(code, **columns))


def test_traceback_is_folded_and_located(client: Client) -> None:
    """Of a traceback the last line is shown, with the project's own line of code."""
    job = failed_job(ErrorCode.TEMPLATE_ERROR, errors=TRACEBACK)
    reason = failure_reason(job)
    assert reason is not None
    assert (reason.words, reason.location) == ("ValueError: no total", "/site/shop/documents.py:12")
    assert reason.traceback == TRACEBACK
    text = get_text(client, job_url(job))
    assert "ValueError: no total</pre>" in text
    assert "Whole traceback</summary>" in text


@pytest.mark.parametrize(
    ("errors", "location"),
    [
        (
            TRACEBACK + "In the template /site/shop/invoice.html, line 3.\n",
            "/site/shop/invoice.html:3",
        ),
        (TRACEBACK.replace("/site/shop/", "/venv/lib/python3.11/"), "x.py:7"),
        ("Traceback (most recent call last):\nValueError", ""),
        ('  File "broken', ""),
        ("", ""),
    ],
)
def test_location_of_an_error(errors: str, location: str) -> None:
    """The template's line is better than Python's, and the project's better than a library's."""
    found = error_location(errors)
    assert found.endswith(location)
    assert bool(found) == bool(location)


def test_template_error_names_file_and_line(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """The worker adds the line of the template to the traceback."""
    monkeypatch.setattr(registry, "_documents", {**registry.all_documents()})
    monkeypatch.setattr(registry, "_origins", {})

    class NoTotal:
        @property
        def total(self) -> int:
            raise RuntimeError("no total")

    class Wrong(Broken):
        template_name = "shop/invoice.html"

        def get_context(self) -> Any:
            return {"source": NoTotal(), "object": NoTotal(), "invoice": NoTotal()}

    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RUNNER": "none"}
    invoice = Invoice.objects.create(number="1")
    job = enqueue(document=Wrong.label, source=invoice, content="")
    lifecycle.submit()
    reason = failure_reason(RenderJob.objects.get(pk=job.pk))
    assert reason is not None
    assert reason.location.endswith("shop/invoice.html:1")
    assert reason.words == "RuntimeError: no total"


def test_job_that_has_not_failed_has_no_reason() -> None:
    """Only a failed job is explained."""
    assert failure_reason(create_admin_job(State.COMPLETED)) is None


def test_hostile_words_are_escaped(client: Client) -> None:
    """Errors and file names are untrusted."""
    errors = f'Traceback (most recent call last):\n  File "{HOSTILE}", line 1, in x\nE: {HOSTILE}\n'
    text = get_text(client, job_url(failed_job(ErrorCode.TEMPLATE_ERROR, errors=errors)))
    assert "<script>alert" not in text


@pytest.mark.parametrize("filler", ["\n", "  \n", "|\n", "| "])
def test_location_is_found_in_time(filler: str) -> None:
    """An error that quotes thousands of blank lines does not keep the page waiting."""
    began = time.process_time()
    assert error_location(f"{TRACEBACK}{filler * 20_000}") == "/site/shop/documents.py:12"
    assert time.process_time() - began < 5
