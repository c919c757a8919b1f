"""Where finished documents are kept: which storage, which name.

A job may name an alias of ``STORAGES``. For all others it is the alias ``"docraptor"`` where a
project has one, else the default.
"""

import uuid
from datetime import datetime
from typing import Any

from django.core.files.storage import Storage, storages
from django.core.signals import setting_changed
from django.db.models import FileField
from django.db.models.fields.files import FieldFile
from django.utils.functional import LazyObject, empty

ALIAS = "docraptor"


def _choose() -> Storage:
    return storages[ALIAS if ALIAS in storages.backends else "default"]


class DocumentStorage(LazyObject):  # type: ignore[type-arg] # it is not subscriptable at run time
    """The project's storage for documents, looked up at first use."""

    def _setup(self) -> None:
        self._wrapped = _choose()


document_storage = DocumentStorage()


def get_document_storage() -> Storage:
    """For ``FileField(storage=…)``: a callable keeps the storage out of migrations."""
    return document_storage  # type: ignore[return-value] # it stands in for one


def storage_for(alias: str) -> Storage:
    """The storage of an alias; blank for the rule.

    Raises:
        ImproperlyConfigured: there is no such alias (any more).
    """
    return storages[alias] if alias else get_document_storage()


def aliases() -> list[str]:
    """The storages in which documents may be kept: static files are for everyone to see."""
    return sorted(set(storages.backends) - {"staticfiles"})


class DocumentFieldFile(FieldFile):
    """A job's file, in the storage that the job names."""

    @property
    def storage(self) -> Storage:
        """The storage of the row's alias."""
        alias: str = self.instance.storage  # type: ignore[attr-defined] # it is a job
        return storage_for(alias)

    @storage.setter
    def storage(self, storage: Storage) -> None:
        """Nothing: Django sets the field's, of which there may be many."""


class DocumentFileField(FileField):
    """A file field whose storage each row chooses by its column ``storage``."""

    attr_class = DocumentFieldFile


def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting == "STORAGES":
        document_storage._wrapped = empty  # type: ignore[assignment] # how Django resets one


setting_changed.connect(_forget, dispatch_uid="django_docraptor.storage")


def file_name(name: str, document_type: str) -> str:
    """The name with the type's ending."""
    ending = f".{document_type}"
    return name if name.lower().endswith(ending) else name + ending


def document_name(job: uuid.UUID, attempt: int, extension: str, at: datetime) -> str:
    """Name of an attempt's file: the same at every try, without a user's text.

    Whoever has the job's key can work it out: it is the storage that must be private.
    """
    return f"docraptor/{at:%Y/%m}/{job.hex}-{attempt}.{extension}"
