"""The async front door: the same verbs, and an event loop that goes on turning meanwhile."""

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

from django_docraptor.asynchronous import (
    acancel,
    aenqueue,
    aenqueue_many,
    arender_now,
    aretry,
    await_for_job,
)
from django_docraptor.models import RenderJob
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.shortcuts import JobSpec
from django_docraptor.states import State
from tests.support.jobs import HTML, enqueue
from tests.support.threads import background_worker

DOCS = Path(__file__).parents[1] / "docs" / "how-to" / "views.md"

pytestmark = pytest.mark.django_db(transaction=True)


async def turns(seconds: float) -> int:
    """How often the loop turned in so many seconds, at one turn every 20 ms."""
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        await asyncio.sleep(0.02)
        count += 1
    return count


def test_aenqueue() -> None:
    """A job is stored, as by enqueue."""
    job = asyncio.run(aenqueue(name="hello.pdf", content=HTML))
    assert RenderJob.objects.get() == job


def test_aenqueue_refuses() -> None:
    """A wrong order is refused under the field's name."""
    with pytest.raises(ValidationError) as caught:
        asyncio.run(aenqueue(name="", content=HTML))
    assert list(caught.value.message_dict) == ["name"]


def test_aenqueue_many() -> None:
    """A job for each order, in their order."""
    orders = [JobSpec(name=f"{number}.pdf", content=HTML) for number in range(3)]
    jobs = asyncio.run(aenqueue_many(orders))
    assert [job.name for job in jobs] == ["0.pdf", "1.pdf", "2.pdf"]


def test_acancel_and_aretry() -> None:
    """The other verbs say whether they did something."""
    failed, waiting = enqueue(), enqueue()
    RenderJob.objects.filter(pk=failed.pk).update(state=State.FAILED, due_at=None)
    failed.refresh_from_db()
    assert asyncio.run(aretry(failed)) is True
    assert asyncio.run(acancel(waiting)) is True
    assert asyncio.run(acancel(waiting)) is False
    states = dict(RenderJob.objects.values_list("pk", "state"))
    assert states == {failed.pk: State.PENDING, waiting.pk: State.CANCELLED}


def test_arender_now(sandbox: Sandbox) -> None:
    """A whole document in one call, while the loop goes on turning."""
    sandbox.add_fault(Fault(on="create", action="slow", seconds=0.6))
    target = BytesIO()

    async def both() -> int:
        task = asyncio.create_task(arender_now(target, name="hello.pdf", content=HTML))
        count = await turns(0.5)
        assert not task.done()
        await task
        return count

    assert asyncio.run(both()) > 10
    assert target.getvalue().startswith(b"%PDF-")


def test_ajob_done(sandbox: Sandbox, documents_dir) -> None:
    """What a worker makes meanwhile comes back as it then is; the loop went on turning."""
    job = enqueue()

    async def turning() -> tuple[RenderJob, int]:
        task = asyncio.create_task(await_for_job(job, timeout=20))
        count = 0
        while not task.done():
            count += await turns(0.1)
        return await task, count

    with background_worker():
        done, count = asyncio.run(turning())
    assert done.state == State.COMPLETED
    assert count > 5


def test_ajob_done_times_out(sandbox: Sandbox) -> None:
    """Waiting ends in time, and has driven nothing."""
    job = enqueue()
    before = time.monotonic()
    with pytest.raises(TimeoutError):
        asyncio.run(await_for_job(job, timeout=0.3))
    assert 0.3 <= time.monotonic() - before < 5
    assert RenderJob.objects.get().state == State.PENDING
    assert sandbox.calls == []


def test_ajob_done_many(sandbox: Sandbox, documents_dir) -> None:
    """Several jobs are waited for at once."""
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
        (Fault(on="render", action="fail", reason="Over document limit."), "waiting"),
    ],
)
def test_view_of_the_docs(
    sandbox: Sandbox, documents_dir, client: Client, fault: Fault | None, view: str
) -> None:
    """The page's async view, as written, leads to the file; of a failed job, to a page there is."""
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
