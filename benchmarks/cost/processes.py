"""CPU per document with 1, 2, 4 and 8 engine processes, and claims that another process won.

The documents are rendered at once, so that the processes compete for the same rows. The floor is
how much more CPU the same Python code takes if eight processes run it at once on this machine.
"""

import argparse
import multiprocessing
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from benchmarks.cost.cpu import cpu_seconds
from benchmarks.cost.metrics import Metric, Result
from benchmarks.cost.site import Site
from django_docraptor.models import RenderJob
from django_docraptor.shortcuts import JobSpec, enqueue_many
from django_docraptor.states import State
from tests.support.documents import document_html, document_name
from tests.support.processes import wait_until

GROWTH_TARGET, LOST_TARGET = 1.5, 0.05
PROCESSES = (1, 2, 4, 8)
# Documents per second that every machine reaches.
MIN_RATE = 2
LOST_CLAIMS = "lost-claims"
FLOOR_ROUNDS = 1_500_000
MAX_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Run:
    """The cost of a document with a number of processes.

    Args:
        cpu_ms: CPU of the engine's processes.
        claims_lost: rows that a process wanted to claim and another one had.
    """

    cpu_ms: float
    claims_lost: float


def run(site: Site, count: int, processes: int) -> Run:
    """Render documents that are enqueued at once."""
    site.reset(delay=0.0)
    for file in site.scratch.glob(f"{LOST_CLAIMS}.*"):
        file.unlink()
    counted = str(site.scratch / LOST_CLAIMS)
    with site.worker(callbacks=False, slots=processes, BENCH_LOST_CLAIMS_FILE=counted) as worker:
        before = cpu_seconds(site, worker)
        names = map(document_name, range(count))
        enqueue_many([JobSpec(name=name, content=document_html(name)) for name in names])
        wait_until("all jobs are finished", _all_finished, 30 + count / MIN_RATE, 0.2)
        after = cpu_seconds(site, worker)
    if (completed := RenderJob.objects.filter(state=State.COMPLETED).count()) != count:
        raise RuntimeError(f"only {completed} of {count} documents were rendered")
    spent = sum(after[name] - before.get(name, 0.0) for name in after if "child" in name)
    lost = sum(
        int(line)
        for file in site.scratch.glob(f"{LOST_CLAIMS}.*")
        for line in file.read_text().split()
    )
    return Run(1000 * spent / count, lost / count)


def _all_finished() -> bool:
    return not RenderJob.objects.active().exists()


def machine_growth(processes: int = PROCESSES[-1], rounds: int = FLOOR_ROUNDS) -> float:
    """Return how much more CPU the same code takes in several processes at once than in one."""
    together = _cpu_of_processes(processes, [rounds] * processes)
    alone = _cpu_of_processes(1, [rounds] * 3)
    return statistics.mean(together) / statistics.mean(alone)


def _cpu_of_processes(processes: int, rounds: list[int]) -> list[float]:
    """Return the CPU of each task.

    The processes end when there are no more tasks. A signal would run this process's handler in
    them, perhaps while they hold a lock.
    """
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        return list(pool.map(_cpu_of_rounds, rounds, timeout=MAX_SECONDS))


def _cpu_of_rounds(rounds: int) -> float:
    started = time.process_time()
    total = 0
    for number in range(rounds):
        total += number % 7
    return time.process_time() - started


def measure(site: Site, options: argparse.Namespace) -> list[Metric]:
    """Compare one process with eight."""
    runs = {processes: run(site, options.process_documents, processes) for processes in PROCESSES}
    one, most = runs[PROCESSES[0]], runs[PROCESSES[-1]]
    return [
        Metric(
            key="cpu_growth_8",
            description="CPU per document with 8 engine processes ÷ with 1",
            results=(
                Result(
                    value=most.cpu_ms / one.cpu_ms,
                    target=GROWTH_TARGET,
                    floor=machine_growth(),
                    ours=f"{most.cpu_ms:.1f} ms",
                    baseline=f"{one.cpu_ms:.1f} ms with one process",
                ),
            ),
            notes=tuple(
                f"{processes} processes: {found.cpu_ms:.1f} ms of CPU per document, "
                f"{found.claims_lost:.3g} claims lost"
                for processes, found in runs.items()
            ),
        ),
        Metric(
            key="claims_lost",
            description="jobs that one of 8 processes read to claim and another one had, per "
            "document",
            results=(
                Result(
                    value=most.claims_lost,
                    target=LOST_TARGET,
                    floor=0.0,
                    ours=f"{most.claims_lost:.3g} with 8 processes",
                ),
            ),
        ),
    ]
