"""The site's settings, run without any service; environment variables switch to real ones.

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
SITE_URL                      where DocRaptor and customers reach this site
============================  =========================================================
"""

import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from kombu.transport import TRANSPORT_ALIASES

from example_project.demo.place import VAR
from mysite import settings as site

for name in filter(str.isupper, dir(site)):
    globals()[name] = getattr(site, name)

VAR.mkdir(mode=0o700, parents=True, exist_ok=True)
TRANSPORT_ALIASES["files"] = "example_project.demo.broker:Transport"


def folder(name: str) -> Path:
    """A private directory for run-time files."""
    path = VAR / name
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def database(url: str) -> dict[str, Any]:
    """Django's settings for a database URL; the site's SQLite without one."""
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
    """What keeps a publish to this broker from waiting for ever, or from being lost."""
    if broker.startswith("redis"):
        return site.CELERY_BROKER_TRANSPORT_OPTIONS
    if broker.startswith("amqp"):
        return {"confirm_publish": True}
    queue = str(folder("broker/queue"))
    return {
        "data_folder_in": queue,
        "data_folder_out": queue,
        "control_folder": str(folder("broker/control")),
        "polling_interval": 0.1,
    }


def private(name: str) -> dict[str, Any]:
    """A directory that nobody else on this machine reads."""
    options = {"location": folder(name), "file_permissions_mode": 0o600}
    return {"BACKEND": site.FILES, "OPTIONS": options}


def documents_storage(bucket: str) -> dict[str, Any]:
    """Where finished documents are kept: a bucket, else a private directory."""
    if not bucket:
        return private("documents")
    endpoint = os.environ.get("AWS_S3_ENDPOINT_URL")
    options = {"bucket_name": bucket, "endpoint_url": endpoint, "signature_version": "s3v4"}
    return {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}


def docraptor(api_key: str) -> dict[str, Any]:
    """The package's settings: the real service with a key, else the sandbox."""
    home = "https://api.docraptor.com" if api_key else site.DOCRAPTOR["BASE_URL"]
    # The real service cannot call this machine back: it is polled, unless told an address.
    here = "" if api_key else site.DOCRAPTOR["CALLBACK_BASE_URL"]
    return site.DOCRAPTOR | {
        "BASE_URL": os.environ.get("DOCRAPTOR_BASE_URL") or home,
        "CALLBACK_BASE_URL": os.environ.get("SITE_URL") or here,
        "TEST_MODE": os.environ.get("DOCRAPTOR_TEST_MODE", "1") != "0",
        "RING_ON_COMMIT": True,
        "SPOOL_DIR": folder("spool"),
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
    "default": private("media"),
    "docraptor": documents_storage(os.environ.get("AWS_STORAGE_BUCKET_NAME", "")),
}
DOCRAPTOR = docraptor(os.environ.get("DOCRAPTOR_API_KEY", ""))
EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
EMAIL_FILE_PATH = folder("mail")
