"""Settings of the bench site, in every process of it; `place` says all by environment."""

import json
import os
from pathlib import Path

from tests.settings import *  # noqa: F403
from tests.settings import DATABASES, INSTALLED_APPS

SCRATCH = Path(os.environ["TEST_SCRATCH"])
SANDBOX = os.environ.get("BENCH_SANDBOX", "")

DEBUG = False
# As docs/how-to/deploy.md says: a connection is kept, by the web server and by workers.
DATABASES["default"]["CONN_MAX_AGE"] = None
ALLOWED_HOSTS = ["127.0.0.1", "testserver"]
ROOT_URLCONF = "benchmarks.cost.urls"
INSTALLED_APPS = [*INSTALLED_APPS, "benchmarks.cost", "tests.apps.baseline"]
_storage = json.loads(os.environ.get("BENCH_STORAGE", "null")) or {
    "BACKEND": "django.core.files.storage.FileSystemStorage",
    "OPTIONS": {"location": str(SCRATCH / "documents")},
}
STORAGES = dict.fromkeys(("default", "docraptor"), _storage) | {
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
}

# The sandbox calls back on this machine, where there is no https.
SILENCED_SYSTEM_CHECKS = ["django_docraptor.E005"]
DOCRAPTOR = {
    "API_KEY": "bench",
    "TEST_MODE": False,
    "BASE_URL": SANDBOX,
    "CALLBACK_BASE_URL": os.environ.get("BENCH_WEB", ""),
    # Lifted: neither way is to be bounded by the account's limit.
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
