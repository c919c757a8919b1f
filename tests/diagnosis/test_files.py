"""The probes of storages and of the spool, with real files and a real web server."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage

from django_docraptor import registry
from django_docraptor.diagnosis import files
from tests.diagnosis.conftest import Configure, only, statuses

FILE_SYSTEM = "django.core.files.storage.FileSystemStorage"
HERE = "tests.diagnosis.test_files"


class UndeletableStorage(FileSystemStorage):
    """A bucket without the permission to delete."""

    def delete(self, name: str) -> None:
        raise PermissionError("DeleteObject is not allowed")


class ForgetfulStorage(FileSystemStorage):
    """A storage that returns another file than was written."""

    def open(self, name: str, mode: str = "rb") -> Any:
        return ContentFile(b"something else")


class UnreadableStorage(FileSystemStorage):
    """A bucket without the permission to read."""

    def open(self, name: str, mode: str = "rb") -> Any:
        raise PermissionError("GetObject is not allowed")


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves a directory without writing a log."""

    def log_message(self, *args: object) -> None:
        """Write nothing."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The URL at which a web server serves the directory of the storage."""
    (tmp_path / "documents").mkdir()
    handler = partial(QuietHandler, directory=str(tmp_path / "documents"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def store(settings, tmp_path: Path) -> Any:
    """A function that sets the storage of documents."""

    def set_storage(backend: str = FILE_SYSTEM, alias: str = "docraptor", **options: Any) -> None:
        options = {"location": str(tmp_path / "documents")} | options
        settings.STORAGES = settings.STORAGES | {alias: {"BACKEND": backend, "OPTIONS": options}}

    return set_storage


def test_private_directory_is_good(store, tmp_path: Path) -> None:
    """It is written, read and deleted, and has no URL: nothing stays."""
    store()
    results = list(files.probe_storages())
    assert statuses(results) == [("storage", "ok"), ("privacy", "ok")]
    assert list((tmp_path / "documents").iterdir()) == []


def test_directory_that_cannot_be_written(store, tmp_path: Path) -> None:
    """The alias and what it needs are told."""
    (tmp_path / "file").write_text("in the way")
    store(location=str(tmp_path / "file"))
    status, text = only(files.probe_storages())
    assert status == "fail"
    assert text.startswith("The storage 'docraptor' cannot be written: ")
    assert "Check STORAGES['docraptor'], and allow this user to write." in text


def test_storage_that_cannot_be_imported(store) -> None:
    """A misspelt backend is a failure of the probe, not of the command."""
    store("shop.storages.Missing")
    status, text = only(files.probe_storages())
    assert (status, "cannot be written: " in text, "shop" in text) == ("fail", True, True)


@pytest.mark.parametrize(
    ("backend", "text"),
    [
        ("ForgetfulStorage", "returns another file than was written"),
        ("UnreadableStorage", "cannot be read: PermissionError: GetObject is not allowed"),
    ],
)
def test_storage_that_does_not_return_the_file(store, tmp_path, backend: str, text: str) -> None:
    """Documents could not be served; the file that was written is deleted."""
    store(f"{HERE}.{backend}")
    status, message = only(files.probe_storages())
    assert (status, text in message) == ("fail", True)
    assert list((tmp_path / "documents").iterdir()) == []


def test_storage_that_may_not_delete_is_a_warning(store) -> None:
    """Documents are stored there; the file that is left is named."""
    store(f"{HERE}.UndeletableStorage")
    *_, last = files.probe_storages()
    assert last.status == "warn"
    assert "docraptor-check-" in last.message


def test_public_file_is_a_failure(store, served: str) -> None:
    """What a stranger gets by the plain URL is public, whatever the settings say."""
    store(base_url=served)
    results = list(files.probe_storages())
    assert statuses(results) == [("storage", "ok"), ("privacy", "fail")]
    assert "without a login. Use a private bucket" in results[1].text


def test_signature_is_not_sent(store, served: str, settings) -> None:
    """A private bucket refuses the URL without its signature: that is asked."""
    store(f"{HERE}.SignedStorage", base_url=served)
    assert statuses(files.probe_storages()) == [("storage", "ok"), ("privacy", "ok")]


class SignedStorage(FileSystemStorage):
    """A bucket that serves nothing by the URL without a signature."""

    def url(self, name: str | None) -> str:
        return f"{self.base_url}elsewhere/{name}?X-Signature=secret"


def test_media_root_is_a_warning(store, settings, tmp_path: Path) -> None:
    """Whether a web server serves it is not known without the site's URL."""
    settings.MEDIA_ROOT, settings.MEDIA_URL = str(tmp_path), "/media/"
    store()
    _, result = files.probe_storages()
    assert (result.status, "below /media/. A web server may serve them" in result.text) == (
        "warn",
        True,
    )


def test_media_root_is_asked_by_the_url_of_the_site(
    store, settings, configure: Configure, tmp_path: Path, served: str
) -> None:
    """With CALLBACK_BASE_URL the site itself is asked for the file."""
    settings.MEDIA_ROOT, settings.MEDIA_URL = str(tmp_path), "/"
    store(base_url="//" + served.removeprefix("http://"))
    configure(CALLBACK_BASE_URL=served.rstrip("/"))
    _, result = files.probe_storages()
    assert result.status == "fail"


def test_storages_of_document_classes_are_tried(store, tmp_path: Path) -> None:
    """A class may name an alias of its own."""

    class Stored:
        """A document with a storage."""

        storage = "archive"

    class Adapter:
        """As the registry has it."""

        document = Stored

    store()
    store(alias="archive", location=str(tmp_path / "archive"))
    registry.register("shop.Stored", Adapter())  # type: ignore[arg-type]
    messages = [result.message for result in files.probe_storages() if result.name == "storage"]
    assert [message.split()[0] for message in messages] == ["'docraptor'", "'archive'"]


def test_spool_with_room_is_good(configure: Configure, tmp_path: Path) -> None:
    """Its directory and its room are told."""
    configure(SPOOL_DIR=tmp_path / "spool", MAX_DOCUMENT_BYTES=1)
    status, text = only(files.probe_spool())
    assert (status, text.startswith(f"{tmp_path / 'spool'} has ")) == ("ok", True)


def test_spool_without_room_for_the_largest_document(configure: Configure, tmp_path: Path) -> None:
    """Smaller ones fit: a warning."""
    configure(SPOOL_DIR=tmp_path / "spool", MAX_DOCUMENT_BYTES=10**18)
    assert only(files.probe_spool())[0] == "warn"


def test_spool_that_cannot_be_used(configure: Configure, tmp_path: Path) -> None:
    """A file is in its place."""
    (tmp_path / "spool").write_text("in the way")
    configure(SPOOL_DIR=tmp_path / "spool")
    status, text = only(files.probe_spool())
    assert (status, "Set DOCRAPTOR['SPOOL_DIR'] to a directory" in text) == ("fail", True)
