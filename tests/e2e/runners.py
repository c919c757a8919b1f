"""The runners that a site can have: what its settings say, and the process that does the work."""

import json
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import redis

from tests.e2e.site import Site
from tests.support.processes import ManagedProcess

REDIS_URL = "redis://127.0.0.1:6379/0"


@dataclass(kw_only=True)
class SiteRunner:
    """One way to run the engine.

    Args:
        engine: what the site's ``DOCRAPTOR`` says.
        worker: the command, as a module and its arguments.
        ready: what a worker's log says when it is ready; blank if it says nothing.
        apps: more installed apps.
        tasks: more settings.
        migrates: whether the apps have tables.
        needs_tick: whether messages may be lost with a killed worker for minutes, so that only a
            tick finds the due jobs.
        tick: the command that runs it, as a module and its arguments.
        can_delay: whether it delays messages; if not, the tick does what is due later.
    """

    broker: str = "files"
    engine: dict[str, Any]
    worker: tuple[str, ...]
    ready: str = ""
    apps: list[str] = field(default_factory=list)
    tasks: dict[str, Any] = field(default_factory=dict)
    migrates: bool = False
    needs_tick: bool = False
    tick: tuple[str, ...] = ("django", "docraptor_tick", "--loop", "--interval", "3")
    can_delay: bool = True
    _has_tick: bool = field(init=False, default=False)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that tests.e2e.settings reads."""
        return {"SITE_APPS": json.dumps(self.apps), "SITE_TASKS": json.dumps(self.tasks)}

    def prepare(self, site: Site) -> None:
        """Create the tables of the runner's own apps."""
        if self.migrates:
            site.run("django", "migrate", "-v", "0")

    def start_tick(self, site: Site) -> None:
        """Start the safety net that the documentation asks for, if this runner needs it."""
        if (self.needs_tick or not self.can_delay) and not self._has_tick:
            self._has_tick = True
            site.start("tick", *(part.replace("FOLDER", str(site.folder)) for part in self.tick))

    def start(self, site: Site) -> ManagedProcess:
        """Start a worker and wait until it is ready."""
        if not self.can_delay:
            self.start_tick(site)
        queue = site.broker.queue
        command = [part.replace("QUEUE", queue) for part in self.worker]
        process = site.start(f"worker{len(site.processes)}", *command)
        if self.ready:
            process.wait_for_output(self.ready, 60)
        return process


def _celery() -> SiteRunner:
    return SiteRunner(
        broker="redis",
        engine={"RUNNER": "celery"},
        worker=(
            *("celery", "-A", "tests.e2e.celery", "worker", "-P", "prefork", "-c", "2"),
            *("-l", "INFO", "--without-gossip", "--without-mingle", "--without-heartbeat"),
            *("-Q", "QUEUE", "-n", "worker@QUEUE"),
        ),
        ready=" ready.",
        # Redis keeps what a killed worker has received until its visibility timeout.
        needs_tick=True,
        tick=(
            *("celery", "-A", "tests.e2e.celery", "beat", "-s", "FOLDER/beat.schedule"),
            "--pidfile=",
        ),
    )


def _database() -> SiteRunner:
    backend = {"BACKEND": "django_tasks_db.DatabaseBackend", "QUEUES": ["docraptor"]}
    return SiteRunner(
        engine={"RUNNER": "django.tasks", "DJANGO_TASKS": {"queue_name": "docraptor"}},
        worker=("django", "db_worker", "--interval", "0.2", "--queue-name", "docraptor", "-v", "2"),
        ready="Starting worker",
        apps=["django_tasks_db"],
        tasks={"TASKS": {"default": backend}},
        migrates=True,
    )


def _rq(queue: str) -> SiteRunner:
    backend = {"BACKEND": "django_tasks_rq.RQBackend", "QUEUES": [queue]}
    return SiteRunner(
        engine={"RUNNER": "django.tasks", "DJANGO_TASKS": {"queue_name": queue}},
        worker=(
            *("django", "rqworker", queue, "--with-scheduler"),
            *("--job-class", "django_tasks_rq.Job"),
        ),
        ready="Listening on",
        apps=["django_rq"],
        tasks={"TASKS": {"default": backend}, "RQ_QUEUES": {queue: {"URL": REDIS_URL}}},
        # The lock of RQ's scheduler outlives a killed worker, and others try for it only every
        # ten minutes.
        needs_tick=True,
    )


def _huey(queue: str) -> SiteRunner:
    backend = {
        "BACKEND": "huey.contrib.djhuey.tasks_backend.HueyBackend",
        "QUEUES": ["docraptor"],
    }
    huey = {"huey_class": "huey.RedisHuey", "name": queue, "url": REDIS_URL, "immediate": False}
    return SiteRunner(
        engine={"RUNNER": "django.tasks", "DJANGO_TASKS": {"queue_name": "docraptor"}},
        worker=("django", "run_huey", "--workers", "2"),
        apps=["huey.contrib.djhuey"],
        tasks={"TASKS": {"default": backend}, "HUEY": huey},
        # huey keeps no message that a killed worker had taken.
        needs_tick=True,
    )


def _django_q() -> SiteRunner:
    cluster = {"name": "docraptor", "orm": "default", "workers": 2, "timeout": 600, "retry": 660}
    return SiteRunner(
        engine={"RUNNER": "tests.e2e.django_q.DjangoQRunner"},
        worker=("django", "qcluster"),
        apps=["django_q"],
        tasks={"Q_CLUSTER": cluster},
        migrates=True,
        can_delay=False,
    )


def _none() -> SiteRunner:
    return SiteRunner(
        engine={"RUNNER": "none"},
        worker=("django", "docraptor_tick", "--loop", "--interval", "0.2"),
    )


NAMES = ["celery", "django-tasks-db", "django-tasks-rq", "huey", "django-q2", "none"]
# Those that keep their messages in Redis, under names of their own.
IN_REDIS = {"django-tasks-rq": _rq, "huey": _huey}
OTHERS = {
    "celery": _celery,
    "django-tasks-db": _database,
    "django-q2": _django_q,
    "none": _none,
}


@contextmanager
def site_runner(name: str) -> Iterator[SiteRunner]:
    """Yield a runner by its name; what it leaves in Redis is deleted afterwards."""
    if name not in IN_REDIS:
        yield OTHERS[name]()
        return
    queue = f"docraptor{uuid.uuid4().hex[:12]}"  # huey drops a hyphen
    try:
        yield IN_REDIS[name](queue)
    finally:
        with closing(redis.Redis.from_url(REDIS_URL)) as connection:
            for key in connection.scan_iter(f"*{queue}*", 1000):
                connection.delete(key)
