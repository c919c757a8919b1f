"""The time that the app adds to the start of a process: ``manage.py check`` with and without it.

Seconds of CPU, measured alternately, with compiled modules as an installation has them. For
`startup_ms`, every variant imports Celery and requests, as a project that renders documents may;
for `startup_cpu_ms`, none does, and its floor is an app that has nothing but the same tables.
The project's documents.py declares one document, without options.

The garbage collector is off in all of them. A full run of it, which takes longer than many modules,
begins when a number of objects is reached, so that it falls into a start, or not, by a few objects
more or less anywhere in the project.
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

from benchmarks.cost import plain_models
from benchmarks.cost.metrics import Metric, Result, scaled_target
from benchmarks.cost.site import Site

SCRIPT = """
import gc, sys
gc.disable()
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
{imports}
import django
django.setup()
for name in others:
    import_module(name)
from django.core.management import call_command
call_command("check", verbosity=0)
"""
WITH_CELERY = """import celery, requests
celery.Celery("startup").conf.broker_url, requests.Session"""
APP = ("django_docraptor",)
VARIANTS: dict[str, tuple[str, ...]] = {
    "": (),
    "app": APP,
    "app_and_documents": (*APP, "startup_documents"),
}
# What a project has in its documents.py; it has no templates.
DOCUMENTS = """
from django_docraptor import Document

class InvoicePDF(Document[None]):
    template_name = "invoice.html"

    def render(self):
        return "<h1>Invoice</h1>"
"""
# With the target: what no app with these tables can save.
FLOOR = {"models": (plain_models.APP,)}
# Milliseconds where the check without the app takes the second.
TARGET, REFERENCE_MS = 50, 200
IMPORTED = re.compile(
    r"import time: +(?P<microseconds>\d+) \| +\d+ \| +django_docraptor\.(?P<part>\w+)"
)
# Environment variables that would change startup.
REMOVED_VARIABLES = {"DJANGO_SETTINGS_MODULE", "PYTHONDONTWRITEBYTECODE"}


def run_check(
    compiled: Path, *modules: str, imports: str = WITH_CELERY, options: Sequence[str] = ()
) -> str:
    """Run ``manage.py check`` once; return what it printed to stderr.

    Args:
        compiled: the directory of compiled modules, of the app with plain models and of the
            project's documents.
        imports: what every project of the comparison imports.
        modules: an app, and what else the project imports.
        options: options for Python.
    """
    kept = {name: value for name, value in os.environ.items() if name not in REMOVED_VARIABLES}
    path = os.pathsep.join([str(compiled), *filter(None, [kept.get("PYTHONPATH")])])
    return subprocess.run(  # noqa: S603 - our own script
        [sys.executable, *options, "-c", SCRIPT.replace("{imports}", imports), *modules],
        check=True,
        timeout=60,
        capture_output=True,
        text=True,
        env=kept | {"PYTHONPYCACHEPREFIX": str(compiled), "PYTHONPATH": path},
    ).stderr


def cpu_seconds(compiled: Path, *modules: str, imports: str) -> float:
    """Return the seconds of CPU of one start."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run_check(compiled, *modules, imports=imports)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def profile(compiled: Path) -> str:
    """Return the slowest modules according to ``-X importtime``."""
    spent: Counter[str] = Counter()
    for line in run_check(compiled, *APP, options=("-X", "importtime")).splitlines():
        if found := IMPORTED.match(line):
            spent[found["part"]] += int(found["microseconds"])
    largest = ", ".join(f"{part} {spent[part] / 1000:.1f} ms" for part, _ in spent.most_common(5))
    return f"app: {largest} of {spent.total() / 1000:.1f} ms by -X importtime"


def measure(site: Site, options: argparse.Namespace) -> list[Metric]:
    """Compare the quickest of several starts: what else a machine does only adds to them."""
    compiled = site.scratch / "compiled"
    plain_models.write_app(compiled)
    (compiled / "startup_documents.py").write_text(DOCUMENTS)
    return [
        Metric(
            key="startup_ms",
            description="CPU that the app adds to `manage.py check`, and a project's "
            "documents.py, ms",
            results=_results(compiled, options.starts, WITH_CELERY),
            notes=(profile(compiled),),
        ),
        Metric(
            key="startup_cpu_ms",
            description="the same in a project that imports neither Celery nor requests, ms",
            results=_results(compiled, options.starts, "", TARGET),
            notes=("floor: an app whose models have the same columns, and nothing else",),
        ),
    ]


def _results(
    compiled: Path, starts: int, imports: str, goal: float | None = None
) -> tuple[Result, ...]:
    """Measure with and without the app; the target is that of a project with documents."""
    variants = VARIANTS | FLOOR if goal else VARIANTS
    milliseconds: dict[str, list[float]] = {name: [] for name in variants}
    cpu_seconds(compiled, *VARIANTS["app_and_documents"], imports=imports)
    for _ in range(starts):
        for name, modules in variants.items():
            milliseconds[name].append(1000 * cpu_seconds(compiled, *modules, imports=imports))
    least = {name: min(values) for name, values in milliseconds.items()}
    low, _, high = statistics.quantiles(milliseconds[""], n=4)
    target = scaled_target(goal, least[""], REFERENCE_MS) if goal else None
    without = f"{least['']:.0f} ms without, middle half {low:.0f} to {high:.0f} ms"
    return tuple(
        Result(
            name=name,
            value=least[name] - least[""],
            target=target if name == "app_and_documents" else None,
            floor=least["models"] - least[""] if goal else None,
            ours=f"{least[name]:.0f} ms with it",
            baseline=without,
        )
        for name in VARIANTS
        if name
    )
