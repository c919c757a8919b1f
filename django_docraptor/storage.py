"""Internal. Choose the storage and the name of a document's file.

A job may name an alias of ``STORAGES``. Otherwise the alias ``"docraptor"`` is used if it exists,
or else ``"default"``. Knows only Django's storage API, no third-party storage.
"""

import uuid
from datetime import datetime
from typing import Any

from django.core.files.storage import Storage, storages
from django.core.signals import setting_changed
from django.db.models import FileField
from django.db.models.fields.files import FieldFile
from django.utils.functional import LazyObject, empty

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


def add_extension(name: str, document_type: str) -> str:
    """Return the name with the document type's extension."""
    extension = f".{document_type}"
    return name if name.lower().endswith(extension) else name + extension


def storage_name(job_id: uuid.UUID, attempt: int, extension: str, created_at: datetime) -> str:
    """Return the storage name of an attempt's file.

    It is the same on every retry and contains no user input. The name can be derived from the
    job's ID: the storage itself must be private.
    """
    return f"docraptor/{created_at:%Y/%m}/{job_id.hex}-{attempt}.{extension}"
