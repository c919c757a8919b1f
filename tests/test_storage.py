"""Which storage documents are saved in, and the URLs that it signs."""

import copy
import pickle

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
)

MEMORY = {"BACKEND": "django.core.files.storage.InMemoryStorage"}
DISK = {"BACKEND": "django.core.files.storage.FileSystemStorage"}


def storage_class() -> type:
    """Return the class of the current document storage."""
    return document_storage.__class__


@override_settings(STORAGES={"default": DISK, "docraptor": MEMORY})
def test_alias_docraptor_is_used_if_defined() -> None:
    """The alias "docraptor" is used if the project defines it."""
    assert storage_class() is InMemoryStorage


@override_settings(STORAGES={"default": MEMORY, "other": DISK})
def test_default_storage_is_used_without_the_alias() -> None:
    """Without the alias documents are saved in the default storage."""
    assert storage_class() is InMemoryStorage


def test_document_storage_follows_settings() -> None:
    """override_settings(STORAGES=…) takes effect at once, and ends with its block."""
    before = storage_class()
    with override_settings(STORAGES={"default": MEMORY}):
        assert storage_class() is InMemoryStorage
        with override_settings(STORAGES={"default": MEMORY, "docraptor": DISK}):
            assert storage_class() is FileSystemStorage
        assert storage_class() is InMemoryStorage
    assert storage_class() is before


@override_settings(STORAGES={"default": MEMORY})
def test_file_field_follows_settings() -> None:
    """A job's file is read from the storage of the current settings."""
    assert RenderJob().file.storage.__class__ is InMemoryStorage
    assert get_document_storage() is document_storage


@override_settings(STORAGES={"default": DISK, "docraptor": DISK, "archive": MEMORY})
def test_file_is_in_the_storage_of_its_row() -> None:
    """A job's own alias is used, also for a copy and a pickle of the job."""
    job = RenderJob(storage="archive", file="a.pdf")
    assert job.file.storage is storages["archive"]
    for other in (copy.deepcopy(job), pickle.loads(pickle.dumps(job))):
        assert other.file.storage is storages["archive"]


def test_job_with_a_missing_storage_can_be_read() -> None:
    """A job whose storage alias was removed can be read; opening its file says what is wrong."""
    job = RenderJob(storage="gone", file="a.pdf")
    assert job.file.name == "a.pdf"
    with pytest.raises(InvalidStorageError, match="gone"):
        job.file.open("rb")


def test_static_files_storage_is_not_for_documents() -> None:
    """The storage of static files is not offered for documents."""
    assert document_storage_aliases() == ["default", "docraptor"]


def test_storage_is_not_in_migrations() -> None:
    """A migration names the callable, not a storage with its location."""
    *_, kwargs = RenderJob._meta.get_field("file").deconstruct()
    assert kwargs["storage"] is get_document_storage
