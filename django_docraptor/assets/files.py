"""Internal. Read assets from static directories and storages, and nowhere else."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles import finders
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.exceptions import ImproperlyConfigured, SuspiciousOperation
from django.core.files.storage import FileSystemStorage, Storage

from django_docraptor.assets.budget import Budget
from django_docraptor.assets.errors import AssetError
from django_docraptor.assets.paths import validate_path

# Only a few small files are cached: at most 16 MiB per process.
MAX_CACHED_FILES = 64
MAX_CACHED_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A local static file, with symbolic links resolved and checked."""

    name: str
    path: Path

    def read(self, budget: Budget) -> bytes:
        """Return the bytes.

        Raises:
            AssetError: the file cannot be read, or exceeds the budget.
        """
        try:
            stat = self.path.stat()
            budget.check(self.name, stat.st_size)
            if settings.DEBUG or stat.st_size > MAX_CACHED_BYTES:
                content = _read(self.path, budget.max_asset_bytes)
            else:
                content = _read_cached(self.path, stat.st_mtime_ns, stat.st_size)
        except OSError as error:
            raise _unreadable_error(self.name, error) from error
        budget.spend(self.name, len(content))
        return content


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file in a storage, read without its URL."""

    name: str
    storage: Storage

    def read(self, budget: Budget) -> bytes:
        """Return the bytes.

        Raises:
            AssetError: the file cannot be read, or exceeds the budget.
        """
        try:
            _check_location(self.storage, self.name)
            with self.storage.open(self.name, "rb") as file:
                content: bytes = file.read(budget.max_asset_bytes + 1)
        except FileNotFoundError as error:
            raise _missing_stored_error(self.name) from error
        except OSError as error:
            raise _unreadable_error(self.name, error) from error
        except SuspiciousOperation as error:
            raise _outside_error(self.name) from error
        budget.spend(self.name, len(content))
        return content


AssetFile = StaticFile | StoredFile


def stored_file(storage: Storage, name: object) -> StoredFile:
    """Return a file in a storage, which may be private.

    Raises:
        AssetError: the path is invalid.
    """
    return StoredFile(validate_path(name), storage)


def find_static_file(name: object) -> AssetFile:
    """Find a static file by its ``{% static %}`` path; hashed names are supported.

    Searches STATIC_ROOT, then the finders (in DEBUG the finders first), then a remote static files
    storage.

    Raises:
        AssetError: it does not exist.
    """
    name = validate_path(name)
    if path := _find_locally(name):
        return StaticFile(name, _require_inside(name, path, list(_static_roots())))
    if not _is_local():
        for storage_name in _storage_names(name):
            if staticfiles_storage.exists(storage_name):
                return StoredFile(storage_name, staticfiles_storage)
    raise _missing_static_error(name)


def is_static_file_missing(name: str) -> bool:
    """Return whether a static file is known to be missing. Remote storages are not queried."""
    try:
        return _is_local() and _find_locally(validate_path(name)) is None
    except AssetError:
        return True


def _is_local() -> bool:
    return isinstance(staticfiles_storage, FileSystemStorage)


def _find_locally(name: str) -> Path | None:
    lookups = [_in_static_root, _in_finders]
    paths = (find(name) for find in (reversed(lookups) if settings.DEBUG else lookups))
    return next((path for path in paths if path), None)


def _in_static_root(name: str) -> Path | None:
    if not _is_local() or not settings.STATIC_ROOT:
        return None
    paths = map(staticfiles_storage.path, _storage_names(name))
    return next((Path(path) for path in paths if os.path.isfile(path)), None)


def _in_finders(name: str) -> Path | None:
    path = finders.find(name)
    return Path(path) if isinstance(path, str) and os.path.isfile(path) else None


def _storage_names(name: str) -> Iterator[str]:
    """Yield the file's names in the storage: the hashed one, if any, then the original."""
    stored_name = getattr(staticfiles_storage, "stored_name", None)
    if stored_name is not None:
        with suppress(ValueError, ImproperlyConfigured):  # not in the manifest
            yield stored_name(name)
    yield name


def _static_roots() -> Iterator[Path]:
    """Yield every directory that may contain static files."""
    if _is_local() and settings.STATIC_ROOT:
        yield Path(settings.STATIC_ROOT)
    for finder in finders.get_finders():
        single = getattr(finder, "storage", None)
        for storage in (*getattr(finder, "storages", {}).values(), single):
            if location := getattr(storage, "location", None):
                yield Path(location)


def _check_location(storage: Storage, name: str) -> None:
    """Reject a symbolic link out of the storage's directory.

    Raises:
        AssetError: the file is outside the directory, or is not a regular file.
    """
    if isinstance(storage, FileSystemStorage):
        path = Path(storage.path(name))
        if path.exists() and not path.is_file():
            raise _missing_stored_error(name)
        _require_inside(name, path, [Path(storage.location)])


def _require_inside(name: str, path: Path, roots: list[Path]) -> Path:
    try:
        real_path = path.resolve()
        if any(real_path.is_relative_to(root.resolve()) for root in roots):
            return real_path
    except (OSError, RuntimeError) as error:  # a loop of symbolic links
        raise _unreadable_error(name, error) from error
    raise _outside_error(name)


def _read(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        return file.read(limit + 1)


@lru_cache(maxsize=MAX_CACHED_FILES)
def _read_cached(path: Path, mtime: int, size: int) -> bytes:
    """Return the file's bytes.

    Modification time and size are part of the cache key, so changed files are reread.
    """
    return _read(path, MAX_CACHED_BYTES)


def _missing_static_error(name: str) -> AssetError:
    return AssetError(f"static file {name!r} does not exist: fix the path, or run collectstatic.")


def _missing_stored_error(name: str) -> AssetError:
    return AssetError(f"file {name!r} does not exist in its storage.")


def _unreadable_error(name: str, error: Exception) -> AssetError:
    reason = getattr(error, "strerror", None) or type(error).__name__
    return AssetError(f"{name!r} cannot be read ({reason}): check the file and its permissions.")


def _outside_error(name: str) -> AssetError:
    return AssetError(
        f"{name!r} is outside its root (a symbolic link or '..'): put the file itself below the "
        "root."
    )
