"""Documents a second with renders of 5 s and two worker slots; the workers' time for each.

From the first order to the last stored file. The usual way holds a slot for a whole render.
"""

import argparse
import os
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from django.db.models import Max, Min

from benchmarks.cost.metrics import Case, Figure
from benchmarks.cost.site import Place
from django_docraptor.models import RenderJob
from django_docraptor.shortcuts import JobSpec, enqueue, enqueue_many
from django_docraptor.states import State
from tests.apps.baseline.models import Document
from tests.apps.baseline.tasks import render_document
from tests.support.documents import document_html, document_name
from tests.support.processes import ManagedProcess, wait_until

RENDER = 5.0
SLOTS = 2
# Documents a second that are ordered where none are waiting: many times what the usual way makes.
PACE = 10.0
# Documents a second below which a run is given up as hopeless.
SLOWEST = {"ours": 4.0, "usual": 0.2}
CLOCK = os.sysconf("SC_CLK_TCK")


@dataclass
class Pace:
    """One side's run."""

    documents: int
    seconds: float
    busy: list[tuple[str, float, float]]
    # Seconds of CPU by process, while the run lasted.
    cpu: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Documents a second."""
        return self.documents / self.seconds

    @property
    def busy_ms(self) -> float:
        """Milliseconds that a slot was busy for a document, waiting included."""
        return 1000 * sum(wall for _, wall, _ in self.busy) / self.documents

    @property
    def cpu_ms(self) -> float:
        """Milliseconds of CPU in the tasks, for a document."""
        return 1000 * sum(cpu for _, _, cpu in self.busy) / self.documents

    def by_task(self) -> str:
        """Where the workers' time went, a document: task, runs, milliseconds."""
        runs, spent = Counter[str](), Counter[str]()
        for name, wall, _ in self.busy:
            runs[name] += 1
            spent[name] += wall
        return ", ".join(
            f"{name.removeprefix('django_docraptor.')} {runs[name] / self.documents:.2f} x "
            f"{1000 * spent[name] / runs[name]:.1f} ms"
            for name in sorted(spent, key=spent.__getitem__, reverse=True)
        )

    def by_process(self) -> str:
        """Milliseconds of CPU by process, for a document."""
        return ", ".join(
            f"{name} {1000 * seconds / self.documents:.1f} ms" for name, seconds in self.cpu.items()
        )


def ours(place: Place, count: int, *, callbacks: bool, render: float = RENDER) -> Pace:
    """Order them all at once, and wait for the last file."""
    place.clean(delay=render)
    with place.worker(callbacks=callbacks, slots=SLOTS) as worker:
        before = cpu_seconds(place, worker)
        names = map(document_name, range(count))
        enqueue_many([JobSpec(name=name, content=document_html(name)) for name in names])
        patience = 30 + render + count / SLOWEST["ours"]
        wait_until("all are final", _none_is_active, patience, 0.2)
        after = cpu_seconds(place, worker)
    made = RenderJob.objects.filter(state=State.COMPLETED)
    if made.count() != count:
        raise RuntimeError(f"only {made.count()} of {count} documents were made")
    first, last = made.aggregate(first=Min("created_at"), last=Max("finished_at")).values()
    spent = {name: after[name] - before.get(name, 0.0) for name in after}
    return Pace(count, (last - first).total_seconds(), place.busy(), spent)


def paced(place: Place, count: int) -> Pace:
    """Order them one by one, so slowly that no process waits for a free core."""
    place.clean(delay=RENDER)
    with place.worker(callbacks=True, slots=SLOTS) as worker:
        before = cpu_seconds(place, worker)
        began = time.monotonic()
        for number in range(count):
            name = document_name(number)
            enqueue(name=name, content=document_html(name))
            time.sleep(max(0.0, began + (number + 1) / PACE - time.monotonic()))
        wait_until("all are final", _none_is_active, 30 + RENDER, 0.2)
        seconds = time.monotonic() - began
        after = cpu_seconds(place, worker)
    if (made := RenderJob.objects.filter(state=State.COMPLETED).count()) != count:
        raise RuntimeError(f"only {made} of {count} documents were made")
    spent = {name: after[name] - before.get(name, 0.0) for name in after}
    return Pace(count, seconds, place.busy(), spent)


def _none_is_active() -> bool:
    return not RenderJob.objects.active().exists()


def usual(place: Place, count: int, *, render: float = RENDER) -> Pace:
    """The same with a task that does everything."""
    place.clean(delay=render)
    with place.worker(callbacks=False, slots=SLOTS):
        documents = [Document(name=document_name(number)) for number in range(count)]
        began = _now(place)
        for document in Document.objects.bulk_create(documents):
            render_document.delay(document.pk)
        patience = 30 + render + count / SLOWEST["usual"]
        missing = Document.objects.filter(file="")
        wait_until("all have files", lambda: not missing.exists(), patience, 0.2)
        wait_until("all are noted", lambda: len(place.busy()) == count, patience, 0.2)
    last = max(path.stat().st_mtime for path in (place.scratch / "documents").rglob("*.pdf"))
    return Pace(count, last - began, place.busy())


def _now(place: Place) -> float:
    """The file system's clock."""
    mark = place.scratch / "began"
    mark.touch()
    return mark.stat().st_mtime


def cpu_seconds(place: Place, worker: ManagedProcess) -> dict[str, float]:
    """Seconds of CPU so far, by the site's processes."""
    children = {f"worker child {number + 1}": pid for number, pid in enumerate(worker.children)}
    processes = {"sandbox": place.sandbox.pid, "worker": worker.pid, **children}
    if place.web_pid:
        processes["web"] = place.web_pid
    return {name: _cpu(pid) for name, pid in processes.items()}


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK


def measure(place: Place, options: argparse.Namespace) -> list[Figure]:
    """Both ways, ours with callbacks and by polling alone."""
    other = usual(place, options.usual_documents)
    called = ours(place, options.documents, callbacks=True)
    polled = ours(place, options.documents, callbacks=False)
    runs = {"callbacks": called, "polling": polled}
    calm = paced(place, options.paced_documents)
    works = {f"at_{PACE:g}_a_second": calm, **runs}
    words = f"{other.rate:.2f} documents/s"
    return [
        Figure(
            key="throughput_ratio",
            what=f"documents/s, {RENDER:g} s renders, {SLOTS} worker slots, ours ÷ usual",
            cases=tuple(
                Case(
                    name=name,
                    value=run.rate / other.rate,
                    limit=60,
                    at_least=True,
                    ours=f"{run.rate:.1f} documents/s",
                    usual=words,
                )
                for name, run in runs.items()
            ),
            notes=tuple(
                f"{name}: {run.documents} documents in {run.seconds:.1f} s; "
                f"CPU a document: {run.by_process()}"
                for name, run in runs.items()
            ),
        ),
        Figure(
            key="worker_ms_per_document",
            what="busy worker time per document, ms",
            cases=tuple(
                Case(
                    name=name,
                    value=run.busy_ms,
                    limit=60 if name in runs else None,
                    ours=f"{run.busy_ms:.0f} ms ({run.cpu_ms:.0f} ms CPU)",
                    usual=f"{other.busy_ms:.0f} ms ({other.cpu_ms:.0f} ms CPU)",
                )
                for name, run in works.items()
            ),
            notes=(
                f"of the {called.busy_ms:.0f} ms {called.cpu_ms:.0f} are CPU; the rest waits for "
                "database, sandbox and web server, which share the workers' cores",
                "at a steady pace each document comes alone and shares no claim with others",
                *(f"{name}: {run.by_task()}" for name, run in works.items()),
            ),
        ),
    ]
