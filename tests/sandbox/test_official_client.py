"""DocRaptor's own Python client works with the sandbox, in all seven calls."""

import io
import time

import docraptor
import pypdf
import pytest

DOC = {"name": "a.pdf", "document_type": "pdf", "document_content": "<p>Hi", "test": True}


@pytest.fixture
def api(sandbox):
    """The official client, configured for the sandbox."""
    client = docraptor.DocApi()
    client.api_client.configuration.username = "a-key"
    client.api_client.configuration.host = sandbox.url
    yield client
    client.api_client.rest_client.pool_manager.clear()


def wait_until_finished(api, status_id):
    """Poll with the official client."""
    for _ in range(500):
        status = api.get_async_doc_status(status_id)
        if status.status in {"completed", "failed"}:
            return status
        time.sleep(0.01)
    raise AssertionError(status)


def test_create_doc_returns_a_pdf(api):
    """create_doc returns the file."""
    assert len(pypdf.PdfReader(io.BytesIO(api.create_doc(DOC))).pages) == 1


def test_async_doc_is_polled_and_downloaded(api):
    """create_async_doc, get_async_doc_status and get_async_doc work together."""
    status = wait_until_finished(api, api.create_async_doc(DOC).status_id)
    assert status.status == "completed"
    assert status.number_of_pages == 1
    assert status.download_url.endswith(status.download_id)
    assert api.get_async_doc(status.download_id).startswith(b"%PDF-")


def test_hosted_doc_is_hosted_until_it_expires(api):
    """create_hosted_doc returns a URL, and expire ends the hosting."""
    hosted = api.create_hosted_doc(DOC)
    assert api.get_async_doc(hosted.download_id).startswith(b"%PDF-")
    api.expire(hosted.download_id)
    with pytest.raises(docraptor.rest.ApiException) as caught:
        api.get_async_doc(hosted.download_id)
    assert caught.value.status == 400


def test_hosted_async_doc_is_polled(api):
    """create_hosted_async_doc results in a hosted URL."""
    status = wait_until_finished(api, api.create_hosted_async_doc(DOC).status_id)
    assert "/hosted/" in status.download_url


def test_failed_document_has_validation_errors(api):
    """The client returns the validation_errors of a failed document."""
    status = wait_until_finished(api, api.create_async_doc(DOC | {"name": ""}).status_id)
    assert (status.status, status.validation_errors) == ("failed", "Name can't be blank")
