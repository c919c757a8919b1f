"""Documents per second with renders of 5 s and two worker slots, and the workers' time for each.

Measured from the first enqueued document to the last stored file. The baseline occupies a slot for
the whole render.
"""

import argparse
import time
from collections import Counter
from dataclasses import dataclass, field

from django.db.models import Max, Min

from benchmarks.cost.cpu import cpu_seconds
from benchmarks.cost.lone_floor import least_cpu_ms
from benchmarks.cost.metrics import Metric, Result, scaled_target
from benchmarks.cost.site import Site
from django_docraptor.models import RenderJob
from django_docraptor.shortcuts import JobSpec, enqueue, enqueue_many
from django_docraptor.states import State
from tests.apps.baseline.models import Document
from tests.apps.baseline.tasks import render_document
from tests.support.documents import document_html, document_name
from tests.support.processes import wait_until

RENDER_SECONDS = 5.0
SLOTS = 2
TARGET_RATIO, TARGET_WORKER_MS = 60, 60
# Milliseconds of CPU where the calls and statements alone take the second.
TARGET_LONE_CPU_MS, REFERENCE_MS = 12, 6
# Of a lone document's CPU and its calls and statements alone.
MAX_LONE_DISTANCE = 5.0
# Documents per second that are enqueued one by one: many times the baseline's throughput.
PACED_RATE = 10.0
# Documents per second below which a run is given up.
MIN_RATE = {"ours": 4.0, "baseline": 0.2}


@dataclass
class RunResult:
    """The result of one run.

    Args:
        documents: how many were rendered.
        seconds: how long that took.
        timings: name, seconds and seconds of CPU of each task.
        cpu: seconds of CPU during the run, by process.
    """

    documents: int
    seconds: float
    timings: list[tuple[str, float, float]]
    cpu: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Documents per second."""
        return self.documents / self.seconds

    @property
    def busy_ms(self) -> float:
        """Milliseconds per document that a worker slot was occupied, including waits."""
        return 1000 * sum(wall for _, wall, _ in self.timings) / self.documents

    @property
    def cpu_ms(self) -> float:
        """Milliseconds of CPU per document in the tasks."""
        return 1000 * sum(cpu for _, _, cpu in self.timings) / self.documents

    def time_by_task(self) -> str:
        """Return each task's runs per document and its mean duration, in words."""
        runs, seconds = Counter[str](), Counter[str]()
        for name, wall, _ in self.timings:
            runs[name] += 1
            seconds[name] += wall
        return ", ".join(
            f"{name.removeprefix('django_docraptor.')} {runs[name] / self.documents:.2f} x "
            f"{1000 * seconds[name] / runs[name]:.1f} ms"
            for name in sorted(seconds, key=seconds.__getitem__, reverse=True)
        )

    def cpu_by_process(self) -> str:
        """Return the milliseconds of CPU per document by process, in words."""
        return ", ".join(
            f"{name} {1000 * seconds / self.documents:.1f} ms" for name, seconds in self.cpu.items()
        )


def run_ours(
    site: Site, count: int, *, callbacks: bool, render: float = RENDER_SECONDS
) -> RunResult:
    """Enqueue all documents at once and wait for the last file."""
    site.reset(delay=render)
    with site.worker(callbacks=callbacks, slots=SLOTS) as worker:
        before = cpu_seconds(site, worker)
        names = map(document_name, range(count))
        enqueue_many([JobSpec(name=name, content=document_html(name)) for name in names])
        timeout = 30 + render + count / MIN_RATE["ours"]
        wait_until("all jobs are finished", _all_finished, timeout, 0.2)
        after = cpu_seconds(site, worker)
    completed = RenderJob.objects.filter(state=State.COMPLETED)
    if completed.count() != count:
        raise RuntimeError(f"only {completed.count()} of {count} documents were rendered")
    first, last = completed.aggregate(first=Min("created_at"), last=Max("finished_at")).values()
    return RunResult(
        count, (last - first).total_seconds(), site.task_timings(), _increase(before, after)
    )


def run_paced(site: Site, count: int) -> RunResult:
    """Enqueue documents one by one, slowly enough that no process waits for a CPU."""
    site.reset(delay=RENDER_SECONDS)
    with site.worker(callbacks=True, slots=SLOTS) as worker:
        before = cpu_seconds(site, worker)
        started = time.monotonic()
        for number in range(count):
            name = document_name(number)
            enqueue(name=name, content=document_html(name))
            time.sleep(max(0.0, started + (number + 1) / PACED_RATE - time.monotonic()))
        wait_until("all jobs are finished", _all_finished, 30 + RENDER_SECONDS, 0.2)
        seconds = time.monotonic() - started
        after = cpu_seconds(site, worker)
    if (completed := RenderJob.objects.filter(state=State.COMPLETED).count()) != count:
        raise RuntimeError(f"only {completed} of {count} documents were rendered")
    return RunResult(count, seconds, site.task_timings(), _increase(before, after))


