"""The Celery app of the benchmark site; its workers record the duration of each task."""

import os
import time
from typing import Any

from celery import Celery
from celery.signals import task_postrun, task_prerun

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.cost.settings")

app = Celery("cost")
app.config_from_object("django.conf:settings", namespace="CELERY")
# For both sides: a worker's child keeps its database connection between tasks
# (docs/how-to/deploy.md).
app.conf.CELERY_DB_REUSE_MAX = 1000
app.autodiscover_tasks()

_started: dict[str, tuple[float, float]] = {}


@task_prerun.connect
def _start(task_id: str, **_: Any) -> None:
    _started[task_id] = time.perf_counter(), time.process_time()


@task_postrun.connect
def _end(task_id: str, task: Any, **_: Any) -> None:
    """Append a line to this process's file: the task's name, seconds, seconds of CPU."""
    if "BENCH_TASK_TIMINGS_FILE" not in os.environ or task_id not in _started:
        return
    wall, cpu = _started.pop(task_id)
    spent = f"{time.perf_counter() - wall:.6f} {time.process_time() - cpu:.6f}"
    with open(f"{os.environ['BENCH_TASK_TIMINGS_FILE']}.{os.getpid()}", "a") as file:
        file.write(f"{task.name} {spent}\n")
