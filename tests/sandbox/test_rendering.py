"""What comes out: real PDFs and workbooks, the right bytes, and nothing from the network."""

import hashlib
import http.server
import io
import threading

import openpyxl
import pypdf
import pytest

from django_docraptor.sandbox import Sandbox
from tests.support.sandbox_client import wait_until

TABLES = """
<table name="Sums: a/b"><tr><th>Item</th><th colspan=2>Sum</th></tr>
<tr><td>Tea &amp; milk</td><td>3.50</td><td>-12</td></tr>
<tr><td>007</td><td>=1+1</td><td>1,5</td></tr></table>
<table><tr><td>second</td></tr></table>
"""


@pytest.fixture(scope="module")
def rendering_sandbox():
    """A sandbox that renders, shared by the tests of this module."""
    with Sandbox(renderer="weasyprint") as sandbox:
        yield sandbox


def pdf_text(content):
    """Return the text of a PDF."""
    return "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(content)).pages)


def load_workbook(content):
    """Return the workbook."""
    return openpyxl.load_workbook(io.BytesIO(content))


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
    cells = [cell.value for cell in load_workbook(content).active[1]]
    assert cells == ["a.pdf", hashlib.sha256(b"x").hexdigest()]


def test_ledger_has_the_hash_of_the_file(client, sandbox):
    """A test can compare a stored file with the rendered one."""
    content = client.send("GET", client.create_and_finish()["download_url"]).content
    assert sandbox.ledger.entries[0].sha256 == hashlib.sha256(content).hexdigest()


def test_html_is_rendered_as_pages(rendering_sandbox, make_client):
    """The pages contain the text, and their number is returned."""
    html = "<h1>One</h1><h1 style='break-before: page'>Zwei</h1>"
    status = make_client(rendering_sandbox).create_and_finish(document_content=html, test=True)
    content = make_client(rendering_sandbox).send("GET", status["download_url"]).content
    assert status["number_of_pages"] == 2
    texts = [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(content)).pages]
    assert "One" in texts[0]
    assert "Zwei" in texts[1]
    assert all("TEST" in text for text in texts)


def test_production_document_has_no_watermark(rendering_sandbox, make_client):
    """Only the text of the document is on the page."""
    assert pdf_text(make_client(rendering_sandbox).create("/docs", test=False).content) == "Hello"


def test_each_table_becomes_a_sheet(rendering_sandbox, make_client):
    """Numbers are numbers, text is text, and headers are bold."""
    content = (
        make_client(rendering_sandbox).create("/docs", type="xlsx", document_content=TABLES).content
    )
    book = load_workbook(content)
    assert book.sheetnames == ["Sums  a b", "Sheet2"]
    first = book.worksheets[0]
    rows = [[cell.value for cell in row] for row in first.iter_rows()]
    assert rows == [["Item", "Sum", None], ["Tea & milk", 3.5, -12], ["007", "=1+1", "1,5"]]
    assert [cell.font.bold for cell in first["A"]] == [True, False, False]
    assert first["B3"].data_type == "s"


def test_test_workbook_has_twenty_rows(rendering_sandbox, make_client):
    """Sheets of test documents are truncated."""
    html = "<table>" + "<tr><td>1</td></tr>" * 50 + "</table>"
    client = make_client(rendering_sandbox)
    rows = [
        load_workbook(client.create("/docs", type="xlsx", document_content=html, test=test).content)
        for test in (True, False)
    ]
    assert [book.active.max_row for book in rows] == [20, 50]


def test_workbook_without_a_table_fails(rendering_sandbox, make_client):
    """A document of type xlsx needs a table."""
    response = make_client(rendering_sandbox).create("/docs", type="xlsx", document_content="<p>x")
    assert response.status_code == 422
    assert "no table" in response.text


class _Source(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.paths.append(self.path)
        self.send_response(200 if self.path == "/source" else 302)
        self.send_header("Location", "/source")
        body = b"<p>from afar</p>"
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Be silent."""


@pytest.fixture
def web_page():
    """A server with a page at /source, which records the requested paths."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Source)
    server.paths = []
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_nothing_is_fetched_while_rendering(rendering_sandbox, make_client, web_page, scheme):
    """Remote and local images are left out, or fail the document if they are required."""
    url = f"{web_page.url}/source" if scheme == "http" else "file:///etc/hostname"
    html = f"<img src='{url}'><style>@import '{url}';</style>x"
    client = make_client(rendering_sandbox)
    assert client.create("/docs", document_content=html).status_code == 200
    strict = client.create("/docs", document_content=html, ignore_resource_errors=False)
    assert strict.status_code == 422
    assert web_page.paths == []


def test_data_urls_are_rendered(rendering_sandbox, make_client):
    """A document with embedded resources is complete."""
    html = "<link rel=stylesheet href='data:text/css,p{display:none}'><p>gone</p>here"
    content = (
        make_client(rendering_sandbox)
        .create("/docs", document_content=html, ignore_resource_errors=False)
        .content
    )
    assert pdf_text(content) == "here"


def test_document_url_of_this_machine_is_fetched(rendering_sandbox, make_client, web_page):
    """document_url works with a development server."""
    url = f"{web_page.url}/source"
    response = make_client(rendering_sandbox).create(
        "/docs", document_url=url, document_content=None
    )
    assert pdf_text(response.content) == "from afar"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://example.invalid/", "SSL Error downloading document content"),
        ("http://example.invalid/", "Error downloading document content"),
        ("file:///etc/passwd", "Error downloading document content"),
        ("http://localhost:1/", "Error downloading document content"),
        ("{source}/redirect", "Error downloading document content"),
    ],
)
def test_other_document_urls_fail_the_document(client, web_page, url, reason):
    """The sandbox fetches from its own machine only, and follows no redirect."""
    status = client.create_and_finish(
        document_url=url.format(source=web_page.url), document_content=None
    )
    assert status["status"] == "failed"
    assert status["validation_errors"].startswith(reason)


def test_unexpected_renderer_error_fails_the_document(client, sandbox, monkeypatch):
    """The sandbox goes on with the next document."""

    def broken(*args):
        raise ZeroDivisionError

    monkeypatch.setattr("django_docraptor.sandbox.rendering.canned_pdf", broken)
    assert "unknown reasons" in client.create_and_finish()["validation_errors"]
    wait_until(lambda: client.create_and_finish(type="xlsx")["status"] == "completed")


def test_all_sheets_have_unique_names(rendering_sandbox, make_client):
    """Equal names get a number; line breaks become spaces; cells outside a table are ignored."""
    html = "<td>stray</td>" + "<table name=Sum><tr><td>a<br>b</td></tr></table>" * 2
    content = (
        make_client(rendering_sandbox).create("/docs", type="xlsx", document_content=html).content
    )
    book = load_workbook(content)
    assert book.sheetnames == ["Sum", "Sum (2)"]
    assert book.active["A1"].value == "a b"


def test_pdf_title_is_set(rendering_sandbox, make_client):
    """pdf_title is written to the metadata."""
    response = make_client(rendering_sandbox).create(
        "/docs", prince_options={"pdf_title": "My title"}
    )
    assert pypdf.PdfReader(io.BytesIO(response.content)).metadata.title == "My title"
