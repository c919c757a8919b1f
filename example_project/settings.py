"""Settings that run without any service; environment variables switch to real ones.

============================  =========================================================
EXAMPLE_VAR                   directory of everything that is written; default: ``var``
EXAMPLE_DEBUG                 ``0`` turns debugging off
DATABASE_URL                  ``postgresql://…`` or ``mariadb://user:password@host/name``
CELERY_BROKER_URL             ``redis://…`` or ``amqp://…``; default: files
AWS_STORAGE_BUCKET_NAME       keep documents in S3; credentials as boto3 finds them
AWS_S3_ENDPOINT_URL           where S3 is, if not at Amazon
DOCRAPTOR_API_KEY             a real key: the real service instead of the sandbox
DOCRAPTOR_TEST_MODE           ``0`` makes documents without watermark, which are billed
DOCRAPTOR_BASE_URL            where DocRaptor, or a sandbox, is
DOCRAPTOR_CALLBACK_BASE_URL   where DocRaptor reaches this site; blank: polling only
============================  =========================================================
"""

import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent
VAR = Path(os.environ.get("EXAMPLE_VAR") or ROOT / "var").resolve()
VAR.mkdir(mode=0o700, parents=True, exist_ok=True)


def folder(name: str) -> Path:
    """A private directory for run-time files."""
    path = VAR / name
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


DEBUG = os.environ.get("EXAMPLE_DEBUG", "1") != "0"
SECRET_KEY = os.environ.get("SECRET_KEY", "an example, not a secret")
ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "127.0.0.1,localhost").split(",")
ROOT_URLCONF = "example_project.urls"
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "static/"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "documents"
LOGOUT_REDIRECT_URL = "login"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_docraptor",
    "example_project.shop",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
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


def database(url: str) -> dict[str, Any]:
    """Django's settings for a database URL; SQLite without one."""
    if not url:
        # Writers wait for each other instead of failing with "database is locked".
        options = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
        engine, name = "django.db.backends.sqlite3", VAR / "db.sqlite3"
        return {"ENGINE": engine, "NAME": name, "OPTIONS": options}
    parts = urlsplit(url)
    engine = "postgresql" if parts.scheme.startswith("postgres") else "mysql"
    return {
        "ENGINE": f"django.db.backends.{engine}",
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": parts.port or "",
    }


DATABASES = {"default": database(os.environ.get("DATABASE_URL", ""))}
if DATABASES["default"]["ENGINE"].endswith("mysql"):
    import pymysql

    pymysql.version_info = (2, 2, 7, "final", 0)  # Django asks for mysqlclient's version
    pymysql.install_as_MySQLdb()


def transport_options(broker: str) -> dict[str, Any]:
    """What keeps a publish to this broker from waiting for ever, or from being lost."""
    if broker.startswith("redis"):
        return {"socket_timeout": 5, "socket_connect_timeout": 5}
    if broker.startswith("amqp"):
        return {"confirm_publish": True}
    queue = str(folder("broker/queue"))
    return {
        "data_folder_in": queue,
        "data_folder_out": queue,
        "control_folder": str(folder("broker/control")),
        "polling_interval": 0.1,
    }


CELERY_BROKER_URL = os.environ.get("CELERY_BROKER_URL") or "files://"
CELERY_BROKER_TRANSPORT_OPTIONS = transport_options(CELERY_BROKER_URL)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_BEAT_SCHEDULE_FILENAME = str(VAR / "celerybeat-schedule")
CELERY_BEAT_SCHEDULE = {
    "docraptor": {
        "task": "django_docraptor.tick",
        "schedule": 5.0,
        # A worker that was stopped does not wake to a backlog of ticks.
        "options": {"expires": 10},
    }
}


def documents_storage(bucket: str) -> dict[str, Any]:
    """Where finished documents are kept: a bucket, else a directory that no URL leads to."""
    if bucket:
        endpoint = os.environ.get("AWS_S3_ENDPOINT_URL")
        options = {"bucket_name": bucket, "endpoint_url": endpoint, "signature_version": "s3v4"}
        return {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}
    options = {"location": folder("documents"), "file_permissions_mode": 0o600}
    return {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": options}


STORAGES = {
    "default": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": VAR / "media"},
    },
    "docraptor": documents_storage(os.environ.get("AWS_STORAGE_BUCKET_NAME", "")),
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}


def docraptor(api_key: str) -> dict[str, Any]:
    """The package's settings: the real service with a key, else the sandbox."""
    home = "https://api.docraptor.com" if api_key else "http://127.0.0.1:8001"
    return {
        "API_KEY": api_key or "sandbox",
        "BASE_URL": os.environ.get("DOCRAPTOR_BASE_URL") or home,
        "CALLBACK_BASE_URL": os.environ.get("DOCRAPTOR_CALLBACK_BASE_URL", ""),
        "TEST_MODE": os.environ.get("DOCRAPTOR_TEST_MODE", "1") != "0",
        "SPOOL_DIR": folder("spool"),
    }


DOCRAPTOR = docraptor(os.environ.get("DOCRAPTOR_API_KEY", ""))
