"""What the app adds to the start of a process: ``manage.py check`` with and without it.

Seconds of CPU, in turns, with compiled modules as an installation has them; every side has Celery
and requests, as a project that renders has.
"""

import argparse
import os
import re
import resource
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cost.metrics import Case, Figure
from benchmarks.cost.site import Place

SITE = """
import sys
from importlib import import_module
from django.conf import settings
apps, others = sys.argv[1:2], sys.argv[2:]
settings.configure(
    SECRET_KEY="startup",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", *apps],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    DOCRAPTOR={"API_KEY": "startup"},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
import celery, requests
celery.Celery("startup").conf.broker_url, requests.Session
import django
django.setup()
for name in others:
    import_module(name)
from django.core.management import call_command
call_command("check", verbosity=0)
"""
APP = ("django_docraptor",)
IMPORTED = re.compile(
    r"import time: +(?P<microseconds>\d+) \| +\d+ \| +django_docraptor\.(?P<part>\w+)"
)
# Of the environment, what would make a start another one than an installation's.
UNWANTED = {"DJANGO_SETTINGS_MODULE", "PYTHONDONTWRITEBYTECODE"}


def start(compiled: Path, *modules: str, options: Sequence[str] = ()) -> str:
    """One start with an app and what else its project imports; what it says.

    Args:
        compiled: where compiled modules are kept.
        options: for Python.
    """
    kept = {name: value for name, value in os.environ.items() if name not in UNWANTED}
    return subprocess.run(  # noqa: S603 - our own script
        [sys.executable, *options, "-c", SITE, *modules],
        check=True,
        timeout=60,
        capture_output=True,
        text=True,
        env=kept | {"PYTHONPYCACHEPREFIX": str(compiled)},
    ).stderr


def cpu(compiled: Path, *modules: str) -> float:
    """Seconds of CPU of one start."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start(compiled, *modules)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def profile(compiled: Path) -> str:
    """Which of the app's parts take that time, as ``-X importtime`` sees it."""
    spent: Counter[str] = Counter()
    for line in start(compiled, *APP, options=("-X", "importtime")).splitlines():
        if found := IMPORTED.match(line):
            spent[found["part"]] += int(found["microseconds"])
    largest = ", ".join(f"{part} {spent[part] / 1000:.1f} ms" for part, _ in spent.most_common(5))
    return f"app: {largest} of {spent.total() / 1000:.1f} ms by -X importtime"


def measure(place: Place, options: argparse.Namespace) -> list[Figure]:
    """Medians of some starts, in turns."""
    compiled = place.scratch / "compiled"
    sides = {"": (), "app": APP, "app_and_documents": (*APP, "django_docraptor.documents")}
    spent: dict[str, list[float]] = {name: [] for name in sides}
    cpu(compiled, *sides["app_and_documents"])
    for _ in range(options.starts):
        for name, modules in sides.items():
            spent[name].append(1000 * cpu(compiled, *modules))
    middle = {name: statistics.median(found) for name, found in spent.items()}
    low, _, high = statistics.quantiles(spent[""], n=4)
    without = f"{middle['']:.0f} ms without, middle half {low:.0f} to {high:.0f} ms"
    return [
        Figure(
            key="startup_ms",
            what="CPU that the app adds to `manage.py check`, and a project's documents.py, ms",
            cases=tuple(
                Case(
                    name=name,
                    value=middle[name] - middle[""],
                    ours=f"{middle[name]:.0f} ms with it",
                    usual=without,
                )
                for name in sides
                if name
            ),
            notes=(profile(compiled),),
        )
    ]
