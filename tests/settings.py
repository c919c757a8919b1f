"""Settings of the tests' project.

``TEST_DATABASE`` is sqlite, postgresql, mariadb (driver PyMySQL) or mysqlclient (that driver).
"""

import atexit
import json
import os
import shutil
import tempfile
from pathlib import Path

SECRET_KEY = "tests"  # not a secret
USE_TZ = True
TIME_ZONE = "UTC"
ROOT_URLCONF = "tests.urls"
ALLOWED_HOSTS = ["testserver", "127.0.0.1", "localhost"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "/static/"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_docraptor",
    "tests.apps.shop",
    "tests.support.database_clock.DatabaseClock",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

if _given := os.environ.get("TEST_SCRATCH"):
    _scratch = Path(_given)
else:
    _scratch = Path(tempfile.mkdtemp(prefix="django-docraptor-"))
    atexit.register(shutil.rmtree, _scratch, ignore_errors=True)

_engines = {
    "sqlite": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": _scratch / "db.sqlite3",
        "TEST": {"NAME": str(_scratch / "test.sqlite3")},
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    },
    "postgresql": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ.get("POSTGRES_DB", "test"),
        "USER": os.environ.get("POSTGRES_USER", "postgres"),
        "PASSWORD": os.environ.get("POSTGRES_PASSWORD", ""),
        "HOST": os.environ.get("POSTGRES_HOST", "127.0.0.1"),
    },
    "mariadb": {
        "ENGINE": "django.db.backends.mysql",
        "NAME": os.environ.get("MARIADB_DB", "test"),
        "USER": os.environ.get("MARIADB_USER", "root"),
        "PASSWORD": os.environ.get("MARIADB_PASSWORD", ""),
        "HOST": os.environ.get("MARIADB_HOST", "127.0.0.1"),
        # A server in local time, as many are: the engine must not depend on the session's zone.
        "OPTIONS": {"init_command": "SET time_zone = '+02:00'"},
    },
}
# The other driver, and tables of `utf8`, which stores three bytes per character: no emoji.
_engines["mysqlclient"] = _engines["mariadb"] | {
    "TEST": {"CHARSET": "utf8mb3", "COLLATION": "utf8mb3_general_ci"}
}
_chosen = os.environ.get("TEST_DATABASE", "sqlite")
if _chosen == "mariadb":
    import pymysql

    pymysql.version_info = (2, 2, 7, "final", 0)  # Django checks the version of mysqlclient
    pymysql.install_as_MySQLdb()
DATABASES = {"default": _engines[_chosen]}

# Django 6.1 and later; older versions use EMAIL_BACKEND, which the test runner sets.
MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}

STORAGES = {
    "default": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": _scratch / "media"},
    },
    "docraptor": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": _scratch / "documents"},
    },
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

DOCRAPTOR = {
    "API_KEY": "tests-key",
    "BASE_URL": "http://127.0.0.1:9",  # unused port: tests set their own sandbox
    "SPOOL_DIR": _scratch / "spool",
    "MAX_DOCUMENT_BYTES": 20 * 1024 * 1024,
}
CELERY_BROKER_URL = os.environ.get("TEST_BROKER", "memory://")
CELERY_BROKER_TRANSPORT_OPTIONS = json.loads(os.environ.get("TEST_BROKER_OPTIONS", "{}"))
