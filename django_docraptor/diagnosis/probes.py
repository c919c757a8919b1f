"""Internal. The probes of a site, in the order in which they run, and facts for a report."""

import platform
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import Any, Final

import django

from django_docraptor import __version__
from django_docraptor.conf import conf
from django_docraptor.diagnosis import callbacks, database, engine, files, service, settings
from django_docraptor.diagnosis.probing import Probe
from django_docraptor.runners import default_runner_name

# Seconds of a synchronous document: for a slot of the account, and for DocRaptor.
LIVE_SECONDS: Final = 90.0
# Packages that a report names, if they are installed.
PACKAGES: Final = ("celery", "django-tasks", "django-storages", "django-tenants", "requests")

PROBES: Final = (
    Probe(name="settings", run=settings.probe_settings),
    Probe(name="database", run=database.probe_connection, remedy=database.DATABASE_REMEDY),
    Probe(name="migrations", run=database.probe_migrations, needs=("database",)),
    Probe(name="isolation", run=database.probe_isolation, needs=("database",)),
    Probe(name="character set", run=database.probe_character_set, needs=("database",)),
    Probe(name="time zone", run=database.probe_time_zone, needs=("database",)),
    Probe(name="clock", run=database.probe_clock, needs=("migrations",)),
    Probe(name="base url", run=service.probe_base_url, seconds=30),
    Probe(name="api key", run=service.probe_api_keys, needs=("base url",), seconds=60),
    Probe(
        name="docraptor clock",
        run=service.probe_service_clock,
        needs=("api key", "clock"),
        seconds=60,
    ),
    Probe(name="storage", run=files.probe_storages, seconds=60),
    Probe(name="spool", run=files.probe_spool),
    Probe(name="callback url", run=callbacks.probe_callback_url, seconds=30),
    Probe(name="runner", run=engine.probe_runner),
    Probe(name="broker", run=engine.probe_broker, needs=("runner",)),
    Probe(name="worker", run=engine.probe_worker, needs=("migrations", "broker"), seconds=30),
    Probe(name="tick", run=engine.probe_tick, needs=("migrations",)),
    Probe(name="jobs", run=engine.probe_jobs, needs=("migrations",)),
)
LIVE: Final = Probe(
    name="live",
    run=service.probe_live,
    needs=("migrations", "api key", "spool"),
    seconds=LIVE_SECONDS,
)


def probes(*, live: bool = False) -> list[Probe]:
    """Return the probes; with ``live``, also the one that makes a free test document."""
    return [*PROBES, LIVE] if live else list(PROBES)


def environment() -> dict[str, Any]:
    """Return the versions that a report needs; nothing of it is secret."""
    return {
        "django_docraptor": __version__,
        "python": platform.python_version(),
        "platform": sys.platform,
        "django": django.get_version(),
        "database": database.vendor_name(),
        "runner": conf.runner or default_runner_name(),
        "packages": dict(_versions()),
    }


def _versions() -> Iterator[tuple[str, str]]:
    for name in PACKAGES:
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
