"""Compare the callback view with a Django view that does one indexed SELECT.

The floor is a view that updates one row and sends one message to Celery: no callback can be noted,
and a worker told, with less. All run through Django's request handling in this process,
alternately, each callback for another document: the cost of the view depends on the document's
state, which is the one that DocRaptor's callbacks find.
"""

import argparse
import statistics
import time
from collections.abc import Callable

from django.db.models import CharField
from django.db.models.functions import Cast
from django.test import Client, override_settings
from django.urls import reverse

from benchmarks.cost.metrics import Metric, Result
from benchmarks.cost.site import Site
from django_docraptor.callback_urls import make_token
from django_docraptor.models import RenderJob
from django_docraptor.shortcuts import JobSpec, enqueue_many
from django_docraptor.states import State
from tests.support.documents import document_html, document_name

TARGET = 2
WARM_UP = 20


def measure(site: Site, options: argparse.Namespace) -> list[Metric]:
    """Compare the medians."""
    site.reset()
    with override_settings(ALLOWED_HOSTS=["*"]):
        times = _times(options.callbacks + WARM_UP)
    ours, baseline, floor = (statistics.median(seconds[WARM_UP:]) for seconds in times)
    return [
        Metric(
            key="callback_view_ratio",
            description="time of the callback view ÷ of a view with one indexed SELECT",
            results=(
                Result(
                    value=ours / baseline,
                    target=TARGET,
                    floor=floor / baseline,
                    ours=f"{1000 * ours:.2f} ms",
                    baseline=f"{1000 * baseline:.2f} ms for one SELECT",
                ),
            ),
            notes=(f"floor: one UPDATE and one message to Celery: {1000 * floor:.2f} ms",),
        )
    ]


def _times(count: int) -> tuple[list[float], list[float], list[float]]:
    """Return the seconds of each callback, and of each request to the other views."""
    jobs = accepted_jobs(count)
    client = Client()
    ours, baseline, floor = [], [], []
    for job in jobs:
        floor.append(_seconds(client.post, f"/one-update/{job.pk}/"))
        token = make_token(job.pk, 1)
        ours.append(_seconds(client.post, reverse("django_docraptor:callback", args=[token])))
        baseline.append(_seconds(client.post, f"/one-select/{job.pk}/"))
    return ours, baseline, floor


def accepted_jobs(count: int) -> list[RenderJob]:
    """Return jobs that DocRaptor has accepted."""
    names = map(document_name, range(count))
    jobs = enqueue_many([JobSpec(name=name, content=document_html(name)) for name in names])
    RenderJob.objects.update(state=State.QUEUED, attempt=1, status_id=Cast("pk", CharField()))
    return jobs


def _seconds(post: Callable[[str], object], url: str) -> float:
    started = time.perf_counter()
    response = post(url)
    seconds = time.perf_counter() - started
    status = getattr(response, "status_code", None)
    if status != 204:
        raise RuntimeError(f"{url} responded with {status}")
    return seconds
