"""Workbooks: their sheets, cells, names and limits."""

import io

import openpyxl

TABLES = """
<table name="Sums: a/b"><tr><th>Item</th><th colspan=2>Sum</th></tr>
<tr><td>Tea &amp; milk</td><td>3.50</td><td>-12</td></tr>
<tr><td>007</td><td>=1+1</td><td>1,5</td></tr></table>
<table><tr><td>second</td></tr></table>
"""


def load_workbook(content):
    """Return the workbook."""
    return openpyxl.load_workbook(io.BytesIO(content))


def test_each_table_becomes_a_sheet(rendering_client):
    """Numbers are numbers, text is text, and headers are bold."""
    content = rendering_client.create("/docs", type="xlsx", document_content=TABLES).content
    book = load_workbook(content)
    assert book.sheetnames == ["Sums  a b", "Sheet2"]
    first = book.worksheets[0]
    rows = [[cell.value for cell in row] for row in first.iter_rows()]
    assert rows == [["Item", "Sum", None], ["Tea & milk", 3.5, -12], ["007", "=1+1", "1,5"]]
    assert [cell.font.bold for cell in first["A"]] == [True, False, False]
    assert first["B3"].data_type == "s"


def test_test_workbook_has_twenty_rows(rendering_client):
    """Sheets of test documents are truncated."""
    html = "<table>" + "<tr><td>1</td></tr>" * 50 + "</table>"
    client = rendering_client
    rows = [
        load_workbook(client.create("/docs", type="xlsx", document_content=html, test=test).content)
        for test in (True, False)
    ]
    assert [book.active.max_row for book in rows] == [20, 50]


def test_workbook_without_a_table_fails(rendering_client):
    """A document of type xlsx needs a table."""
    response = rendering_client.create("/docs", type="xlsx", document_content="<p>x")
    assert response.status_code == 422
    assert "no table" in response.text


def test_all_sheets_have_unique_names(rendering_client):
    """Equal names get a number; line breaks become spaces; cells outside a table are ignored."""
    html = "<td>stray</td>" + "<table name=Sum><tr><td>a<br>b</td></tr></table>" * 2
    content = rendering_client.create("/docs", type="xlsx", document_content=html).content
    book = load_workbook(content)
    assert book.sheetnames == ["Sum", "Sum (2)"]
    assert book.active["A1"].value == "a b"
