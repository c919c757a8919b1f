"""Internal. Probes of the storages for documents, and of the spool directory."""

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, storages
from django.template.defaultfilters import filesizeformat

from django_docraptor import registry, spool
from django_docraptor.client.visits import visit
from django_docraptor.conf import conf
from django_docraptor.diagnosis.results import Result, as_sentence, fail, ok, warn
from django_docraptor.exceptions import CallError
from django_docraptor.storage import DOCUMENT_STORAGE_ALIAS, get_storage, is_served

# Storages that are tried: the default one, and those that document classes name.
MAX_STORAGES: Final = 5
VISIT_SECONDS: Final = 5.0
PRIVATE_REMEDY: Final = (
    "Use a private bucket, or a directory that no web server serves: readers get documents by "
    "job.get_absolute_url(), which asks for their permission."
)


def probe_storages() -> Iterator[Result]:
    """Write, read and delete a small file in each storage, and ask for it as a stranger would."""
    aliases = {str(getattr(_document_class(each), "storage", "")) for each in _documents()}
    for alias in sorted({"", *aliases})[:MAX_STORAGES]:
        yield from _probe_storage(alias)


def _documents() -> Iterator[Any]:
    yield from registry.all_documents().values()


def _document_class(document: Any) -> Any:
    return getattr(document, "document", document)


def _title(alias: str) -> str:
    """Return the alias in STORAGES; the default one for documents has a rule of its own."""
    has_own = DOCUMENT_STORAGE_ALIAS in storages.backends
    return alias or (DOCUMENT_STORAGE_ALIAS if has_own else "default")


def _probe_storage(alias: str) -> Iterator[Result]:
    title = _title(alias)
    content = uuid.uuid4().hex.encode()
    try:
        storage = get_storage(alias)
        name = storage.save(f"docraptor-check-{uuid.uuid4().hex}.txt", ContentFile(content))
    except Exception as error:  # noqa: BLE001 - each storage raises its own errors
        problem = f"The storage {title!r} cannot be written: {_text(error)}."
        yield fail("storage", problem, f"Check STORAGES[{title!r}], and allow this user to write.")
        return
    try:
        yield from _look_at_file(storage, title, name, content)
    finally:
        yield from _delete(storage, title, name)


def _look_at_file(storage: Any, title: str, name: str, content: bytes) -> Iterator[Result]:
    """Read the file, by the storage and by its URL."""
    try:
        with storage.open(name, "rb") as file:
            is_same = file.read(len(content) + 1) == content
    except Exception as error:  # noqa: BLE001 - each storage raises its own errors
        problem = f"The storage {title!r} cannot be read: {_text(error)}."
        yield fail("storage", problem, "Allow this user to read there: documents are served by it.")
        return
    if not is_same:
        yield fail("storage", f"The storage {title!r} returns another file than was written.")
        return
    yield ok("storage", f"{title!r} ({type_name(storage)}) writes and reads.")
    yield _privacy(storage, title, name, content)


def _privacy(storage: Any, title: str, name: str, content: bytes) -> Result:
    """Ask for the file without a signature, and without a login."""
    try:
        url = str(storage.url(name))
    except Exception:  # noqa: BLE001 - it has no URLs: NotImplementedError, ValueError or its own
        return ok("privacy", f"Files of {title!r} have no URL.")
    if url.startswith("/") and isinstance(storage, FileSystemStorage) and not is_served(storage):
        return ok("privacy", f"Files of {title!r} are not below MEDIA_ROOT with a URL.")
    parts = urlsplit(urljoin(conf.callback_base_url, url))
    plain = parts._replace(query="", fragment="").geturl()
    if not parts.scheme.startswith("http"):
        return warn(
            "privacy",
            f"Files of {title!r} have a URL of this site, below {url.rpartition('/')[0]}/. A web "
            "server may serve them.",
            PRIVATE_REMEDY,
        )
    try:
        response = visit(plain, seconds=VISIT_SECONDS, ca_bundle=str(conf.ca_bundle))
    except CallError as error:
        return warn("privacy", f"The URL of a file could not be tried: {error.message}")
    if response.status == 200 and content in response.body:
        message = f"Anyone who knows the name of a file of {title!r} can read it without a login."
        return fail("privacy", message, PRIVATE_REMEDY)
    return ok("privacy", f"A file of {title!r} is refused to strangers (HTTP {response.status}).")


def _delete(storage: Any, title: str, name: str) -> Iterator[Result]:
    try:
        storage.delete(name)
    except Exception as error:  # noqa: BLE001 - each storage raises its own errors
        yield warn(
            "storage",
            f"The storage {title!r} cannot delete: {_text(error)}. The file {name} is left there, "
            "and so are files of deleted jobs.",
            "Allow this user to delete there, or delete old files by a rule of the storage.",
        )


def type_name(storage: Any) -> str:
    """Return the class of a storage, also of one that is made when it is first used."""
    return str(getattr(storage, "__class__", type(storage)).__name__)


def _text(error: Exception) -> str:
    return as_sentence(error).removesuffix(".")


def probe_spool() -> Iterator[Result]:
    """Look whether downloads have room in the spool directory of this machine."""
    try:
        directory = spool.get_directory()
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(b"docraptor_check")
    except (spool.SpoolError, OSError) as error:
        remedy = "Set DOCRAPTOR['SPOOL_DIR'] to a directory that this user may write."
        yield fail(
            "spool", f"The spool directory cannot be used: {error}".rstrip(".") + ".", remedy
        )
        return
    free, limit = shutil.disk_usage(directory).free, conf.max_document_bytes
    message = f"{directory} has {_size(free)} free; a document may have {_size(limit)}."
    remedy = "Free up space, or set DOCRAPTOR['SPOOL_DIR'] to a larger disk."
    if free < spool.RESERVE_BYTES:
        yield fail("spool", message, remedy)
    elif free < limit:
        yield warn("spool", message, remedy)
    else:
        yield ok("spool", message)


def _size(number: int) -> str:
    return filesizeformat(number).replace("\xa0", " ")
