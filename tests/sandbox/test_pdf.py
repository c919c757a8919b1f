"""PDFs rendered by WeasyPrint: pages, watermark, resources and metadata."""

import io

import pypdf
import pytest

from tests.support.sandbox_client import pdf_text


def test_html_is_rendered_as_pages(rendering_client):
    """The pages contain the text, and their number is returned."""
    html = "<h1>One</h1><h1 style='break-before: page'>Zwei</h1>"
    status = rendering_client.create_and_finish(document_content=html, test=True)
    content = rendering_client.send("GET", status["download_url"]).content
    assert status["number_of_pages"] == 2
    texts = [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(content)).pages]
    assert "One" in texts[0]
    assert "Zwei" in texts[1]
    assert all("TEST" in text for text in texts)


def test_production_document_has_no_watermark(rendering_client):
    """Only the text of the document is on the page."""
    assert pdf_text(rendering_client.create("/docs", test=False).content) == "Hello"


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_nothing_is_fetched_while_rendering(rendering_client, web_page, scheme):
    """Remote and local images are left out, or fail the document if they are required."""
    url = f"{web_page.url}/source" if scheme == "http" else "file:///etc/hostname"
    html = f"<img src='{url}'><style>@import '{url}';</style>x"
    assert rendering_client.create("/docs", document_content=html).status_code == 200
    strict = rendering_client.create("/docs", document_content=html, ignore_resource_errors=False)
    assert strict.status_code == 422
    assert web_page.paths == []


def test_data_urls_are_rendered(rendering_client):
    """A document with embedded resources is complete."""
    html = "<link rel=stylesheet href='data:text/css,p{display:none}'><p>gone</p>here"
    response = rendering_client.create("/docs", document_content=html, ignore_resource_errors=False)
    assert pdf_text(response.content) == "here"


def test_pdf_title_is_set(rendering_client):
    """pdf_title is written to the metadata."""
    response = rendering_client.create("/docs", prince_options={"pdf_title": "My title"})
    assert pypdf.PdfReader(io.BytesIO(response.content)).metadata.title == "My title"
