"""Files of a test: what it writes stays in memory, what was there before can be read."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import Storage, default_storage, storages
from django.core.management import call_command

from django_docraptor.models import RenderJob
from django_docraptor.storage import get_document_storage
from django_docraptor.testing import InMemoryDocRaptor
from django_docraptor.testing.storages import MemoryOverStorage
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice

pytestmark = pytest.mark.django_db


class FarStorage(Storage):
    """A storage that must not be called."""

    def __getattribute__(self, name: str) -> Any:
        """Refuse everything."""
        raise AssertionError(f"{name} was used")


@pytest.fixture
def media(settings: Any, tmp_path: Path) -> Path:
    """The directory of the project's default storage, with a file."""
    settings.STORAGES = settings.STORAGES | {
        "default": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": tmp_path, "base_url": "https://media.example/"},
        }
    }
    (tmp_path / "logo.png").write_bytes(b"png")
    return tmp_path


def test_earlier_files_can_be_read(media: Path, docraptor: InMemoryDocRaptor) -> None:
    """The file is opened, measured and linked as ever."""
    assert isinstance(storages["default"], MemoryOverStorage)
    with default_storage.open("logo.png") as file:
        assert file.read() == b"png"
    assert default_storage.exists("logo.png")
    assert default_storage.size("logo.png") == 3
    assert default_storage.path("logo.png") == str(media / "logo.png")
    assert default_storage.url("logo.png") == "https://media.example/logo.png"
    assert not default_storage.exists("other.png")


def test_nothing_is_written_or_deleted(media: Path, docraptor: InMemoryDocRaptor) -> None:
    """The project's storage stays as it was, whatever the test writes and deletes."""
    name = default_storage.save("logo.png", ContentFile(b"another"))
    with default_storage.open("new.txt", "wb") as file:
        file.write(b"new")
    assert default_storage.open(name).read() == b"another"
    assert default_storage.size("new.txt") == 3
    with pytest.raises(NotImplementedError):
        default_storage.path("new.txt")
    for written in (name, "new.txt"):
        default_storage.delete(written)
        assert not default_storage.exists(written)
    assert [path.name for path in media.iterdir()] == ["logo.png"]
    assert (media / "logo.png").read_bytes() == b"png"


def test_names_are_free_or_not(docraptor: InMemoryDocRaptor) -> None:
    """Two files of one name have two names, and a name that is too long is shortened."""
    names = [default_storage.save("a.txt", ContentFile(b"a")) for _ in range(2)]
    assert len(set(names)) == 2
    assert len(default_storage.save("b" * 200, ContentFile(b"b"), max_length=50)) <= 50


def test_documents_do_not_touch_the_projects_storage(settings: Any) -> None:
    """A job's file is stored, read, and deleted with the job, without a call to a far storage."""
    far = {"BACKEND": f"{__name__}.FarStorage"}
    settings.STORAGES = settings.STORAGES | {"docraptor": far, "default": far}
    with InMemoryDocRaptor() as docraptor:
        InvoicePDF.enqueue(Invoice.objects.create(number="A-1"))
        (job,) = docraptor.render()
        assert job.file.open().read().startswith(b"%PDF-")
        docraptor.advance(400 * 86_400)
        call_command("docraptor_prune", older_than=timedelta(days=365), verbosity=0)
        docraptor.render()
        assert not RenderJob.objects.exists()
        assert not get_document_storage().exists(job.file.name)


def test_static_files_stay_as_they_are(docraptor: InMemoryDocRaptor) -> None:
    """Their storage is not replaced."""
    assert not isinstance(storages["staticfiles"], MemoryOverStorage)
