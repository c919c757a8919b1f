"""Settings of the benchmark site's processes; `site` passes everything in the environment."""

import json
import os
from pathlib import Path

from tests.settings import *  # noqa: F403
from tests.settings import DATABASES, INSTALLED_APPS

SCRATCH = Path(os.environ["TEST_SCRATCH"])
SANDBOX = os.environ.get("BENCH_SANDBOX_URL", "")

DEBUG = False
# The web server and the workers keep their connections, as docs/how-to/deploy.md recommends.
DATABASES["default"]["CONN_MAX_AGE"] = None
ALLOWED_HOSTS = ["127.0.0.1", "testserver"]
ROOT_URLCONF = "benchmarks.cost.urls"
INSTALLED_APPS = [*INSTALLED_APPS, "benchmarks.cost", "tests.apps.baseline", "django_tasks_db"]
_storage = json.loads(os.environ.get("BENCH_STORAGE", "null")) or {
    "BACKEND": "django.core.files.storage.FileSystemStorage",
    "OPTIONS": {"location": str(SCRATCH / "documents")},
}
STORAGES = dict.fromkeys(("default", "docraptor"), _storage) | {
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
}

# The sandbox calls back over plain HTTP on this machine.
SILENCED_SYSTEM_CHECKS = ["django_docraptor.E005"]
DOCRAPTOR = {
    "API_KEY": "bench",
    "TEST_MODE": False,
    "BASE_URL": SANDBOX,
    "CALLBACK_BASE_URL": os.environ.get("BENCH_SITE_URL", ""),
    # No limit, so that it affects neither side.
    "MAX_IN_FLIGHT": 1_000_000,
    "SPOOL_DIR": SCRATCH / "spool",
    "MAX_DOCUMENT_BYTES": 1024 * 1024 * 1024,
}

CELERY_BROKER_URL = os.environ.get("TEST_BROKER", "memory://")
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_timeout": 5, "socket_connect_timeout": 5}
CELERY_TASK_DEFAULT_QUEUE = "documents"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
}
