"""Excel documents: HTML tables become sheets, numbers become numbers.

Text is always written as text, so a cell that begins with "=" is no formula.
"""

import io
import re

import xlsxwriter  # type: ignore[import-untyped] # it has no types

from django_docraptor.sandbox.markup import Cell, tables
from django_docraptor.sandbox.output import Output

# What Excel keeps exactly; a leading zero means a code, not a number.
NUMBER = re.compile(r"-?(0|[1-9]\d{0,14})(\.\d{1,10})?", re.ASCII)
FORBIDDEN = re.compile(r"[\[\]:*?/\\']")
TEST_ROWS = 20
MAX_NAME = 31


class NoTableError(ValueError):
    """The document has no table, so there is nothing to put on a sheet."""


def tables_to_xlsx(html: str, *, test: bool) -> Output:
    """Return a workbook with a sheet per table; a test document is cut after 20 rows."""
    found = tables(html)
    if not found:
        raise NoTableError("Document Malformed: no table found")
    limit = TEST_ROWS if test else None
    names = _sheet_names([table.name for table in found])
    sheets = [
        (name, [_columns(row) for row in table.rows[:limit]])
        for name, table in zip(names, found, strict=True)
    ]
    return Output(document_type="xlsx", head=write_workbook(sheets))


def write_workbook(sheets: list[tuple[str, list[list[str | Cell]]]]) -> bytes:
    """Return the bytes of a workbook; a sheet is its name and its rows."""
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer, {"in_memory": True}) as workbook:
        bold = workbook.add_format({"bold": True})
        for name, rows in sheets:
            sheet = workbook.add_worksheet(name)
            for number, row in enumerate(rows):
                for column, cell in enumerate(row):
                    _write(sheet, number, column, cell, bold)
    return buffer.getvalue()


def _write(
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


def _columns(row: list[Cell]) -> list[str | Cell]:
    """Spread the cells over columns; a wide cell is followed by empty ones."""
    columns: list[str | Cell] = []
    for cell in row:
        columns += [cell, *[""] * (min(cell.span, 100) - 1)]
    return columns


def _sheet_names(wanted: list[str]) -> list[str]:
    names: list[str] = []
    for number, text in enumerate(wanted, start=1):
        name = FORBIDDEN.sub(" ", text).strip()[:MAX_NAME] or f"Sheet{number}"
        taken = {other.lower() for other in names}
        if name.lower() in taken:
            name = f"{name[: MAX_NAME - 6]} ({number})"
        names.append(name)
    return names
