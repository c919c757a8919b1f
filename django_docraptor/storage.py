"""Internal. Choose the storage of a document's file, and ask it for an expiring URL.

A job may name an alias of ``STORAGES``. Otherwise the alias ``"docraptor"`` is used if it exists,
or else ``"default"``. Imports no third-party storage; knows the options with which those of
django-storages sign URLs.
"""

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from django.conf import settings
from django.core.files.storage import FileSystemStorage, Storage, storages
from django.core.signals import setting_changed
from django.db.models import FileField
from django.db.models.fields.files import FieldFile
from django.urls import get_script_prefix
from django.utils.functional import LazyObject, empty

logger = logging.getLogger(__name__)

DOCUMENT_STORAGE_ALIAS = "docraptor"


def _find_document_storage() -> Storage:
    return storages[
        DOCUMENT_STORAGE_ALIAS if DOCUMENT_STORAGE_ALIAS in storages.backends else "default"
    ]


class DocumentStorage(LazyObject):  # type: ignore[type-arg] # it is not subscriptable at run time
    """The default document storage, looked up on first use."""

    def _setup(self) -> None:
        self._wrapped = _find_document_storage()


document_storage = DocumentStorage()


def get_document_storage() -> Storage:
    """Return the default document storage.

    For ``FileField(storage=…)``, where a callable keeps the storage out of migrations.
    """
    return document_storage  # type: ignore[return-value] # it proxies one


def get_storage(alias: str) -> Storage:
    """Return the storage of an alias; "" means the default document storage.

    Raises:
        ImproperlyConfigured: the alias does not exist (any more).
    """
    return storages[alias] if alias else get_document_storage()


def document_storage_aliases() -> list[str]:
    """Return the aliases that may hold documents: all but ``"staticfiles"``, which is public."""
    return sorted(set(storages.backends) - {"staticfiles"})


def is_served(storage: FileSystemStorage) -> bool:
    """Return whether files of a directory are below MEDIA_ROOT and have a URL."""
    if not settings.MEDIA_ROOT:
        return False
    root = Path(settings.MEDIA_ROOT).resolve()
    # Without MEDIA_URL, base_url is "/" or the script prefix.
    has_url = storage.base_url not in (None, "/", get_script_prefix())
    return has_url and Path(storage.location).resolve().is_relative_to(root)


class DocumentFieldFile(FieldFile):
    """A job's file in the storage that the job names."""

    @property
    def storage(self) -> Storage:
        """The storage that the job's row names."""
        alias: str = self.instance.storage  # type: ignore[attr-defined] # it is a job
        return get_storage(alias)

    @storage.setter
    def storage(self, storage: Storage) -> None:
        """Ignore the field's storage, which Django assigns."""


class DocumentFileField(FileField):
    """A file field whose storage is named by the row's ``storage`` column."""

    attr_class = DocumentFieldFile


def _reset_document_storage(*, setting: str, **kwargs: Any) -> None:
    if setting == "STORAGES":
        document_storage._wrapped = empty  # type: ignore[assignment] # as Django resets its own lazy objects


setting_changed.connect(_reset_document_storage, dispatch_uid="django_docraptor.storage")


def signed_url(storage: Any, name: str, *, disposition: str, seconds: int) -> str:
    """Return an expiring URL of a file, which is served with the given Content-Disposition header.

    Args:
        storage: may sign URLs with its own parameters.
        name: of the file.
        disposition: with the name for the reader; a storage's own name is a number.
        seconds: until the URL expires.

    Returns:
        Blank if the storage's URLs are permanent, or do not carry the header: then stream the file.
    """
    if not getattr(storage, "querystring_auth", True):  # django-storages' option for signed URLs
        return ""
    # Its S3 storage does not sign URLs of a custom domain without a CloudFront key.
    if getattr(storage, "custom_domain", None) and not getattr(storage, "cloudfront_signer", True):
        return ""
    for options in _url_options(storage, disposition, seconds):
        try:
            url = storage.url(name, **options)
        except TypeError:  # the storage has other options
            continue
        except Exception:
            logger.exception("The storage could not sign a URL; the file is streamed")
            return ""
        if disposition in dict(parse_qsl(urlsplit(url).query)).values():
            return str(url)
    return ""


def _url_options(storage: Any, disposition: str, seconds: int) -> Iterator[dict[str, Any]]:
    """Yield the options of ``url()`` for S3, CloudFront, Azure and Google Cloud Storage."""
    azure = {"parameters": {"content_disposition": disposition}, "expire": seconds}
    if hasattr(storage, "azure_container"):
        yield azure
        return
    # CloudFront passes the parameter on as it is, boto3 translates it.
    key = "response-content-disposition" if _has_domain(storage) else "ResponseContentDisposition"
    yield {"parameters": {key: disposition}, "expire": seconds}
    yield azure
    google = {"response_disposition": disposition, "expiration": timedelta(seconds=seconds)}
    yield {"parameters": google}


def _has_domain(storage: Any) -> bool:
    return bool(getattr(storage, "custom_domain", None))
