"""From the end of a render to the received document, in an idle system: one after the other.

The end is the sandbox's own; the document is there when its file is stored and the worker has
received `document_completed`. All clocks are this machine's.
"""

import argparse
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.cost.metrics import Case, Figure
from benchmarks.cost.site import Place
from django_docraptor.shortcuts import enqueue
from tests.apps.baseline.models import Document
from tests.apps.baseline.tasks import render_document
from tests.support.documents import document_html, document_name
from tests.support.processes import wait_until

# Seconds that the renders take, evenly between.
SHORTEST, LONGEST = 0.3, 1.0
PATIENCE = 30.0


@contextmanager
def receiving(place: Place, *, callbacks: bool) -> Iterator[Path]:
    """A worker that notes what it has received, in a file."""
    log = place.scratch / "received"
    log.unlink(missing_ok=True)
    log.touch()
    with place.worker(callbacks=callbacks, BENCH_RECEIVED=str(log)):
        yield log


def received(log: Path) -> dict[str, float]:
    """When each document was received, by its name."""
    lines = [line.split() for line in log.read_text().splitlines()]
    return {name: float(at) for name, at in lines}


def finished(place: Place) -> dict[str, float]:
    """When the sandbox had finished each document, by its name."""
    entries = place.control.ledger.entries
    return {entry.name: entry.finished_at.timestamp() for entry in entries if entry.finished_at}


def ours(place: Place, count: int) -> list[float]:
    """Seconds from the end of each render, with callbacks."""
    place.clean()
    with receiving(place, callbacks=True) as log:
        _one_by_one(
            place,
            count,
            lambda name: enqueue(name=name, content=document_html(name)),
            lambda name: name in received(log),
        )
        ends, there = finished(place), received(log)
    return [there[name] - end for name, end in ends.items()]


def usual(place: Place, count: int) -> list[float]:
    """The same for the task that polls each second; there when the file is saved."""
    place.clean()
    with place.worker(callbacks=False):
        _one_by_one(
            place,
            count,
            lambda name: render_document.delay(Document.objects.create(name=name).pk),
            lambda name: Document.objects.filter(name=name).exclude(file="").exists(),
        )
        ends = finished(place)
    files = dict(Document.objects.values_list("name", "file"))
    folder = place.scratch / "documents"
    return [(folder / files[name]).stat().st_mtime - end for name, end in ends.items()]


def _one_by_one(
    place: Place,
    count: int,
    order: Callable[[str], object],
    is_there: Callable[[str], object],
) -> None:
    for number in range(count):
        share = number / max(count - 1, 1)
        place.control.change_settings(delay=SHORTEST + share * (LONGEST - SHORTEST))
        name = document_name(number)
        order(name)
        wait_until(f"{name} is there", partial(is_there, name), PATIENCE, 0.02)


def measure(place: Place, options: argparse.Namespace) -> list[Figure]:
    """The median, and what one in twenty exceeds."""
    mine = ours(place, options.latency_documents)
    other = usual(place, max(2, options.latency_documents // 4))
    return [
        Figure(
            key=f"callback_latency_ms_p{share}",
            what="end of the render to stored and signalled, idle, with callbacks, ms",
            cases=(
                Case(
                    value=1000 * quantile(mine, share),
                    limit=limit,
                    ours=f"{1000 * quantile(mine, share):.0f} ms",
                    usual=f"{1000 * quantile(other, share):.0f} ms",
                ),
            ),
        )
        for share, limit in ((50, 150), (95, 400))
    ]


def quantile(values: list[float], share: int) -> float:
    """The value that so many percent do not exceed."""
    return statistics.quantiles(values, n=100, method="inclusive")[share - 1]
