"""The time from the end of a render to the received document, in an idle system.

The end is the one in the sandbox's ledger. A document is received when its file is stored and the
worker has received `document_completed`. All times are of this machine's clock.
"""

import argparse
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.cost.metrics import Metric, Result
from benchmarks.cost.site import Site
from django_docraptor.shortcuts import enqueue
from tests.apps.baseline.models import Document
from tests.apps.baseline.tasks import render_document
from tests.support.documents import document_html, document_name
from tests.support.processes import wait_until

# Render times are spread evenly between these, in seconds.
SHORTEST, LONGEST = 0.3, 1.0
TIMEOUT_SECONDS = 30.0


@contextmanager
def recording_worker(site: Site, *, callbacks: bool) -> Iterator[Path]:
    """Run a worker that records received documents; yield the path of its file."""
    log = site.scratch / "received"
    log.unlink(missing_ok=True)
    log.touch()
    with site.worker(callbacks=callbacks, BENCH_RECEIVED_FILE=str(log)):
        yield log


def received_times(log: Path) -> dict[str, float]:
    """Return when each document was received, by its name."""
    lines = [line.split() for line in log.read_text().splitlines()]
    return {name: float(at) for name, at in lines}


def finished_times(site: Site) -> dict[str, float]:
    """Return when the sandbox finished each document, by its name."""
    entries = site.control.ledger.entries
    return {entry.name: entry.finished_at.timestamp() for entry in entries if entry.finished_at}


def run_ours(site: Site, count: int) -> list[float]:
    """Return the seconds from the end of each render, with callbacks."""
    site.reset()
    with recording_worker(site, callbacks=True) as log:
        _run_one_by_one(
            site,
            count,
            lambda name: enqueue(name=name, content=document_html(name)),
            lambda name: name in received_times(log),
        )
        finished, received = finished_times(site), received_times(log)
    return [received[name] - end for name, end in finished.items()]


def run_baseline(site: Site, count: int) -> list[float]:
    """Return the seconds from the end of each render to the stored file of the baseline."""
    site.reset()
    with site.worker(callbacks=False):
        _run_one_by_one(
            site,
            count,
            lambda name: render_document.delay(Document.objects.create(name=name).pk),
            lambda name: Document.objects.filter(name=name).exclude(file="").exists(),
        )
        finished = finished_times(site)
    files = dict(Document.objects.values_list("name", "file"))
    folder = site.scratch / "documents"
    return [(folder / files[name]).stat().st_mtime - end for name, end in finished.items()]


def _run_one_by_one(
    site: Site,
    count: int,
    enqueue: Callable[[str], object],
    is_stored: Callable[[str], object],
) -> None:
    for number in range(count):
        share = number / max(count - 1, 1)
        site.control.change_settings(delay=SHORTEST + share * (LONGEST - SHORTEST))
        name = document_name(number)
        enqueue(name)
        wait_until(f"{name} is stored", partial(is_stored, name), TIMEOUT_SECONDS, 0.02)


def measure(site: Site, options: argparse.Namespace) -> list[Metric]:
    """Return the median and the 95th percentile."""
    ours = run_ours(site, options.latency_documents)
    baseline = run_baseline(site, max(2, options.latency_documents // 4))
    return [
        Metric(
            key=f"callback_latency_ms_p{percent}",
            description="end of the render to stored and signalled, idle, with callbacks, ms",
            results=(
                Result(
                    value=1000 * percentile(ours, percent),
                    target=target,
                    ours=f"{1000 * percentile(ours, percent):.0f} ms",
                    baseline=f"{1000 * percentile(baseline, percent):.0f} ms",
                ),
            ),
        )
        for percent, target in ((50, 150), (95, 400))
    ]


def percentile(values: list[float], percent: int) -> float:
    """Return the value that so many percent of the values do not exceed."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
