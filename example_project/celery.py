"""The project's Celery app."""

import os

from celery import Celery
from kombu.transport import TRANSPORT_ALIASES

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example_project.settings")
# The broker that needs no service; with a real one this line can go.
TRANSPORT_ALIASES["files"] = "example_project.broker:Transport"

app = Celery("example_project")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
