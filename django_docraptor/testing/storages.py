"""Internal. A storage that keeps what a test writes in memory."""

from collections.abc import Mapping
from typing import Any

from django.core.files.base import File
from django.core.files.storage import InMemoryStorage, Storage, storages
from django.utils.functional import cached_property


class MemoryOverStorage(Storage):
    """Writes to memory, and reads from the project's own storage what the test has not written.

    So files that were there before the test, such as those of ``setUpTestData()``, can be read.
    Nothing is ever written to, or deleted from, that storage.

    Args:
        below: the project's storage, as in ``STORAGES``.
    """

    def __init__(self, *, below: Mapping[str, Any]) -> None:
        self._parameters = below
        self._memory = InMemoryStorage()
        # Names that the test has written, also if it has deleted them since.
        self._own: set[str] = set()

    @cached_property
    def _below(self) -> Storage:
        storage: Storage = storages.create_storage(dict(self._parameters))
        return storage

    def _storage_of(self, name: str) -> Storage:
        return self._memory if name in self._own else self._below

    def _open(self, name: str, mode: str = "rb") -> "File[bytes]":
        if mode != "rb":
            self._own.add(name)
        return self._storage_of(name).open(name, mode)

    def _save(self, name: str, content: "File[bytes]") -> str:
        saved = self._memory.save(name, content)
        self._own.add(saved)
        return saved

    def is_name_available(self, name: str, max_length: int | None = None) -> bool:
        """Ask memory only: the project's storage may be far away."""
        return self._memory.is_name_available(name, max_length)

    def delete(self, name: str) -> None:
        """Delete a file of the test."""
        self._memory.delete(name)

    def exists(self, name: str) -> bool:
        """Return whether there is a file."""
        return self._storage_of(name).exists(name)

    def size(self, name: str) -> int:
        """Return the size of a file."""
        return self._storage_of(name).size(name)

    def url(self, name: str | None) -> str:
        """Return the URL that the project's storage gives to a file."""
        return self._below.url(name)

    def path(self, name: str) -> str:
        """Return the path of a file that was there before.

        Raises:
            NotImplementedError: the test has written it.
        """
        return super().path(name) if name in self._own else self._below.path(name)
