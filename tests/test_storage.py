"""Which storage keeps documents, and under which name."""

import copy
import pickle
import re
import uuid
from datetime import UTC, datetime

import pytest
from django.core.files.storage import (
    FileSystemStorage,
    InMemoryStorage,
    InvalidStorageError,
    storages,
)
from django.test import override_settings

from django_docraptor.models import RenderJob
from django_docraptor.storage import (
    document_storage,
    document_storage_aliases,
    get_document_storage,
    storage_name,
)

JOB = uuid.UUID("6f1c1d1e-6c5b-4a86-9f5e-0d5b1b6f9a11")
MEMORY = {"BACKEND": "django.core.files.storage.InMemoryStorage"}
DISK = {"BACKEND": "django.core.files.storage.FileSystemStorage"}
AT = datetime(2031, 2, 3, tzinfo=UTC)


def kind() -> type:
    """Class of the storage that documents go to now."""
    return document_storage.__class__


@override_settings(STORAGES={"default": DISK, "docraptor": MEMORY})
def test_document_storage_alias() -> None:
    """The alias docraptor is used where a project has it."""
    assert kind() is InMemoryStorage


@override_settings(STORAGES={"default": MEMORY, "other": DISK})
def test_document_storage_default() -> None:
    """Without the alias documents go to the default storage."""
    assert kind() is InMemoryStorage


def test_document_storage_follows_settings() -> None:
    """override_settings(STORAGES=…) takes effect at once, and ends with its block."""
    before = kind()
    with override_settings(STORAGES={"default": MEMORY}):
        assert kind() is InMemoryStorage
        with override_settings(STORAGES={"default": MEMORY, "docraptor": DISK}):
            assert kind() is FileSystemStorage
        assert kind() is InMemoryStorage
    assert kind() is before


@override_settings(STORAGES={"default": MEMORY})
def test_file_field_follows_settings() -> None:
    """A job's file is read from the storage of the present settings."""
    assert RenderJob().file.storage.__class__ is InMemoryStorage
    assert get_document_storage() is document_storage


@override_settings(STORAGES={"default": DISK, "docraptor": DISK, "archive": MEMORY})
def test_file_is_in_the_storage_of_its_row() -> None:
    """A job's own alias counts, also for a copy and a pickle of it."""
    job = RenderJob(storage="archive", file="a.pdf")
    assert job.file.storage is storages["archive"]
    for other in (copy.deepcopy(job), pickle.loads(pickle.dumps(job))):
        assert other.file.storage is storages["archive"]


def test_storage_that_is_gone() -> None:
    """A job whose alias was taken out of STORAGES can be looked at; its file says what is wrong."""
    job = RenderJob(storage="gone", file="a.pdf")
    assert job.file.name == "a.pdf"
    with pytest.raises(InvalidStorageError, match="gone"):
        job.file.open("rb")


def test_document_storage_aliases() -> None:
    """What static files are stored in is no place for documents."""
    assert document_storage_aliases() == ["default", "docraptor"]


def test_storage_is_not_in_migrations() -> None:
    """A migration names the callable, never a storage with its location."""
    *_, kwargs = RenderJob._meta.get_field("file").deconstruct()
    assert kwargs["storage"] is get_document_storage


def test_storage_name() -> None:
    """By year and month, with the job's key and attempt."""
    assert storage_name(JOB, 2, "pdf", AT) == f"docraptor/2031/02/{JOB.hex}-2.pdf"


def test_storage_name_differs_by_attempt() -> None:
    """Two attempts never write over each other's file."""
    assert storage_name(JOB, 1, "pdf", AT) != storage_name(JOB, 2, "pdf", AT)


def test_storage_name_is_plain() -> None:
    """A storage has nothing to sanitise in the name, so it stays as it was reserved."""
    name = storage_name(JOB, 32767, "xlsx", AT)
    assert re.fullmatch(r"[a-z0-9/.-]+", name)
    assert len(name) < RenderJob._meta.get_field("file").max_length
