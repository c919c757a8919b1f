"""The async functions: they do the same, and do not block the event loop."""

import asyncio
import time
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.shortcuts import redirect
from django.test import Client
from django.urls import reverse
from django.utils import translation

from django_docraptor.asynchronous import (
    acancel,
    aenqueue,
    aenqueue_many,
    arender_now,
    aretry,
)
from django_docraptor.models import RenderJob
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.shortcuts import JobSpec
from django_docraptor.states import State
from django_docraptor.waiting import await_for_job
from tests.apps.shop.admin import InvoiceList
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice
from tests.support.jobs import HTML, enqueue
from tests.support.threads import background_worker

DOCS = Path(__file__).parents[1] / "docs" / "how-to" / "views.md"

pytestmark = pytest.mark.django_db(transaction=True)


async def count_turns(seconds: float) -> int:
    """Return how often the event loop turned in so many seconds, at one turn every 20 ms."""
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        await asyncio.sleep(0.02)
        count += 1
    return count


def test_aenqueue_stores_a_job() -> None:
    """A job is stored, as by enqueue()."""
    job = asyncio.run(aenqueue(name="hello.pdf", content=HTML))
    assert RenderJob.objects.get() == job


def test_aenqueue_validates_its_arguments() -> None:
    """An invalid argument is reported under the field's name."""
    with pytest.raises(ValidationError) as caught:
        asyncio.run(aenqueue(name="", content=HTML))
    assert list(caught.value.message_dict) == ["name"]


def test_document_is_enqueued_from_an_event_loop() -> None:
    """Hooks of the class may query: they run in a thread, with the language that is active."""

    class CountingPDF(InvoicePDF):
        """A document whose name needs a query."""

        def get_name(self) -> str:
            """Return the number of invoices."""
            return f"{Invoice.objects.count()} invoices.pdf"

    async def enqueue_in_german() -> RenderJob:
        invoice = await Invoice.objects.acreate(number="17")
        with translation.override("de"):
            return await CountingPDF.aenqueue(invoice, params={"copy": 2}, priority=3)

    job = asyncio.run(enqueue_in_german())
    stored = RenderJob.objects.select_related("input").get()
    assert (stored.pk, stored.name, stored.priority) == (job.pk, "1 invoices.pdf", 3)
    assert (stored.input.params, stored.input.language) == ({"copy": 2}, "de")


def test_report_is_enqueued_from_an_event_loop() -> None:
    """A report takes a queryset, as by enqueue()."""
    Invoice.objects.create(number="17")
    job = asyncio.run(InvoiceList.aenqueue(Invoice.objects.all(), snapshot=True))
    assert "17" in RenderJob.objects.select_related("input").get(pk=job.pk).input.content


def test_aenqueue_many_keeps_the_order() -> None:
    """The jobs are returned in the order of their specs."""
    specs = [JobSpec(name=f"{number}.pdf", content=HTML) for number in range(3)]
    jobs = asyncio.run(aenqueue_many(specs))
    assert [job.name for job in jobs] == ["0.pdf", "1.pdf", "2.pdf"]


def test_acancel_and_aretry_return_whether_they_acted() -> None:
    """Both functions return whether they changed the job."""
    failed, waiting = enqueue(), enqueue()
    RenderJob.objects.filter(pk=failed.pk).update(state=State.FAILED, due_at=None)
    failed.refresh_from_db()
    assert asyncio.run(aretry(failed)) is True
    assert asyncio.run(acancel(waiting)) is True
    assert asyncio.run(acancel(waiting)) is False
    states = dict(RenderJob.objects.values_list("pk", "state"))
    assert states == {failed.pk: State.PENDING, waiting.pk: State.CANCELLED}


def test_arender_now_does_not_block_the_loop(sandbox: Sandbox) -> None:
    """A document is rendered in one call while the event loop goes on."""
    sandbox.add_fault(Fault(on="create", action="slow", seconds=0.6))
    target = BytesIO()

    async def both() -> int:
        task = asyncio.create_task(arender_now(target, name="hello.pdf", content=HTML))
        count = await count_turns(0.5)
        assert not task.done()
        await task
        return count

    assert asyncio.run(both()) > 10
    assert target.getvalue().startswith(b"%PDF-")


def test_async_wait_returns_the_finished_job(sandbox: Sandbox, documents_dir) -> None:
    """The job is returned when a worker has finished it, and the event loop went on."""
    job = enqueue()

    async def turning() -> tuple[RenderJob, int]:
        task = asyncio.create_task(await_for_job(job, timeout=20))
        count = 0
        while not task.done():
            count += await count_turns(0.1)
        return await task, count

    with background_worker():
        done, count = asyncio.run(turning())
    assert done.state == State.COMPLETED
    assert count > 5


def test_async_wait_times_out_without_touching_the_job(sandbox: Sandbox) -> None:
    """After the timeout an error is raised, and the job was not changed."""
    job = enqueue()
    before = time.monotonic()
    with pytest.raises(TimeoutError):
        asyncio.run(await_for_job(job, timeout=0.3))
    assert 0.3 <= time.monotonic() - before < 5
    assert RenderJob.objects.get().state == State.PENDING
    assert sandbox.calls == []


def test_async_wait_for_several_jobs(sandbox: Sandbox, documents_dir) -> None:
    """Several jobs can be awaited at once."""
    jobs = [enqueue() for _ in range(3)]

    async def all_done() -> list[RenderJob]:
        return await asyncio.gather(*(await_for_job(job, timeout=20) for job in jobs))

    with background_worker():
        done = asyncio.run(all_done())
    assert [job.state for job in done] == [State.COMPLETED] * 3


@pytest.mark.parametrize(
    ("fault", "view"),
    [
        (None, "download"),
        (Fault(on="render", action="fail", reason="Document Malformed: tag."), "status"),
    ],
)
def test_async_view_of_the_docs_works(
    sandbox: Sandbox, documents_dir, client: Client, fault: Fault | None, view: str
) -> None:
    """The documentation's async view redirects to the file, or to a failed job's status page."""
    code = DOCS.read_text().partition("## Async")[2].split("```")[1].removeprefix("python")
    names: dict[str, Any] = {"redirect": redirect, "html": HTML}
    exec(code, names)
    owner = get_user_model().objects.create(username="anna")

    async def user() -> AbstractBaseUser:
        return owner

    if fault:
        sandbox.add_fault(fault)
    with background_worker():
        answer = asyncio.run(names["report"](SimpleNamespace(auser=user)))
    job = RenderJob.objects.get()
    assert answer.url == reverse(f"django_docraptor:{view}", args=[job.pk]), job.errors
    client.force_login(owner)
    page = client.get(answer.url)
    page.close()
    assert page.status_code == 200
