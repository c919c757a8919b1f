"""What the app adds to the start of a process: ``manage.py check`` with and without it.

Seconds of CPU, in turns; both sides have Celery and requests, as a project that renders has.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys

from benchmarks.bench.figures import Case, Figure
from benchmarks.bench.place import Place

SITE = """
import sys
from django.conf import settings
settings.configure(
    SECRET_KEY="startup",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", *sys.argv[1:]],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    DOCRAPTOR={"API_KEY": "startup"},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
import celery, requests
celery.shared_task, requests.Session
import django
django.setup()
from django.core.management import call_command
call_command("check", verbosity=0)
"""


def cpu(*apps: str) -> float:
    """Seconds of CPU of one start."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", SITE, *apps],
        check=True,
        timeout=60,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(place: Place, options: argparse.Namespace) -> list[Figure]:
    """Medians of some starts, in turns."""
    with_app, without = [], []
    for _ in range(options.starts):
        without.append(cpu())
        with_app.append(cpu("django_docraptor"))
    mine, other = statistics.median(with_app), statistics.median(without)
    spread = max(without) - min(without)
    return [
        Figure(
            key="startup_ms",
            what="CPU that the app adds to `manage.py check`, ms",
            cases=(
                Case(
                    value=1000 * (mine - other),
                    ours=f"{1000 * mine:.0f} ms with the app",
                    usual=f"{1000 * other:.0f} ms without, spread {1000 * spread:.0f} ms",
                ),
            ),
        )
    ]
