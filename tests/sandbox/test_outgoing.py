"""HTML at a `document_url`: fetched from this machine only."""

import pytest

from tests.support.sandbox_client import pdf_text


def test_document_url_of_this_machine_is_fetched(rendering_client, web_page):
    """document_url works with a development server."""
    url = f"{web_page.url}/source"
    response = rendering_client.create("/docs", document_url=url, document_content=None)
    assert pdf_text(response.content) == "fetched"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://example.invalid/", "SSL Error downloading document content"),
        ("http://example.invalid/", "Error downloading document content"),
        ("file:///etc/passwd", "Error downloading document content"),
        ("http://localhost:1/", "Error downloading document content"),
        ("{web_page}/redirect", "Error downloading document content"),
    ],
)
def test_other_document_urls_fail_the_document(client, web_page, url, reason):
    """The sandbox fetches from its own machine only, and follows no redirect."""
    status = client.create_and_finish(
        document_url=url.format(web_page=web_page.url), document_content=None
    )
    assert status["status"] == "failed"
    assert status["validation_errors"].startswith(reason)
