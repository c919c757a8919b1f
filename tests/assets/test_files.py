"""Finding static and stored files, and never outside of their directories."""

import os
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage
from django.core.management import call_command

from django_docraptor.assets.files import find_static_file, stored_file
from tests.support.assets import SECRET, Write, asset_error, make_budget


def test_source_is_preferred_in_debug(write_static: Write, settings: Any) -> None:
    """With DEBUG on, the source is read instead of an older collected file."""
    write_static("a.txt", b"new")
    (Path(settings.STATIC_ROOT)).mkdir()
    (Path(settings.STATIC_ROOT) / "a.txt").write_bytes(b"old")
    assert find_static_file("a.txt").read(make_budget()) == b"old"
    settings.DEBUG = True
    assert find_static_file("a.txt").read(make_budget()) == b"new"


def test_finders_are_used_without_static_root(write_static: Write, settings: Any) -> None:
    """A project that has never run collectstatic uses the finders."""
    write_static("a.txt", b"found")
    settings.STATIC_ROOT = None
    assert find_static_file("a.txt").read(make_budget()) == b"found"


def test_remote_static_storage_is_used_if_finders_fail(settings: Any) -> None:
    """If the finders find nothing, a remote storage is asked."""
    backend = "django.core.files.storage.InMemoryStorage"
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": backend}}
    staticfiles_storage.save("a.txt", ContentFile(b"remote"))
    assert find_static_file("a.txt").read(make_budget()) == b"remote"
    assert "static file 'b.txt' does not exist" in asset_error(find_static_file, "b.txt")


@pytest.mark.parametrize("debug", [True, False])
def test_changed_static_file_is_read_again(write_static: Write, settings: Any, debug: bool) -> None:
    """A cached file is read again if its time or size has changed."""
    settings.DEBUG = debug
    path = write_static("a.txt", b"one")
    assert find_static_file("a.txt").read(make_budget()) == b"one"
    path.write_bytes(b"two")
    os.utime(path, ns=(1, 1))
    assert find_static_file("a.txt").read(make_budget()) == b"two"


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
def test_hostile_static_name_is_refused(
    write_static: Write, settings: Any, name: object, debug: bool
) -> None:
    """A name that does not name a file below a static directory is refused, with a remedy."""
    settings.DEBUG = debug
    write_static("shop/a.png")
    assert asset_error(find_static_file, name).endswith((".", "'."))


@pytest.mark.parametrize("name", [name for name in HOSTILE if isinstance(name, str)])
def test_hostile_stored_name_is_refused(tmp_path: Path, name: str) -> None:
    """The same applies to a name from a database row."""
    (tmp_path / "secret.txt").write_bytes(SECRET)
    (tmp_path / "media" / "shop").mkdir(parents=True)
    storage = FileSystemStorage(location=tmp_path / "media")
    assert asset_error(lambda: stored_file(storage, name).read(make_budget())).endswith((".", "'."))


def test_static_link_out_of_its_root_is_refused(write_static: Write) -> None:
    """A symbolic link to a file or directory elsewhere is refused; a link within is followed."""
    inside = write_static("a.txt", b"inside")
    root = inside.parent
    (root / "out.txt").symlink_to(root.parent / "secret.txt")
    (root / "up").symlink_to(root.parent)
    (root / "in.txt").symlink_to(inside)
    assert "is outside its root" in asset_error(find_static_file, "out.txt")
    assert "is outside its root" in asset_error(find_static_file, "up/secret.txt")
    assert find_static_file("in.txt").read(make_budget()) == b"inside"


def test_links_of_collectstatic_are_followed(write_static: Write, settings: Any) -> None:
    """`collectstatic --link` links to the sources, which are static directories, too."""
    write_static("a.txt", b"linked")
    call_command("collectstatic", "--link", interactive=False, verbosity=0)
    assert (Path(settings.STATIC_ROOT) / "a.txt").is_symlink()
    assert find_static_file("a.txt").read(make_budget()) == b"linked"


def test_stored_link_out_of_its_root_is_refused(tmp_path: Path) -> None:
    """A symbolic link in the media directory is refused if it leads out."""
    (tmp_path / "secret.txt").write_bytes(SECRET)
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "a.png").symlink_to(tmp_path / "secret.txt")
    file = stored_file(FileSystemStorage(location=tmp_path / "media"), "a.png")
    assert "is outside its root" in asset_error(file.read, make_budget())


def test_loop_of_links_is_an_asset_error(tmp_path: Path) -> None:
    """Links that lead to each other raise an asset error."""
    (tmp_path / "a.png").symlink_to(tmp_path / "b.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    file = stored_file(FileSystemStorage(location=tmp_path), "a.png")
    assert "'a.png' cannot be read" in asset_error(file.read, make_budget())


def test_pipe_is_refused(write_static: Write) -> None:
    """A named pipe is refused, since reading it could block the worker for ever."""
    os.mkfifo(write_static("a.txt").parent / "pipe.txt")
    assert "static file 'pipe.txt' does not exist" in asset_error(find_static_file, "pipe.txt")


def test_static_file_deleted_meanwhile_is_an_asset_error(write_static: Write) -> None:
    """A file that disappears before it is read raises an asset error."""
    path = write_static("a.txt")
    source = find_static_file("a.txt")
    path.unlink()
    assert "cannot be read (No such file or directory)" in asset_error(source.read, make_budget())


def test_stored_directory_is_refused(tmp_path: Path) -> None:
    """A directory in the media directory is not a file."""
    (tmp_path / "a.png").mkdir()
    file = stored_file(FileSystemStorage(location=tmp_path), "a.png")
    assert "file 'a.png' does not exist in its storage" in asset_error(file.read, make_budget())
