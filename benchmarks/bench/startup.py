"""What the app adds to the start of a process: ``manage.py check`` with and without it.

Seconds of CPU, in turns, with compiled modules as an installation has them; every side has Celery
and requests, as a project that renders has.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.bench.figures import Case, Figure
from benchmarks.bench.place import Place

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
# Of the environment, what would make a start another one than an installation's.
UNWANTED = {"DJANGO_SETTINGS_MODULE", "PYTHONDONTWRITEBYTECODE"}


def cpu(compiled: Path, *modules: str) -> float:
    """Seconds of CPU of one start with an app and what else its project imports.

    Compiled modules are kept in a folder.
    """
    kept = {name: value for name, value in os.environ.items() if name not in UNWANTED}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", SITE, *modules],
        check=True,
        timeout=60,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=kept | {"PYTHONPYCACHEPREFIX": str(compiled)},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


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
        )
    ]
