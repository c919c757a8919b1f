"""Documents in real storages: S3's protocol over a socket, and storages that rename or close."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
import requests
from django.contrib.auth import get_user_model
from django.core.files.storage import FileSystemStorage
from django.db import connection
from moto.server import ThreadedMotoServer
from storages.backends.s3 import S3Storage

from django_docraptor import lifecycle
from django_docraptor.diagnosis.files import probe_storages
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice
from tests.support.crash import run_until_killed
from tests.support.jobs import downloadable_job, enqueue, read_file, run_until_finished, skip_time
from tests.support.processes import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]

BUCKET = "documents"
KEYS = {
    "aws_access_key_id": "a-key",
    "aws_secret_access_key": "a-secret",
    "region_name": "us-east-1",
}
PUBLIC = "http://acs.amazonaws.com/groups/global/AllUsers"
MEBIBYTE = 1024 * 1024


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    """The URL of a server that speaks S3's protocol."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()
    server._server.server_close()


@pytest.fixture
def bucket(s3_url: str, settings: Any) -> Iterator[Any]:
    """An empty bucket that is the storage for documents, as the documentation recommends."""
    client = boto3.client("s3", endpoint_url=s3_url, **KEYS)
    client.create_bucket(Bucket=BUCKET)
    settings.STORAGES = settings.STORAGES | {"docraptor": s3_storage(s3_url)}
    yield SimpleNamespace(client=client, url=s3_url, keys=lambda: object_keys(client))
    for key in object_keys(client):
        client.delete_object(Bucket=BUCKET, Key=key)
    client.delete_bucket(Bucket=BUCKET)
    client.close()


def s3_storage(url: str, **options: Any) -> dict[str, Any]:
    """Return an entry for STORAGES."""
    return {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {
            "bucket_name": BUCKET,
            "endpoint_url": url,
            "access_key": KEYS["aws_access_key_id"],
            "secret_key": KEYS["aws_secret_access_key"],
            "region_name": KEYS["region_name"],
            "default_acl": "private",
            "querystring_auth": True,
            **options,
        },
    }


