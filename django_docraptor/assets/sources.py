"""Where an asset's bytes are: static directories, and files of storages. Reads nothing else."""

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
from django_docraptor.assets.names import checked

# Only small files are kept, and few of them: at most 16 MiB for a process.
CACHED_FILES = 64
CACHED_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A static file on this machine, symbolic links resolved and checked."""

    name: str
    path: Path

    def read(self, budget: Budget) -> bytes:
        """The bytes. Raises AssetError."""
        try:
            facts = self.path.stat()
            budget.check(self.name, facts.st_size)
            if settings.DEBUG or facts.st_size > CACHED_BYTES:
                content = _read(self.path, budget.per_asset)
            else:
                content = _read_once(self.path, facts.st_mtime_ns, facts.st_size)
        except OSError as error:
            raise _unreadable(self.name, error) from error
        budget.spend(self.name, len(content))
        return content


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a storage, which is not asked for a public address."""

    name: str
    storage: Storage

    def read(self, budget: Budget) -> bytes:
        """The bytes. Raises AssetError."""
        try:
            _check_location(self.storage, self.name)
            with self.storage.open(self.name, "rb") as file:
                content: bytes = file.read(budget.per_asset + 1)
        except FileNotFoundError as error:
            raise _missing(self.name, "its storage") from error
        except OSError as error:
            raise _unreadable(self.name, error) from error
        except SuspiciousOperation as error:
            raise _outside(self.name) from error
        budget.spend(self.name, len(content))
        return content


Source = StaticFile | StoredFile


def stored_file(storage: Storage, name: object) -> StoredFile:
    """A file of a storage, which may be private. Raises AssetError for a name that is none."""
    return StoredFile(checked(name), storage)


def static_file(name: object) -> Source:
    """The static file of a name, as ``{% static %}`` takes it; hashed names are understood.

    Looked for in STATIC_ROOT, then with the finders (in DEBUG with the finders first), then in a
    static files storage that is not on this machine. Raises AssetError if there is none.
    """
    name = checked(name)
    if path := _find_here(name):
        return StaticFile(name, _inside(name, path, list(_static_roots())))
    if not _is_here():
        for stored in _stored_names(name):
            if staticfiles_storage.exists(stored):
                return StoredFile(stored, staticfiles_storage)
    raise _missing(name, "the static files")


def lacks_static_file(name: str) -> bool:
    """Whether there is certainly no such static file. No storage elsewhere is asked."""
    try:
        return _is_here() and _find_here(checked(name)) is None
    except AssetError:
        return True


def _is_here() -> bool:
    return isinstance(staticfiles_storage, FileSystemStorage)


def _find_here(name: str) -> Path | None:
    steps = [_in_static_root, _in_finders]
    found = (find(name) for find in (reversed(steps) if settings.DEBUG else steps))
    return next((path for path in found if path), None)


def _in_static_root(name: str) -> Path | None:
    if not _is_here() or not settings.STATIC_ROOT:
        return None
    paths = (staticfiles_storage.path(stored) for stored in _stored_names(name))
    return next((Path(path) for path in paths if os.path.isfile(path)), None)


def _in_finders(name: str) -> Path | None:
    found = finders.find(name)
    return Path(found) if isinstance(found, str) and os.path.isfile(found) else None


def _stored_names(name: str) -> Iterator[str]:
    """Names in the storage: the hashed one where there is one, then the name as it is."""
    stored_name = getattr(staticfiles_storage, "stored_name", None)
    if stored_name is not None:
        with suppress(ValueError, ImproperlyConfigured):  # not in the manifest
            yield stored_name(name)
    yield name


def _static_roots() -> Iterator[Path]:
    """Every directory in which static files may be."""
    if _is_here() and settings.STATIC_ROOT:
        yield Path(settings.STATIC_ROOT)
    for finder in finders.get_finders():
        one = getattr(finder, "storage", None)
        for storage in (*getattr(finder, "storages", {}).values(), one):
            if location := getattr(storage, "location", None):
                yield Path(location)


def _check_location(storage: Storage, name: str) -> None:
    """Refuse a link that leads out of a storage's directory. Raises AssetError."""
    if isinstance(storage, FileSystemStorage):
        path = Path(storage.path(name))
        if path.exists() and not path.is_file():
            raise _missing(name, "its storage")
        _inside(name, path, [Path(storage.location)])


def _inside(name: str, path: Path, roots: list[Path]) -> Path:
    try:
        real = path.resolve()
        if any(real.is_relative_to(root.resolve()) for root in roots):
            return real
    except (OSError, RuntimeError) as error:  # a loop of links
        raise _unreadable(name, error) from error
    raise _outside(name)


def _read(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        return file.read(limit + 1)


@lru_cache(maxsize=CACHED_FILES)
def _read_once(path: Path, mtime: int, size: int) -> bytes:
    """The file's bytes; time and size are part of the key, so that a changed file is read anew."""
    return _read(path, CACHED_BYTES)


def _missing(name: str, where: str) -> AssetError:
    remedy = "correct the path" if where == "its storage" else "correct it, or run collectstatic"
    return AssetError(f"{name!r} is not among {where}: {remedy}.")


def _unreadable(name: str, error: Exception) -> AssetError:
    reason = getattr(error, "strerror", None) or type(error).__name__
    return AssetError(f"{name!r} cannot be read ({reason}): look at the file and its permissions.")


def _outside(name: str) -> AssetError:
    return AssetError(
        f"{name!r} leads out of its root, by a symbolic link or '..': put the file itself there."
    )
