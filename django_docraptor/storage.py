"""Where finished documents are kept: which storage, which name.

The storage is the alias ``"docraptor"`` of ``STORAGES`` where a project has one, else the default.
"""

import uuid
from datetime import datetime
from typing import Any

from django.core.files.storage import Storage, storages
from django.core.signals import setting_changed
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
    return document_storage  # type: ignore[return-value]


def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting == "STORAGES":
        document_storage._wrapped = empty  # type: ignore[assignment] # how Django resets one


setting_changed.connect(_forget, dispatch_uid="django_docraptor.storage")


def file_name(name: str, document_type: str) -> str:
    """The name with the type's ending."""
    ending = f".{document_type}"
    return name if name.lower().endswith(ending) else name + ending


def document_name(job: uuid.UUID, attempt: int, extension: str, at: datetime) -> str:
    """Name of an attempt's file: unguessable, the same at every try, without a user's text."""
    return f"docraptor/{at:%Y/%m}/{job.hex}-{attempt}.{extension}"
