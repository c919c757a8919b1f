"""Static files and stored files: found, and never outside of their roots."""

import os
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage
from django.core.management import call_command

from django_docraptor.assets.files import find_static_file, stored_file
from tests.support.assets import SECRET, Write, budget, refusal


def test_find_static_file_prefers_the_source_in_debug(write: Write, settings: Any) -> None:
    """What was collected last week is stale while somebody writes CSS."""
    write("a.txt", b"new")
    (Path(settings.STATIC_ROOT)).mkdir()
    (Path(settings.STATIC_ROOT) / "a.txt").write_bytes(b"old")
    assert find_static_file("a.txt").read(budget()) == b"old"
    settings.DEBUG = True
    assert find_static_file("a.txt").read(budget()) == b"new"


def test_find_static_file_without_static_root(write: Write, settings: Any) -> None:
    """A project that has never collected uses the finders."""
    write("a.txt", b"found")
    settings.STATIC_ROOT = None
    assert find_static_file("a.txt").read(budget()) == b"found"


def test_find_static_file_of_another_storage(settings: Any) -> None:
    """A storage that is not on this machine is asked where the finders find nothing."""
    backend = "django.core.files.storage.InMemoryStorage"
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": backend}}
    staticfiles_storage.save("a.txt", ContentFile(b"remote"))
    assert find_static_file("a.txt").read(budget()) == b"remote"
    assert "static file 'b.txt' does not exist" in refusal(find_static_file, "b.txt")


@pytest.mark.parametrize("debug", [True, False])
def test_find_static_file_that_changes(write: Write, settings: Any, debug: bool) -> None:
    """What is kept in memory never outlives the file's time and size."""
    settings.DEBUG = debug
    path = write("a.txt", b"one")
    assert find_static_file("a.txt").read(budget()) == b"one"
    path.write_bytes(b"two")
    os.utime(path, ns=(1, 1))
    assert find_static_file("a.txt").read(budget()) == b"two"


# Hostile names.


HOSTILE = [
    "../secret.txt",
    "shop/../../secret.txt",
    "shop/..",
    "..",
    "..\\secret.txt",
    "/etc/passwd",
    "//etc/passwd",
    "\\\\host\\share",
    "C:\\secret.txt",
    "C:secret.txt",
    "file:///etc/passwd",
    "FILE:/etc/passwd",
    "http://127.0.0.1/a.png",
    "data:text/plain,x",
    "a.png\x00.txt",
    "\x00",
    "a\n.png",
    "a\ud800.png",
    "x" * 5000,
    "",
    " ",
    ".",
    "shop",
    "shop/",
    None,
    7,
    b"a.png",
    Path("a.png"),
]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("debug", [True, False])
def test_find_static_file_refuses(write: Write, settings: Any, name: object, debug: bool) -> None:
    """Whatever is no plain name of a file below a static directory is refused with a remedy."""
    settings.DEBUG = debug
    write("shop/a.png")
    assert refusal(find_static_file, name).endswith((".", "'."))


@pytest.mark.parametrize("name", [name for name in HOSTILE if isinstance(name, str)])
def test_stored_file_refuses(tmp_path: Path, name: str) -> None:
    """The same for the name that a row of a database gives."""
    (tmp_path / "secret.txt").write_bytes(SECRET)
    (tmp_path / "media" / "shop").mkdir(parents=True)
    storage = FileSystemStorage(location=tmp_path / "media")
    assert refusal(lambda: stored_file(storage, name).read(budget())).endswith((".", "'."))


def test_find_static_file_refuses_a_link_that_leads_out(write: Write) -> None:
    """A symbolic link to a file or a directory elsewhere is not followed; one within is."""
    inside = write("a.txt", b"inside")
    root = inside.parent
    (root / "out.txt").symlink_to(root.parent / "secret.txt")
    (root / "up").symlink_to(root.parent)
    (root / "in.txt").symlink_to(inside)
    assert "is outside its root" in refusal(find_static_file, "out.txt")
    assert "is outside its root" in refusal(find_static_file, "up/secret.txt")
    assert find_static_file("in.txt").read(budget()) == b"inside"


def test_find_static_file_takes_links_of_collectstatic(write: Write, settings: Any) -> None:
    """`collectstatic --link` links to the sources, which are static directories too."""
    write("a.txt", b"linked")
    call_command("collectstatic", "--link", interactive=False, verbosity=0)
    assert (Path(settings.STATIC_ROOT) / "a.txt").is_symlink()
    assert find_static_file("a.txt").read(budget()) == b"linked"


def test_stored_file_refuses_a_link_that_leads_out(tmp_path: Path) -> None:
    """A link in the media directory is no way out, either."""
    (tmp_path / "secret.txt").write_bytes(SECRET)
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "a.png").symlink_to(tmp_path / "secret.txt")
    file = stored_file(FileSystemStorage(location=tmp_path / "media"), "a.png")
    assert "is outside its root" in refusal(file.read, budget())


def test_stored_file_refuses_a_loop_of_links(tmp_path: Path) -> None:
    """Links that lead to each other are an asset error."""
    (tmp_path / "a.png").symlink_to(tmp_path / "b.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    file = stored_file(FileSystemStorage(location=tmp_path), "a.png")
    assert "'a.png' cannot be read" in refusal(file.read, budget())


def test_find_static_file_refuses_what_is_no_file(write: Write) -> None:
    """A pipe would hold the worker for ever."""
    os.mkfifo(write("a.txt").parent / "pipe.txt")
    assert "static file 'pipe.txt' does not exist" in refusal(find_static_file, "pipe.txt")


def test_find_static_file_that_cannot_be_read(write: Write) -> None:
    """What vanishes between the look and the read is an asset error, too."""
    path = write("a.txt")
    source = find_static_file("a.txt")
    path.unlink()
    assert "cannot be read (No such file or directory)" in refusal(source.read, budget())


def test_stored_file_that_is_a_directory(tmp_path: Path) -> None:
    """A directory in the media directory is no file."""
    (tmp_path / "a.png").mkdir()
    file = stored_file(FileSystemStorage(location=tmp_path), "a.png")
    assert "file 'a.png' does not exist in its storage" in refusal(file.read, budget())
