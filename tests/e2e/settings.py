"""Settings of a complete site, configured by the environment of its processes."""

import json
import os

from kombu.transport import TRANSPORT_ALIASES

from tests.chaos.time_scale import DEADLINE, TIMEOUTS, scale_states
from tests.settings import *  # noqa: F403
from tests.settings import DOCRAPTOR as ENGINE

DEBUG = False
SILENCED_SYSTEM_CHECKS = ["django_docraptor.E005"]  # callbacks come by http on this machine
DOCRAPTOR = ENGINE | json.loads(os.environ.get("SITE_DOCRAPTOR", "{}"))
if "SITE_STORAGE" in os.environ:
    STORAGES["docraptor"] = json.loads(os.environ["SITE_STORAGE"])  # noqa: F405

# Kombu's own transport stops a worker that reads a half-written file.
TRANSPORT_ALIASES["files"] = "example_project.demo.broker:Transport"
CELERY_TASK_DEFAULT_QUEUE = os.environ.get("SITE_QUEUE", "celery")
CELERY_BROKER_TRANSPORT_OPTIONS = json.loads(os.environ.get("SITE_TRANSPORT", "{}"))
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_BEAT_SCHEDULE = {
    "docraptor": {
        "task": "django_docraptor.tick",
        "schedule": 2.0,
        "options": {"expires": 3600},
    }
}
# Leases and log checks in a thirtieth of their time.
IS_SCALED = os.environ.get("SITE_SCALE_TIME") == "1"
if IS_SCALED:
    scale_states()
    DOCRAPTOR |= {"DEADLINE": DEADLINE, "TIMEOUT": TIMEOUTS}
# Apps, TASKS and RQ_QUEUES of a backend of django.tasks.
globals().update(json.loads(os.environ.get("SITE_TASKS", "{}")))
INSTALLED_APPS += json.loads(os.environ.get("SITE_APPS", "[]"))  # noqa: F405
INSTALLED_APPS += ["tests.e2e.apps.ScaledTimeConfig"] * IS_SCALED
# The number of copies of each message.
SITE_COPIES = int(os.environ.get("SITE_COPIES", "1"))

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"django_docraptor": {"handlers": ["console"], "level": "INFO", "propagate": False}},
}