def _all_finished() -> bool:
    return not RenderJob.objects.active().exists()


def run_baseline(site: Site, count: int, *, render: float = RENDER_SECONDS) -> RunResult:
    """Enqueue all documents of the baseline at once and wait for the last file."""
    site.reset(delay=render)
    with site.worker(callbacks=False, slots=SLOTS):
        documents = [Document(name=document_name(number)) for number in range(count)]
        started = _file_system_time(site)
        for document in Document.objects.bulk_create(documents):
            render_document.delay(document.pk)
        timeout = 30 + render + count / MIN_RATE["baseline"]
        missing = Document.objects.filter(file="")
        wait_until("all documents have files", lambda: not missing.exists(), timeout, 0.2)
        wait_until("all tasks have ended", lambda: len(site.task_timings()) == count, timeout, 0.2)
    last = max(path.stat().st_mtime for path in (site.scratch / "documents").rglob("*.pdf"))
    return RunResult(count, last - started, site.task_timings())


def _file_system_time(site: Site) -> float:
    """Return the present time by the clock of the file system."""
    mark = site.scratch / "started"
    mark.touch()
    return mark.stat().st_mtime


def _increase(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    return {name: after[name] - before.get(name, 0.0) for name in after}


def measure(site: Site, options: argparse.Namespace) -> list[Metric]:
    """Run both sides, ours with callbacks and by polling alone."""
    baseline = run_baseline(site, options.baseline_documents)
    runs = {
        "callbacks": run_ours(site, options.documents, callbacks=True),
        "polling": run_ours(site, options.documents, callbacks=False),
    }
    paced = run_paced(site, options.paced_documents)
    floor = least_cpu_ms(site, PACED_RATE)
    return [_throughput(runs, baseline), _worker_time(runs, paced, baseline, *floor)]


def _throughput(runs: dict[str, RunResult], baseline: RunResult) -> Metric:
    return Metric(
        key="throughput_ratio",
        description=f"documents/s, {RENDER_SECONDS:g} s renders, {SLOTS} worker slots, "
        "ours ÷ baseline",
        results=tuple(
            Result(
                name=name,
                value=run.rate / baseline.rate,
                target=TARGET_RATIO,
                higher_is_better=True,
                ours=f"{run.rate:.1f} documents/s",
                baseline=f"{baseline.rate:.2f} documents/s",
            )
            for name, run in runs.items()
        ),
        notes=tuple(
            f"{name}: {run.documents} documents in {run.seconds:.1f} s; "
            f"CPU per document: {run.cpu_by_process()}"
            for name, run in runs.items()
        ),
    )


def _worker_time(
    runs: dict[str, RunResult],
    paced: RunResult,
    baseline: RunResult,
    floor: float,
    statements: int,
) -> Metric:
    all_runs = {"paced": paced, **runs}
    called = runs["callbacks"]
    results = (
        Result(
            name=name,
            value=run.busy_ms,
            target=TARGET_WORKER_MS if name in runs else None,
            ours=f"{run.busy_ms:.0f} ms ({run.cpu_ms:.0f} ms CPU)",
            baseline=f"{baseline.busy_ms:.0f} ms ({baseline.cpu_ms:.0f} ms CPU)",
        )
        for name, run in all_runs.items()
    )
    lone = Result(
        name="lone_cpu",
        value=paced.cpu_ms,
        target=scaled_target(TARGET_LONE_CPU_MS, floor, REFERENCE_MS),
        floor=floor,
        max_distance=MAX_LONE_DISTANCE,
        ours=f"{paced.cpu_ms:.1f} ms of CPU, paced",
        baseline=f"{baseline.cpu_ms:.1f} ms of CPU",
    )
    return Metric(
        key="worker_ms_per_document",
        description="busy worker time per document, ms",
        results=(*results, lone),
        notes=(
            f"of the {called.busy_ms:.0f} ms {called.cpu_ms:.0f} are CPU; the rest waits for "
            "database, sandbox and web server, which share the workers' cores",
            f"floor: three calls by requests, {statements} statements by Django's cursor, and a "
            f"file: {floor:.1f} ms",
            f"paced: {PACED_RATE:g} documents per second, so each comes alone and shares no claim "
            "with others",
            *(f"{name}: {run.time_by_task()}" for name, run in all_runs.items()),
        ),
    )
