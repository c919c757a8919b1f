"""Tiny ready-made documents that identify their source.

They contain the name and the SHA-256 of the source, so that a test can check that the right bytes
arrived. No HTML is rendered here.
"""

import io
import zipfile
from xml.sax.saxutils import escape

from django_docraptor.sandbox.options import Options
from django_docraptor.sandbox.output import Output

WATERMARK = "TEST DOCUMENT"
# A workbook with one sheet, written without a library, which a site's tests need not have.
XML_HEADER = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
SHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
WORKBOOK_PARTS = {
    "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types">'
    '<Default Extension="rels" '
    'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{MEDIA_TYPE}.sheet.main+xml"/>'
    '<Override PartName="/xl/worksheets/sheet1.xml" '
    f'ContentType="{MEDIA_TYPE}.worksheet+xml"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="rId1" '
    f'Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": f'<workbook xmlns="{SHEET}" xmlns:r="{OFFICE}"><sheets>'
    '<sheet name="Canned" sheetId="1" r:id="rId1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{OFFICE}/worksheet" Target="worksheets/sheet1.xml"/>'
    "</Relationships>",
    "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{SHEET}"><sheetData><row>{{cells}}</row>'
    "</sheetData></worksheet>",
}


def canned_document(options: Options, size: int = 0) -> Output:
    """Return a document of the type that the options name; `size` is that of a PDF."""
    if options.document_type == "xlsx":
        return canned_xlsx(options)
    return canned_pdf(options, size)


def canned_pdf(options: Options, size: int = 0) -> Output:
    """Return a PDF of one page, padded to `size` bytes if it is smaller."""
    lines = [options.name, options.content_sha256, options.url]
    if options.test:
        lines.append(WATERMARK)
    head, tail = _pdf_parts(options.name, lines, 0)
    missing = size - len(head) - len(tail)
    while missing > 0:
        # The file contains the padding's length, whose digits may make it too long.
        head, tail = _pdf_parts(options.name, lines, missing)
        excess = len(head) + missing + len(tail) - size
        if excess <= 0:
            break
        missing -= excess
    return Output(document_type="pdf", head=head, padding=max(missing, 0), tail=tail, pages=1)


def canned_xlsx(options: Options) -> Output:
    """Return a workbook of two cells: the name and the SHA-256 of the source."""
    cells = "".join(
        f'<c t="inlineStr"><is><t>{escape(text)}</t></is></c>'
        for text in (options.name, options.content_sha256)
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in WORKBOOK_PARTS.items():
            file.writestr(name, XML_HEADER + text.replace("{cells}", cells))
    return Output(document_type="xlsx", head=buffer.getvalue())


def _pdf_parts(title: str, lines: list[str], padding: int) -> tuple[bytes, bytes]:
    """Return the bytes before and after the padding."""
    text = _page_content(lines)
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 5 0 R"
        b" /Resources << /Font << /F1 4 0 R >> >> >>",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(text), text),
        b"<< /Title <%s> /Producer (django-docraptor sandbox) >>" % _utf16_hex(title),
    ]
    body, offsets = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    offsets.append(len(body))
    head = body + b"7 0 obj\n<< /Length %d >>\nstream\n" % padding
    tail = b"\nendstream\nendobj\n"
    return head, tail + _trailer(offsets, len(head) + padding + len(tail))


def _trailer(offsets: list[int], start: int) -> bytes:
    rows = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    count = len(offsets) + 1
    return (
        b"xref\n0 %d\n0000000000 65535 f \n%s" % (count, rows)
        + b"trailer\n<< /Size %d /Root 1 0 R /Info 6 0 R >>\n" % count
        + b"startxref\n%d\n%%%%EOF\n" % start
    )


def _page_content(lines: list[str]) -> bytes:
    operators = b" ".join(b"(%s) Tj T*" % _pdf_string(line) for line in lines if line)
    return b"BT /F1 10 Tf 14 TL 40 790 Td %s ET" % operators


def _pdf_string(text: str) -> bytes:
    data = " ".join(text.split()).encode("cp1252", "replace")
    return data.replace(b"\\", rb"\\").replace(b"(", rb"\(").replace(b")", rb"\)")


def _utf16_hex(text: str) -> bytes:
    return (b"\xfe\xff" + text.encode("utf-16-be", "replace")).hex().encode()
