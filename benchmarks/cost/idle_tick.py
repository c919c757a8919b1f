"""The cost of the engine with nothing to do: queries per tick."""

import argparse
from collections.abc import Callable

from django.db import connections, router
from django.test.utils import CaptureQueriesContext

from benchmarks.cost.metrics import Metric, Result
from benchmarks.cost.site import Site
from django_docraptor import tasks
from django_docraptor.models import RenderJob

TARGET = 1
TICKS = 5


def queries(step: Callable[[], object]) -> list[str]:
    """Return the statements of a step, including BEGIN and COMMIT."""
    with CaptureQueriesContext(connections[router.db_for_write(RenderJob)]) as captured:
        step()
    return [query["sql"] for query in captured.captured_queries]


def measure(site: Site, options: argparse.Namespace) -> list[Metric]:
    """Count the queries of each tick after the first, which may insert a row."""
    site.reset()
    tasks.tick()
    ticks = [queries(tasks.tick) for _ in range(TICKS)]
    most = max(map(len, ticks))
    return [
        Metric(
            key="queries_per_idle_tick",
            description="queries per tick with nothing to do",
            results=(
                Result(
                    value=most,
                    target=TARGET,
                    ours=f"{most} queries",
                    baseline="none, but lost jobs are never found",
                ),
            ),
            notes=tuple(sql[:110] for sql in ticks[-1]) if len(ticks[-1]) > TARGET else (),
        )
    ]
