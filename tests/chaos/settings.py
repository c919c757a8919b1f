"""Settings of the chaos site's processes; the driver passes everything in the environment."""

import json
import os
from pathlib import Path

from tests.chaos.accounts import API_KEY, get_api_key, several_accounts
from tests.chaos.time_scale import (
    DEADLINE,
    POLL,
    RETRY_FOR,
    TIMEOUTS,
    VISIBILITY_TIMEOUT,
    scale_states,
)
from tests.settings import *  # noqa: F403
from tests.settings import DATABASES, INSTALLED_APPS

scale_states()

SCRATCH = Path(os.environ["TEST_SCRATCH"])
SANDBOX = os.environ.get("CHAOS_SANDBOX_URL", "")
BASELINE = os.environ.get("CHAOS_BASELINE") == "1"

DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "tests.chaos.urls"
INSTALLED_APPS = [*INSTALLED_APPS, "tests.chaos", "tests.apps.baseline"]
STORAGES = {
    alias: {
        "BACKEND": "tests.chaos.storage.FlakyStorage",
        "OPTIONS": {"location": SCRATCH / "documents"},
    }
    for alias in ("default", "docraptor")
} | {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
if "mysql" in DATABASES["default"]["ENGINE"]:
    # Beside the session's time zone: this MariaDB is in local time.
    DATABASES["default"]["OPTIONS"] |= {"connect_timeout": 5}  # type: ignore[operator]
DATABASES["default"]["PORT"] = os.environ.get("CHAOS_DATABASE_PORT", "")

# The sandbox calls back over plain HTTP on this machine.
SILENCED_SYSTEM_CHECKS = ["django_docraptor.E005"]
DOCRAPTOR = {
    # The baseline has one account.
    "API_KEY": API_KEY if BASELINE else get_api_key,
    "TEST_MODE": False,
    "BASE_URL": SANDBOX,
    "CALLBACK_BASE_URL": os.environ.get("CHAOS_SITE_URL", ""),
    "TIMEOUT": TIMEOUTS,
    "DEADLINE": DEADLINE,
    "RETRY_FOR": RETRY_FOR,
    "POLL": POLL,
    "SPOOL_DIR": SCRATCH / "spool",
    "MAX_DOCUMENT_BYTES": 2 * 1024 * 1024,
}

# The preset with several accounts.
if _several := json.loads(os.environ.get("CHAOS_ACCOUNTS") or "{}"):
    DOCRAPTOR |= {"API_KEY": API_KEY, "ACCOUNTS": several_accounts(**_several)}

_broker = os.environ.get("TEST_BROKER", "memory://")
CELERY_BROKER_URL = _broker
CELERY_BROKER_TRANSPORT_OPTIONS = (
    {"socket_timeout": 2, "socket_connect_timeout": 2, "visibility_timeout": VISIBILITY_TIMEOUT}
    if _broker.startswith("redis")
    else {"confirm_publish": True}
)
CELERY_TASK_DEFAULT_QUEUE = os.environ.get("CHAOS_QUEUE", "chaos")
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_BEAT_SCHEDULE = (
    {}
    if BASELINE
    else {
        "docraptor": {
            "task": "django_docraptor.tick",
            "schedule": 1.0,
            "options": {"expires": 3600},
        }
    }
)
# Shares of the saves that fail, before the file is written and after.
STORAGE_FAILURE_RATES = json.loads(os.environ.get("CHAOS_STORAGE_FAILURE_RATES", "{}"))
# Shares of the writes, and of the commits, that fail.
DATABASE_FAILURE_RATES = json.loads(os.environ.get("CHAOS_DATABASE_FAILURE_RATES", "{}"))

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(process)d %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {"django_docraptor": {"handlers": ["console"], "level": "INFO", "propagate": False}},
}
