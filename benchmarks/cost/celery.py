"""The bench site's Celery app; its workers note how long each task kept them busy."""

import os
import time
from typing import Any

from celery import Celery
from celery.signals import task_postrun, task_prerun

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.cost.settings")

app = Celery("bench")
app.config_from_object("django.conf:settings", namespace="CELERY")
# Both ways: a worker's child keeps its database connection between tasks (docs/how-to/deploy.md).
app.conf.CELERY_DB_REUSE_MAX = 1000
app.autodiscover_tasks()

_began: dict[str, tuple[float, float]] = {}


@task_prerun.connect
def _begin(task_id: str, **_: Any) -> None:
    _began[task_id] = time.perf_counter(), time.process_time()


@task_postrun.connect
def _end(task_id: str, task: Any, **_: Any) -> None:
    """One line a task, in a file of this process's own: its name, seconds, seconds of CPU."""
    if "BENCH_BUSY" not in os.environ or task_id not in _began:
        return
    wall, cpu = _began.pop(task_id)
    spent = f"{time.perf_counter() - wall:.6f} {time.process_time() - cpu:.6f}"
    with open(f"{os.environ['BENCH_BUSY']}.{os.getpid()}", "a") as file:
        file.write(f"{task.name} {spent}\n")
