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
def paper():
    """A sandbox that renders, shared by the tests of this module."""
    with Sandbox(renderer="weasyprint") as sandbox:
        yield sandbox


def text_of(content):
    """Return the text of a PDF."""
    return "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(content)).pages)


def sheets_of(content):
    """Return the workbook."""
    return openpyxl.load_workbook(io.BytesIO(content))


def test_a_canned_pdf_proves_which_source_arrived(caller):
    """The page shows the name and the hash of document_content, whatever its alphabet."""
    html = "<p>Ünïcode 請求書</p>"
    content = caller.create("/docs", name="a (b) \\ c", document_content=html).content
    reader = pypdf.PdfReader(io.BytesIO(content))
    assert reader.metadata.title == "a (b) \\ c"
    assert "a (b) \\ c" in text_of(content)
    assert hashlib.sha256(html.encode()).hexdigest() in text_of(content)


def test_a_canned_test_document_has_a_watermark(caller):
    """Test documents are marked, production documents are not."""
    assert "TEST DOCUMENT" in text_of(caller.create("/docs", test=True).content)
    assert "TEST DOCUMENT" not in text_of(caller.create("/docs", test=False).content)


@pytest.mark.parametrize("size", [1, 1000, 99_999, 1_000_000, 3_000_001])
def test_a_canned_pdf_has_the_size_that_was_asked_for(caller, sandbox, size):
    """Padded to the byte, still a PDF, still ending in %%EOF."""
    sandbox.change_settings(canned_bytes=size)
    content = caller.create("/docs").content
    assert len(content) == size or (size < 900 and len(content) < 1000)
    assert content.endswith(b"%%EOF\n")
    assert len(pypdf.PdfReader(io.BytesIO(content), strict=True).pages) == 1


def test_a_canned_workbook_is_a_workbook(caller):
    """Excel files are real with either renderer."""
    content = caller.create("/docs", type="xlsx", document_content="x").content
    cells = [cell.value for cell in sheets_of(content).active[1]]
    assert cells == ["a.pdf", hashlib.sha256(b"x").hexdigest()]


def test_the_ledger_has_the_hash_of_the_output(caller, sandbox):
    """A test can compare what was stored with what was made."""
    content = caller.send("GET", caller.create_and_finish()["download_url"]).content
    assert sandbox.ledger.entries[0].sha256 == hashlib.sha256(content).hexdigest()


def test_html_becomes_pages(paper, call_to):
    """WeasyPrint's pages are counted, and the text is in them."""
    html = "<h1>One</h1><h1 style='break-before: page'>Zwei</h1>"
    status = call_to(paper).create_and_finish(document_content=html, test=True)
    content = call_to(paper).send("GET", status["download_url"]).content
    assert status["number_of_pages"] == 2
    texts = [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(content)).pages]
    assert "One" in texts[0]
    assert "Zwei" in texts[1]
    assert all("TEST" in text for text in texts)


def test_production_pages_have_no_watermark(paper, call_to):
    """What is billed is clean."""
    assert text_of(call_to(paper).create("/docs", test=False).content) == "Hello"


def test_tables_become_sheets(paper, call_to):
    """A sheet per table, numbers as numbers, text as text, headers bold."""
    content = call_to(paper).create("/docs", type="xlsx", document_content=TABLES).content
    book = sheets_of(content)
    assert book.sheetnames == ["Sums  a b", "Sheet2"]
    first = book.worksheets[0]
    rows = [[cell.value for cell in row] for row in first.iter_rows()]
    assert rows == [["Item", "Sum", None], ["Tea & milk", 3.5, -12], ["007", "=1+1", "1,5"]]
    assert [cell.font.bold for cell in first["A"]] == [True, False, False]
    assert first["B3"].data_type == "s"


def test_a_test_workbook_has_twenty_rows(paper, call_to):
    """Excel test documents are cut."""
    html = "<table>" + "<tr><td>1</td></tr>" * 50 + "</table>"
    caller = call_to(paper)
    rows = [
        sheets_of(caller.create("/docs", type="xlsx", document_content=html, test=test).content)
        for test in (True, False)
    ]
    assert [book.active.max_row for book in rows] == [20, 50]


def test_a_workbook_needs_a_table(paper, call_to):
    """No table, no sheet: the document fails."""
    response = call_to(paper).create("/docs", type="xlsx", document_content="<p>x")
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
def source():
    """A server with a page, that notes which paths were asked for."""
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
def test_nothing_is_fetched_while_rendering(paper, call_to, source, scheme):
    """Images of the network and of the disk are left out, or fail the document if required."""
    url = f"{source.url}/source" if scheme == "http" else "file:///etc/hostname"
    html = f"<img src='{url}'><style>@import '{url}';</style>x"
    caller = call_to(paper)
    assert caller.create("/docs", document_content=html).status_code == 200
    strict = caller.create("/docs", document_content=html, ignore_resource_errors=False)
    assert strict.status_code == 422
    assert source.paths == []


def test_data_urls_are_rendered(paper, call_to):
    """A document that brings its images along is complete."""
    html = "<link rel=stylesheet href='data:text/css,p{display:none}'><p>gone</p>here"
    content = (
        call_to(paper).create("/docs", document_content=html, ignore_resource_errors=False).content
    )
    assert text_of(content) == "here"


def test_a_document_url_of_this_machine_is_fetched(paper, call_to, source):
    """document_url works for a development server."""
    url = f"{source.url}/source"
    response = call_to(paper).create("/docs", document_url=url, document_content=None)
    assert text_of(response.content) == "from afar"


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
def test_other_document_urls_fail_late(caller, source, url, reason):
    """The sandbox asks its own machine only, follows no redirect, and says so late."""
    status = caller.create_and_finish(
        document_url=url.format(source=source.url), document_content=None
    )
    assert status["status"] == "failed"
    assert status["validation_errors"].startswith(reason)


def test_a_renderer_that_breaks_fails_the_document(caller, sandbox, monkeypatch):
    """Whatever a renderer raises, the document ends and the sandbox lives."""

    def broken(*args):
        raise ZeroDivisionError

    monkeypatch.setattr("django_docraptor.sandbox.rendering.canned_pdf", broken)
    assert "unknown reasons" in caller.create_and_finish()["validation_errors"]
    wait_until(lambda: caller.create_and_finish(type="xlsx")["status"] == "completed")


def test_a_workbook_has_names_for_all_sheets(paper, call_to):
    """Equal names get a number, line breaks become spaces, strays outside a table nothing."""
    html = "<td>stray</td>" + "<table name=Sum><tr><td>a<br>b</td></tr></table>" * 2
    content = call_to(paper).create("/docs", type="xlsx", document_content=html).content
    book = sheets_of(content)
    assert book.sheetnames == ["Sum", "Sum (2)"]
    assert book.active["A1"].value == "a b"


def test_the_title_of_a_pdf_is_set(paper, call_to):
    """pdf_title goes into the metadata."""
    response = call_to(paper).create("/docs", prince_options={"pdf_title": "My title"})
    assert pypdf.PdfReader(io.BytesIO(response.content)).metadata.title == "My title"
