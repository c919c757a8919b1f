"""Ready-made documents: they identify their source, and have any size."""

import hashlib
import io

import openpyxl
import pypdf
import pytest

from tests.support.sandbox_client import pdf_text


def test_canned_pdf_identifies_its_source(client):
    """The page shows the name and the SHA-256 of document_content, in any alphabet."""
    html = "<p>Ünïcode 請求書</p>"
    content = client.create("/docs", name="a (b) \\ c", document_content=html).content
    reader = pypdf.PdfReader(io.BytesIO(content))
    assert reader.metadata.title == "a (b) \\ c"
    assert "a (b) \\ c" in pdf_text(content)
    assert hashlib.sha256(html.encode()).hexdigest() in pdf_text(content)


def test_canned_test_document_has_a_watermark(client):
    """Test documents have a watermark, production documents do not."""
    assert "TEST DOCUMENT" in pdf_text(client.create("/docs", test=True).content)
    assert "TEST DOCUMENT" not in pdf_text(client.create("/docs", test=False).content)


@pytest.mark.parametrize("size", [1, 1000, 99_999, 1_000_000, 3_000_001])
def test_canned_pdf_has_the_requested_size(client, sandbox, size):
    """The PDF is padded to the byte, and is still valid."""
    sandbox.change_settings(canned_bytes=size)
    content = client.create("/docs").content
    assert len(content) == size or (size < 900 and len(content) < 1000)
    assert content.endswith(b"%%EOF\n")
    assert len(pypdf.PdfReader(io.BytesIO(content), strict=True).pages) == 1


def test_canned_workbook_identifies_its_source(client):
    """The canned renderer returns real workbooks, too."""
    content = client.create("/docs", type="xlsx", document_content="x").content
    cells = [cell.value for cell in openpyxl.load_workbook(io.BytesIO(content)).active[1]]
    assert cells == ["a.pdf", hashlib.sha256(b"x").hexdigest()]
