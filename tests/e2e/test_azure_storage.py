"""Documents in Azure's blob storage, by Azure's own client over a socket."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from django.contrib.auth import get_user_model
from django.test import Client
from storages.backends.azure_storage import AzureStorage

from django_docraptor.diagnosis.files import probe_storages
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice
from tests.support.azure_server import BlobServer, running_blob_server
from tests.support.jobs import enqueue, read_file, run_until_finished

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]

BACKEND = "storages.backends.azure_storage.AzureStorage"
# Names that other code cuts at a slash or at an end; readers must get them whole.
NAMES = ["Faktura 2026/11/0017.pdf", "FV 17/11/2026.pdf", "Příloha „A“.pdf", "x" * 190 + ".pdf"]


@pytest.fixture
def blobs(settings: Any) -> Iterator[BlobServer]:
    """The blobs of a private container that is the storage for documents."""
    with running_blob_server() as (server, connection_string):
        options = {"connection_string": connection_string, "azure_container": "private"}
        storage = {"BACKEND": BACKEND, "OPTIONS": options}
        settings.STORAGES = settings.STORAGES | {"docraptor": storage}
        yield server


@pytest.mark.parametrize("name", NAMES)
def test_reader_gets_the_document_under_its_whole_name(
    sandbox: Any, blobs: BlobServer, client: Client, name: str
) -> None:
    """The signed URL that a download redirects to carries the document's own name."""
    owner = get_user_model().objects.create_user("anna")
    job = run_until_finished(enqueue(name=name, owner=owner))
    assert list(blobs.blobs) == [f"private/{job.file.name}"]
    client.force_login(owner)
    redirect = client.get(job.get_absolute_url())
    assert redirect.status_code == 302
    response = requests.get(redirect["Location"], timeout=10)
    assert response.content == read_file(job)
    assert response.content.startswith(b"%PDF-")
    shown = requests.utils.unquote(response.headers["Content-Disposition"])
    assert name.removesuffix(".pdf").replace("/", "-") in shown
    assert response.headers["Content-Type"] == "application/pdf"


def test_blob_needs_the_signature(sandbox: Any, blobs: BlobServer) -> None:
    """The address of a blob alone is not enough."""
    job = run_until_finished(enqueue())
    address = job.file.storage.url(job.file.name)
    assert requests.get(address, timeout=10).status_code == 404


@pytest.mark.parametrize("overwrite", [False, True])
def test_copies_of_two_documents_are_two_blobs(
    sandbox: Any, blobs: BlobServer, settings: Any, monkeypatch: Any, overwrite: bool
) -> None:
    """Names that differ at their ends only are two blobs; a new copy leaves the other alone."""
    options = settings.STORAGES["docraptor"]["OPTIONS"] | {"overwrite_files": overwrite}
    monkeypatch.setattr(Invoice._meta.get_field("pdf"), "storage", AzureStorage(**options))
    monkeypatch.setattr(InvoicePDF, "deliver_to", "pdf")
    for ending in ("one", "two", "one"):
        invoice, _ = Invoice.objects.get_or_create(number=ending)
        job = run_until_finished(InvoicePDF.enqueue(invoice, name="x" * 90 + ending))
        InvoicePDF.deliver(job)  # unless a receiver has done it
        invoice.refresh_from_db()
        with invoice.pdf.open("rb") as file:
            assert file.read() == read_file(job)
    assert sum(name.startswith("private/invoices/") for name in blobs.blobs) == 2


def test_deleted_job_leaves_no_blob(sandbox: Any, blobs: BlobServer) -> None:
    """The file goes with its job."""
    job = run_until_finished(enqueue())
    job.delete()
    assert blobs.blobs == {}


def test_check_tells_that_blobs_are_private(sandbox: Any, blobs: BlobServer) -> None:
    """`docraptor_check` asks for a blob without the signature of its URL, and deletes the blob."""
    found = {result.name: result for result in probe_storages()}
    assert [found[name].status for name in ("storage", "privacy")] == ["ok", "ok"]
    assert "is refused to strangers (HTTP 404)" in found["privacy"].message
    assert list(blobs.blobs) == []
