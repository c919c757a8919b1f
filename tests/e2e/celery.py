"""The site's Celery app, whose messages may be sent several times."""

import os
from typing import Any

from celery import Celery, Task
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.e2e.settings")


class CopiedTask(Task):
    """A task that sends each message ``SITE_COPIES`` times."""

    def apply_async(self, *args: Any, **options: Any) -> Any:
        """Send the message and its copies."""
        for _copy in range(settings.SITE_COPIES - 1):
            super().apply_async(*args, **options)
        return super().apply_async(*args, **options)


app = Celery("site", task_cls=CopiedTask)
app.set_default()  # in all threads: the default is the app of tests/__init__
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
