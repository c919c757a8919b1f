"""Excel documents: each HTML table becomes a sheet; numbers are written as numbers.

Text is always written as text, so a cell that begins with "=" is not a formula.
"""

import io
import re

import xlsxwriter  # type: ignore[import-untyped] # it has no types

from django_docraptor.sandbox.markup import Cell, extract_tables
from django_docraptor.sandbox.output import Output

# Numbers that Excel stores exactly. A leading zero means a code, not a number.
NUMBER = re.compile(r"-?(0|[1-9]\d{0,14})(\.\d{1,10})?", re.ASCII)
FORBIDDEN_IN_SHEET_NAME = re.compile(r"[\[\]:*?/\\']")
MAX_TEST_ROWS = 20
MAX_SHEET_NAME = 31


class NoTableError(ValueError):
    """The document contains no table."""


def tables_to_xlsx(html: str, *, test: bool) -> Output:
    """Return a workbook with one sheet per table.

    Args:
        html: the document's source.
        test: whether sheets are truncated to 20 rows, as in DocRaptor's test documents.

    Raises:
        NoTableError: there is no table.
    """
    tables = extract_tables(html)
    if not tables:
        raise NoTableError("Document Malformed: no table found")
    limit = MAX_TEST_ROWS if test else None
    names = _sheet_names([table.name for table in tables])
    sheets = [
        (name, [_expand_colspans(row) for row in table.rows[:limit]])
        for name, table in zip(names, tables, strict=True)
    ]
    return Output(document_type="xlsx", head=write_workbook(sheets))


def write_workbook(sheets: list[tuple[str, list[list[str | Cell]]]]) -> bytes:
    """Return a workbook; each sheet is given by its name and its rows."""
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer, {"in_memory": True}) as workbook:
        bold = workbook.add_format({"bold": True})
        for name, rows in sheets:
            sheet = workbook.add_worksheet(name)
            for number, row in enumerate(rows):
                for column, cell in enumerate(row):
                    _write_cell(sheet, number, column, cell, bold)
    return buffer.getvalue()


def _write_cell(
    sheet: xlsxwriter.worksheet.Worksheet,
    row: int,
    column: int,
    cell: str | Cell,
    bold: xlsxwriter.format.Format,
) -> None:
    if isinstance(cell, str):
        cell = Cell(text=cell)
    text = " ".join(cell.text.split())
    style = bold if cell.header else None
    if NUMBER.fullmatch(text):
        sheet.write_number(row, column, float(text), style)
    elif text:
        sheet.write_string(row, column, text, style)


def _expand_colspans(row: list[Cell]) -> list[str | Cell]:
    """Expand cells with a colspan by adding empty cells."""
    columns: list[str | Cell] = []
    for cell in row:
        columns += [cell, *[""] * (min(cell.span, 100) - 1)]
    return columns


def _sheet_names(table_names: list[str]) -> list[str]:
    names: list[str] = []
    for number, text in enumerate(table_names, start=1):
        name = FORBIDDEN_IN_SHEET_NAME.sub(" ", text).strip()[:MAX_SHEET_NAME] or f"Sheet{number}"
        taken = {other.lower() for other in names}
        if name.lower() in taken:
            name = f"{name[: MAX_SHEET_NAME - 6]} ({number})"
        names.append(name)
    return names