def object_keys(client: Any) -> list[str]:
    """Return the keys of the bucket's objects."""
    return [item["Key"] for item in client.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


def test_s3_object_has_the_document_and_is_private(sandbox, bucket):
    """The object has the document's bytes and cannot be read without a signature."""
    job = run_until_finished(enqueue())
    assert job.state == "completed", job.errors
    assert bucket.keys() == [job.file.name]
    body = BytesIO()
    bucket.client.download_fileobj(BUCKET, job.file.name, body)
    assert body.getvalue() == read_file(job)
    assert (job.file_size, job.sha256) == (len(body.getvalue()), sandbox.ledger.entries[0].sha256)
    grants = bucket.client.get_object_acl(Bucket=BUCKET, Key=job.file.name)["Grants"]
    assert grants
    assert PUBLIC not in [grant["Grantee"].get("URI") for grant in grants]
    plain = requests.get(f"{bucket.url}/{BUCKET}/{job.file.name}", timeout=10)
    assert plain.status_code == 403


@pytest.mark.parametrize("signature", ["s3v4", "s3"])
def test_s3_download_is_a_short_lived_redirect(sandbox, bucket, settings, client, signature):
    """The owner is redirected to a signed URL that works for a minute at most."""
    settings.STORAGES = settings.STORAGES | {
        "docraptor": s3_storage(bucket.url, signature_version=signature)
    }
    owner = get_user_model().objects.create_user("owner")
    job = run_until_finished(enqueue(owner=owner))
    client.force_login(owner)
    response = client.get(job.get_absolute_url())
    assert response.status_code == 302
    assert "no-store" in response["Cache-Control"]
    query = parse_qs(urlsplit(response["Location"]).query)
    if signature == "s3v4":
        assert 0 < int(query["X-Amz-Expires"][0]) <= 60
    else:
        left = int(query["Expires"][0]) - job.finished_at.timestamp()
        assert 0 < left <= 60 + 30
    assert query.get("X-Amz-Signature") or query.get("Signature")
    fetched = requests.get(response["Location"], timeout=10)
    assert fetched.status_code == 200
    assert fetched.content == read_file(job)


def test_s3_download_with_a_custom_domain_is_streamed(sandbox, bucket, settings, client):
    """A custom domain would give a URL that never expires, so the file is streamed."""
    settings.AWS_S3_CUSTOM_DOMAIN = "media.example"
    settings.STORAGES = settings.STORAGES | {"docraptor": s3_storage(bucket.url)}
    owner = get_user_model().objects.create_user("owner")
    job = run_until_finished(enqueue(owner=owner))
    assert job.file.url == f"https://media.example/{job.file.name}"
    client.force_login(owner)
    response = client.get(job.get_absolute_url())
    assert response.status_code == 200
    assert response.getvalue() == read_file(job)


def test_s3_download_is_refused_to_others(sandbox, bucket, client):
    """Another user gets 404 and no URL."""
    owner = get_user_model().objects.create_user("owner")
    client.force_login(get_user_model().objects.create_user("other"))
    response = client.get(run_until_finished(enqueue(owner=owner)).get_absolute_url())
    assert response.status_code == 404
    assert not response.has_header("Location")


@pytest.mark.fault("F10")
def test_s3_copies_of_two_documents_are_two_objects(sandbox, bucket, settings, monkeypatch):
    """S3 overwrites by default; names that differ after 90 characters are two objects."""
    field = Invoice._meta.get_field("pdf")
    options = s3_storage(bucket.url)["OPTIONS"] | {"file_overwrite": True}
    monkeypatch.setattr(field, "storage", S3Storage(**options))
    monkeypatch.setattr(InvoicePDF, "deliver_to", "pdf")
    for ending in ("one", "two"):
        invoice = Invoice.objects.create(number=ending)
        job = run_until_finished(InvoicePDF.enqueue(invoice, name="x" * 90 + ending))
        InvoicePDF.deliver(job)  # unless a receiver has done it
        invoice.refresh_from_db()
        with invoice.pdf.open("rb") as file:
            assert file.read() == read_file(job)
    assert sum(key.startswith("invoices/") for key in object_keys(bucket.client)) == 2


@pytest.mark.fault("F2")
@pytest.mark.parametrize("overwrite", [True, False])
def test_s3_worker_killed_after_upload_leaves_one_object(
    sandbox, bucket, settings, tmp_path, overwrite
):
    """If the worker dies after the upload, the next one leaves one object and downloads nothing."""
    settings.STORAGES = settings.STORAGES | {
        "docraptor": s3_storage(bucket.url, file_overwrite=overwrite)
    }
    job = downloadable_job(test=False)
    run_until_killed("after_save", settings)
    job.refresh_from_db()
    assert job.state == "downloading"
    assert bucket.keys() == [job.reserved_name]
    job = run_until_finished(job)
    assert job.state == "completed", job.errors
    assert bucket.keys() == [job.file.name]
    assert sandbox.ledger.download_calls == 1


@pytest.mark.fault("F1")
def test_missing_s3_bucket_postpones_the_job(sandbox, bucket, settings):
    """A missing bucket postpones the job without a second download or render."""
    settings.STORAGES = settings.STORAGES | {
        "docraptor": s3_storage(bucket.url, bucket_name="elsewhere")
    }
    job = downloadable_job(test=False)
    lifecycle.download()
    job.refresh_from_db()
    assert job.state == "downloading"
    assert "NoSuchBucket" in job.errors
    settings.STORAGES = settings.STORAGES | {"docraptor": s3_storage(bucket.url)}
    assert run_until_finished(job).state == "completed"
    assert sandbox.ledger.download_calls == len(sandbox.ledger.entries) == 1


MEASURE = """
import json, resource, sys
import tests.settings as module
given = json.load(sys.stdin)
module.DATABASES["default"]["NAME"] = given["database"]
module.DOCRAPTOR = given["docraptor"]
module.STORAGES["docraptor"] = given["storage"]
import django
django.setup()
from django.core.files.base import ContentFile
from django_docraptor import lifecycle
from django_docraptor.storage import document_storage
document_storage.delete(document_storage.save("warm-up", ContentFile(b"x")))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert lifecycle.download() == 1
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_s3_upload_takes_bounded_memory(sandbox, bucket, settings, tmp_path):
    """A process that stores a document of 150 MB grows by far less."""
    size = 150 * MEBIBYTE
    sandbox.change_settings(canned_bytes=size)
    settings.DOCRAPTOR = settings.DOCRAPTOR | {
        "MAX_DOCUMENT_BYTES": 2 * size,
        "TIMEOUT": {"download_read": 20, "total": 60},
    }
    job = enqueue()
    lifecycle.submit()
    wait_until("rendered", lambda: sandbox.ledger.entries[0].finished_at, 30)
    skip_time(2)
    lifecycle.poll()
    grown = run_script(MEASURE, settings)
    job.refresh_from_db()
    assert job.state == "completed", job.errors
    assert job.file_size >= size
    head = bucket.client.head_object(Bucket=BUCKET, Key=job.file.name)
    assert head["ContentLength"] == job.file_size
    print(grown / 1024, "MiB")
    assert grown < 100 * 1024  # ru_maxrss is in KiB; boto3 holds up to ten parts of 8 MiB


def run_script(script: str, settings: Any) -> int:
    """Run a script with this test's settings in another process; return the number it prints."""
    given = {
        "database": str(connection.settings_dict["NAME"]),
        "docraptor": settings.DOCRAPTOR,
        "storage": settings.STORAGES["docraptor"],
    }
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps(given, default=str),
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"},
        text=True,
        capture_output=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


# Storages that rename or close files.


class RenamingStorage(FileSystemStorage):
    """A storage that chooses another name than the given one."""

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        """Put its own mark before the ending."""
        path = Path(name)
        return str(path.with_name(f"{path.stem}-renamed{path.suffix}"))


class ClosingStorage(FileSystemStorage):
    """A storage that closes the file it is given, as boto3 does."""

    def _save(self, name: str, content: Any) -> str:
        saved = super()._save(name, content)
        content.close()
        content.file.close()
        return saved


def storage_entry(storage: type[FileSystemStorage], location: Path) -> dict[str, Any]:
    """Return an entry for STORAGES."""
    backend = f"{storage.__module__}.{storage.__qualname__}"
    return {"BACKEND": backend, "OPTIONS": {"location": location}}


@pytest.mark.fault("F7")
def test_renaming_storage_name_is_saved(sandbox, settings, tmp_path):
    """The row has the name under which the file is stored."""
    entry = storage_entry(RenamingStorage, tmp_path / "kept")
    settings.STORAGES = settings.STORAGES | {"docraptor": entry}
    job = run_until_finished(enqueue())
    assert job.state == "completed", job.errors
    assert job.file.name.endswith("-1-renamed.pdf")
    [path] = [path for path in (tmp_path / "kept").rglob("*") if path.is_file()]
    assert str(path).endswith(job.file.name)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == job.sha256


@pytest.mark.fault("F6")
def test_closing_storage_keeps_size_and_hash(sandbox, settings, tmp_path):
    """Size and hash are saved, though the storage closes the file."""
    entry = storage_entry(ClosingStorage, tmp_path / "kept")
    settings.STORAGES = settings.STORAGES | {"docraptor": entry}
    job = run_until_finished(enqueue())
    assert job.state == "completed", job.errors
    data = read_file(job)
    assert (job.file_size, job.sha256) == (len(data), hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize(
    ("acl", "privacy", "text"),
    [
        ("private", "ok", "'docraptor' is refused to strangers (HTTP 403)"),
        ("public-read", "fail", "Anyone who knows the name of a file of 'docraptor' can read it"),
    ],
)
def test_check_tells_whether_s3_documents_are_public(bucket, settings, acl, privacy, text):
    """`docraptor_check` asks for a file without the signature of its URL, and deletes the file."""
    settings.STORAGES = settings.STORAGES | {"docraptor": s3_storage(bucket.url, default_acl=acl)}
    found = {result.name: result for result in probe_storages()}
    assert found["storage"].status == "ok"
    assert found["privacy"].status == privacy
    assert text in found["privacy"].message
    assert bucket.keys() == []
