"""Finished documents in real storages: S3's protocol over a socket, and storages with habits."""

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

from django_docraptor import lifecycle
from tests.lifecycle.test_crashes import crash, ready_to_collect
from tests.support.jobs import drive, enqueue, read, skip_time
from tests.support.processes import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

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
    """The address of a server that speaks S3's protocol."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()
    server._server.server_close()


@pytest.fixture
def bucket(s3_url: str, settings: Any) -> Iterator[Any]:
    """An empty bucket, which is the project's storage for documents, as the manual sets it up."""
    client = boto3.client("s3", endpoint_url=s3_url, **KEYS)
    client.create_bucket(Bucket=BUCKET)
    settings.STORAGES = settings.STORAGES | {"docraptor": s3_storage(s3_url)}
    yield SimpleNamespace(client=client, url=s3_url, keys=lambda: keys(client))
    for key in keys(client):
        client.delete_object(Bucket=BUCKET, Key=key)
    client.delete_bucket(Bucket=BUCKET)
    client.close()


def s3_storage(url: str, **options: Any) -> dict[str, Any]:
    """The entry in ``STORAGES``."""
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


def keys(client: Any) -> list[str]:
    """The bucket's objects."""
    return [item["Key"] for item in client.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


def test_s3_keeps_a_document(sandbox, bucket):
    """The object has the document's bytes and is nobody else's to read."""
    job = drive(enqueue())
    assert job.state == "completed", job.errors
    assert bucket.keys() == [job.file.name]
    body = BytesIO()
    bucket.client.download_fileobj(BUCKET, job.file.name, body)
    assert body.getvalue() == read(job)
    assert (job.file_size, job.sha256) == (len(body.getvalue()), sandbox.ledger.entries[0].sha256)
    grants = bucket.client.get_object_acl(Bucket=BUCKET, Key=job.file.name)["Grants"]
    assert grants
    assert PUBLIC not in [grant["Grantee"].get("URI") for grant in grants]
    plain = requests.get(f"{bucket.url}/{BUCKET}/{job.file.name}", timeout=10)
    assert plain.status_code == 403


@pytest.mark.parametrize("signature", ["s3v4", "s3"])
def test_s3_download_is_a_short_lived_redirect(sandbox, bucket, settings, client, signature):
    """Who may read it is sent to a signed address that works, for a minute at most."""
    settings.STORAGES = settings.STORAGES | {
        "docraptor": s3_storage(bucket.url, signature_version=signature)
    }
    owner = get_user_model().objects.create_user("owner")
    job = drive(enqueue(owner=owner))
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
    assert fetched.content == read(job)


def test_s3_download_under_a_domain_of_ones_own_is_streamed(sandbox, bucket, settings, client):
    """The project's own domain, meant for its media, would give an address for ever."""
    settings.AWS_S3_CUSTOM_DOMAIN = "media.example"
    settings.STORAGES = settings.STORAGES | {"docraptor": s3_storage(bucket.url)}
    owner = get_user_model().objects.create_user("owner")
    job = drive(enqueue(owner=owner))
    assert job.file.url == f"https://media.example/{job.file.name}"
    client.force_login(owner)
    response = client.get(job.get_absolute_url())
    assert response.status_code == 200
    assert response.getvalue() == read(job)


def test_s3_download_is_refused_to_others(sandbox, bucket, client):
    """Nobody learns an address of somebody else's document."""
    owner = get_user_model().objects.create_user("owner")
    client.force_login(get_user_model().objects.create_user("other"))
    response = client.get(drive(enqueue(owner=owner)).get_absolute_url())
    assert response.status_code == 404
    assert not response.has_header("Location")


@pytest.mark.parametrize("overwrite", [True, False])
def test_s3_killed_between_save_and_confirm(sandbox, bucket, settings, tmp_path, overwrite):
    """The worker dies after the upload: the next one leaves one object and downloads nothing."""
    settings.STORAGES = settings.STORAGES | {
        "docraptor": s3_storage(bucket.url, file_overwrite=overwrite)
    }
    job = ready_to_collect()
    crash("after_save", settings, tmp_path)
    job.refresh_from_db()
    assert job.state == "downloading"
    assert bucket.keys() == [job.reserved_name]
    job = drive(job)
    assert job.state == "completed", job.errors
    assert bucket.keys() == [job.file.name]
    assert sandbox.ledger.download_calls == 1


def test_s3_out_of_order_is_waited_for(sandbox, bucket, settings):
    """A bucket that is gone costs time, not the document: neither fetched nor rendered again."""
    settings.STORAGES = settings.STORAGES | {
        "docraptor": s3_storage(bucket.url, bucket_name="elsewhere")
    }
    job = ready_to_collect()
    lifecycle.collect()
    job.refresh_from_db()
    assert job.state == "downloading"
    assert "NoSuchBucket" in job.errors
    settings.STORAGES = settings.STORAGES | {"docraptor": s3_storage(bucket.url)}
    assert drive(job).state == "completed"
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
assert lifecycle.collect() == 1
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_s3_upload_takes_bounded_memory(sandbox, bucket, settings, tmp_path):
    """A document of 150 MB goes through a process that grows by far less."""
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
    grown = run(MEASURE, settings)
    job.refresh_from_db()
    assert job.state == "completed", job.errors
    assert job.file_size >= size
    head = bucket.client.head_object(Bucket=BUCKET, Key=job.file.name)
    assert head["ContentLength"] == job.file_size
    print(grown / 1024, "MiB")
    assert grown < 100 * 1024  # ru_maxrss is in KiB; boto3 holds up to ten parts of 8 MiB


def run(script: str, settings: Any) -> int:
    """Run a script with this test's settings in a process of its own; return the number it says."""
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


# Storages with habits.


class RenamingStorage(FileSystemStorage):
    """Chooses another name than it was asked for."""

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        """Put its own mark before the ending."""
        path = Path(name)
        return str(path.with_name(f"{path.stem}-renamed{path.suffix}"))


class ClosingStorage(FileSystemStorage):
    """Closes the file that it is given, as boto3 does."""

    def _save(self, name: str, content: Any) -> str:
        saved = super()._save(name, content)
        content.close()
        content.file.close()
        return saved


def habitual(storage: type[FileSystemStorage], location: Path) -> dict[str, Any]:
    """The entry in ``STORAGES``."""
    backend = f"{storage.__module__}.{storage.__qualname__}"
    return {"BACKEND": backend, "OPTIONS": {"location": location}}


def test_a_storage_that_renames(sandbox, settings, tmp_path):
    """The row has the name under which the file really is."""
    entry = habitual(RenamingStorage, tmp_path / "kept")
    settings.STORAGES = settings.STORAGES | {"docraptor": entry}
    job = drive(enqueue())
    assert job.state == "completed", job.errors
    assert job.file.name.endswith("-1-renamed.pdf")
    [path] = [path for path in (tmp_path / "kept").rglob("*") if path.is_file()]
    assert str(path).endswith(job.file.name)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == job.sha256


def test_a_storage_that_closes_the_file(sandbox, settings, tmp_path):
    """Size and hash are known all the same, and nothing is read after the save."""
    entry = habitual(ClosingStorage, tmp_path / "kept")
    settings.STORAGES = settings.STORAGES | {"docraptor": entry}
    job = drive(enqueue())
    assert job.state == "completed", job.errors
    data = read(job)
    assert (job.file_size, job.sha256) == (len(data), hashlib.sha256(data).hexdigest())
