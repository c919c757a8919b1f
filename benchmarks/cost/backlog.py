"""What a backlog and a long history cost those who have nothing to do with it.

A million finished jobs, and a million pending ones of another account, on PostgreSQL and MariaDB,
each in scratch databases of `benchmarks.growth`.
"""

import argparse
import sys

from benchmarks.cost.metrics import Metric, Result, scaled_target
from benchmarks.cost.site import Site
from benchmarks.growth.backlog import (
    FLOOR,
    LIST,
    PLAIN_LIST,
    QUERIES,
    SEARCHES,
    TURNS,
    Growth,
    measure_backlog,
)
from tests.support.services import service_problem

TARGET = 1.5
# CPU milliseconds of a page that a search without a hit returns, where Django's own list takes the
# second.
MAX_SEARCH_MS, REFERENCE_MS = 50, 8
# A query alone, without a page.
NO_PAGE = "key_prefix"
DATABASES = ("postgresql", "mariadb")
# Jobs from which a ratio means something; a smaller run only shows that everything works.
MEANINGFUL_FROM = 100_000


def measure(_site: Site, options: argparse.Namespace) -> list[Metric]:
    """Compare a large database with a small one, alternately."""
    found = {
        database: measure_backlog(
            database,
            options.backlog,
            turns=TURNS if options.backlog >= MEANINGFUL_FROM else 1,
            report_progress=lambda line: sys.stderr.write(f"     {line}\n"),
        )
        for database in DATABASES
        if not service_problem(database)
    }
    jobs = f"{options.backlog:,} finished and {options.backlog:,} pending jobs of another account"
    queries, searches, milliseconds = [], [], []
    for database, growth in found.items():
        floor, plain = growth[FLOOR].ratio, growth[LIST].large
        django_list = growth[PLAIN_LIST].large
        queries += [_backlog_result(database, name, growth[name], floor) for name in QUERIES]
        for name in SEARCHES:
            searches.append(_search_result(database, name, growth[name], plain))
            milliseconds.append(
                Result(
                    name=f"{database} {name}",
                    value=growth[name].large,
                    target=scaled_target(MAX_SEARCH_MS, django_list, REFERENCE_MS),
                    floor=django_list if name != NO_PAGE else None,
                    ours=f"{growth[name].large:.1f} ms",
                    baseline=f"{growth[name].small:.1f} ms with a thousand jobs of each kind",
                )
            )
    return [
        Metric(
            key="backlog_ratio",
            description=f"CPU, with the database's, with {jobs} ÷ with a thousand of each",
            results=tuple(queries),
            notes=(f"floor: the growth of a look-up by primary key ({FLOOR})",),
        ),
        Metric(
            key="search_ratio",
            description=f"CPU of a search or filter without a hit ÷ of the list, with {jobs}",
            results=tuple(searches),
            notes=("floor: the same in a database with a thousand jobs of each kind",),
        ),
        Metric(
            key="search_ms",
            description="CPU of the same pages, with the database's, ms",
            notes=("floor: Django's own list of these jobs, with plain columns, without a hit",),
            results=tuple(milliseconds),
        ),
    ]


def _backlog_result(database: str, name: str, growth: Growth, floor: float) -> Result:
    return Result(
        name=f"{database} {name}",
        value=growth.ratio,
        target=TARGET,
        floor=floor,
        ours=f"{growth.large:.1f} ms",
        baseline=f"{growth.small:.1f} ms",
    )


def _search_result(database: str, name: str, growth: Growth, plain: float) -> Result:
    return Result(
        name=f"{database} {name}",
        value=growth.large / plain,
        target=TARGET,
        floor=growth.small / plain,
        ours=f"{growth.large:.1f} ms",
        baseline=f"{plain:.1f} ms for the list",
    )
