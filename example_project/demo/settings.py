"""The site's settings for running without external services.

Environment variables switch to real services.

============================  =========================================================
EXAMPLE_VAR                   directory of all run-time files; default: ``var``
EXAMPLE_DEBUG                 ``0`` turns debugging off
DATABASE_URL                  ``postgresql://…`` or ``mariadb://user:password@host/name``
CELERY_BROKER_URL             ``redis://…`` or ``amqp://…``; default: files
AWS_STORAGE_BUCKET_NAME       store documents in S3, with boto3's default credentials
AWS_S3_ENDPOINT_URL           endpoint of another S3 service
DOCRAPTOR_API_KEY             a real key; uses DocRaptor instead of the sandbox
DOCRAPTOR_TEST_MODE           ``0`` creates documents without a watermark, which are billed
DOCRAPTOR_BASE_URL            URL of DocRaptor or a sandbox
SITE_URL                      public URL of this site
============================  =========================================================
"""

import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from kombu.transport import TRANSPORT_ALIASES

from example_project.demo.paths import VAR
from mysite import settings as site

for name in filter(str.isupper, dir(site)):
    globals()[name] = getattr(site, name)

VAR.mkdir(mode=0o700, parents=True, exist_ok=True)
TRANSPORT_ALIASES["files"] = "example_project.demo.broker:Transport"


def private_directory(name: str) -> Path:
    """Return a private directory for run-time files."""
    path = VAR / name
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def database(url: str) -> dict[str, Any]:
    """Return Django's settings for a database URL, or the site's SQLite database without one."""
    if not url:
        return site.DATABASES["default"] | {"NAME": VAR / "db.sqlite3"}
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


def transport_options(broker: str) -> dict[str, Any]:
    """Return transport options that prevent hanging or lost messages."""
    if broker.startswith("redis"):
        return site.CELERY_BROKER_TRANSPORT_OPTIONS
    if broker.startswith("amqp"):
        return {"confirm_publish": True}
    queue = str(private_directory("broker/queue"))
    return {
        "data_folder_in": queue,
        "data_folder_out": queue,
        "control_folder": str(private_directory("broker/control")),
        "polling_interval": 0.1,
    }


def private_storage(name: str) -> dict[str, Any]:
    """Return a storage in a directory that other users cannot read."""
    options = {"location": private_directory(name), "file_permissions_mode": 0o600}
    return {"BACKEND": site.FILES, "OPTIONS": options}


def documents_storage(bucket: str) -> dict[str, Any]:
    """Return the storage of finished documents: a bucket or a private directory."""
    if not bucket:
        return private_storage("documents")
    endpoint = os.environ.get("AWS_S3_ENDPOINT_URL")
    options = {"bucket_name": bucket, "endpoint_url": endpoint, "signature_version": "s3v4"}
    return {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}


def docraptor(api_key: str) -> dict[str, Any]:
    """Return the package's settings: DocRaptor with a key, or else the sandbox."""
    default_base_url = "https://api.docraptor.com" if api_key else site.DOCRAPTOR["BASE_URL"]
    # DocRaptor cannot call this machine back, so poll unless SITE_URL is set.
    default_callback_url = "" if api_key else site.DOCRAPTOR["CALLBACK_BASE_URL"]
    return site.DOCRAPTOR | {
        "BASE_URL": os.environ.get("DOCRAPTOR_BASE_URL") or default_base_url,
        "CALLBACK_BASE_URL": os.environ.get("SITE_URL") or default_callback_url,
        "TEST_MODE": os.environ.get("DOCRAPTOR_TEST_MODE", "1") != "0",
        "RUNNER": "celery",
        "SPOOL_DIR": private_directory("spool"),
    }


DEBUG = os.environ.get("EXAMPLE_DEBUG", "1") != "0"
INSTALLED_APPS = [*site.INSTALLED_APPS, "example_project.demo"]
DATABASES = {"default": database(os.environ.get("DATABASE_URL", ""))}
if DATABASES["default"]["ENGINE"].endswith("mysql"):
    import pymysql

    pymysql.version_info = (2, 2, 7, "final", 0)  # Django asks for mysqlclient's version
    pymysql.install_as_MySQLdb()
CELERY_BROKER_URL = os.environ.get("CELERY_BROKER_URL") or "files://"
CELERY_BROKER_TRANSPORT_OPTIONS = transport_options(CELERY_BROKER_URL)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_BEAT_SCHEDULE_FILENAME = str(VAR / "celerybeat-schedule")
STORAGES = site.STORAGES | {
    "default": private_storage("media"),
    "docraptor": documents_storage(os.environ.get("AWS_STORAGE_BUCKET_NAME", "")),
}
DOCRAPTOR = docraptor(os.environ.get("DOCRAPTOR_API_KEY", ""))
EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
EMAIL_FILE_PATH = private_directory("mail")
