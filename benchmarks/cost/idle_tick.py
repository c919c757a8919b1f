"""What the engine costs with nothing to do: queries a tick."""

import argparse
from collections.abc import Callable

from django.db import connections, router
from django.test.utils import CaptureQueriesContext

from benchmarks.cost.metrics import Case, Figure
from benchmarks.cost.site import Place
from django_docraptor import tasks
from django_docraptor.models import RenderJob

LIMIT = 1
TICKS = 5


def queries(step: Callable[[], object]) -> list[str]:
    """The statements of a step, transactions' frames included."""
    with CaptureQueriesContext(connections[router.db_for_write(RenderJob)]) as captured:
        step()
    return [query["sql"] for query in captured.captured_queries]


def measure(place: Place, options: argparse.Namespace) -> list[Figure]:
    """A tick after the first, which may make a row."""
    place.clean()
    tasks.tick()
    ticks = [queries(tasks.tick) for _ in range(TICKS)]
    return [
        Figure(
            key="idle_cost",
            what="queries per tick with nothing to do",
            cases=(
                Case(
                    value=max(map(len, ticks)),
                    limit=LIMIT,
                    ours=f"{max(map(len, ticks))} queries",
                    usual="none, and nothing is found again",
                ),
            ),
            notes=tuple(sql[:110] for sql in ticks[-1]) if len(ticks[-1]) > LIMIT else (),
        )
    ]
