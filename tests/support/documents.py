"""Names and contents of test documents. All are different, so that mix-ups are detected."""

import hashlib


def document_name(number: int) -> str:
    """Return the name of a document."""
    return f"document-{number:05}.pdf"


def document_html(name: str) -> str:
    """Return the HTML of a document."""
    return f"<h1>{name}</h1>"


def is_intact(data: bytes, name: str) -> bool:
    """Return whether a stored file is the complete document of that name.

    It contains the hash of its source.
    """
    source = hashlib.sha256(document_html(name).encode()).hexdigest().encode()
    is_complete = data.startswith(b"%PDF-") and data.rstrip().endswith(b"%%EOF")
    return is_complete and source in data and name.encode() in data


def pdf_bytes(size: int, *, has_xref_stream: bool = False) -> bytes:
    """Return a PDF of one page whose content has this many bytes."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (size, b"%" * size),
    ]
    data = b"%PDF-1.7\n"
    offsets = []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    return data + (_xref_stream if has_xref_stream else _xref_table)(len(data), offsets)


def append_update(pdf: bytes) -> bytes:
    """Return the PDF with an incremental update, which replaces its catalog."""
    start = len(pdf) + 1
    content = b"\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R /Lang (en) >>\nendobj\n"
    xref = b"xref\n1 1\n%010d 00000 n \n" % start
    previous = pdf.rpartition(b"startxref")[2].split()[0]
    trailer = b"trailer\n<< /Size 5 /Root 1 0 R /Prev %s >>\n" % previous
    end = b"startxref\n%d\n%%%%EOF\n" % (len(pdf) + len(content))
    return pdf + content + xref + trailer + end


def _xref_table(start: int, offsets: list[int]) -> bytes:
    rows = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    count = len(offsets) + 1
    return (
        b"xref\n0 %d\n0000000000 65535 f \n%s" % (count, rows)
        + b"trailer\n<< /Size %d /Root 1 0 R >>\n" % count
        + b"startxref\n%d\n%%%%EOF\n" % start
    )


def _xref_stream(start: int, offsets: list[int]) -> bytes:
    rows = b"".join(b"\x01" + offset.to_bytes(4, "big") + b"\x00" for offset in [*offsets, start])
    rows = bytes(6) + rows
    count = len(offsets) + 2
    return (
        b"%d 0 obj\n<< /W [1 4 1] /Size %d /Root 1 0 R /Length %d /Type /XRef >>\nstream\n"
        % (count - 1, count, len(rows))
        + rows
        + b"\nendstream\nendobj\nstartxref\n%d\n%%%%EOF\n" % start
    )
