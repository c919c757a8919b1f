"""The callback view against an empty Django view that does one indexed SELECT.

Both through Django's whole request handling in this process, in turns, each callback for another
document; what a view costs depends on the document's state, so they are as DocRaptor finds them.
"""

import argparse
import statistics
import time
from collections.abc import Callable

from django.test import Client, override_settings
from django.urls import reverse

from benchmarks.cost.metrics import Case, Figure
from benchmarks.cost.site import Place
from django_docraptor.callback_urls import make_token
from django_docraptor.models import RenderJob
from django_docraptor.shortcuts import JobSpec, enqueue_many
from django_docraptor.states import State
from tests.support.documents import document_html, document_name

LIMIT = 4
WARM_UP = 20


def measure(place: Place, options: argparse.Namespace) -> list[Figure]:
    """Medians, in turns."""
    place.clean()
    with override_settings(ALLOWED_HOSTS=["*"]):
        both = _timed(options.callbacks + WARM_UP)
    mine, other = (statistics.median(times[WARM_UP:]) for times in both)
    return [
        Figure(
            key="callback_view_ratio",
            what="time of the callback view ÷ of a view with one indexed SELECT",
            cases=(
                Case(
                    value=mine / other,
                    limit=LIMIT,
                    ours=f"{1000 * mine:.2f} ms",
                    usual=f"{1000 * other:.2f} ms for one SELECT",
                ),
            ),
        )
    ]


def _timed(count: int) -> tuple[list[float], list[float]]:
    """Seconds of each callback, and of each comparison."""
    jobs = accepted(count)
    client = Client()
    mine, other = [], []
    for job in jobs:
        token = make_token(job.pk, 1)
        mine.append(_seconds(client.post, reverse("django_docraptor:callback", args=[token])))
        other.append(_seconds(client.post, f"/one-select/{job.pk}/"))
    return mine, other


def accepted(count: int) -> list[RenderJob]:
    """Jobs that DocRaptor is working on."""
    names = map(document_name, range(count))
    jobs = enqueue_many([JobSpec(name=name, content=document_html(name)) for name in names])
    RenderJob.objects.update(state=State.QUEUED, attempt=1, status_id="status")
    return jobs


def _seconds(post: Callable[[str], object], url: str) -> float:
    began = time.perf_counter()
    response = post(url)
    spent = time.perf_counter() - began
    status = getattr(response, "status_code", None)
    if status != 204:
        raise RuntimeError(f"{url} answered {status}")
    return spent
