"""The content type of an asset."""

import pytest

from django_docraptor.assets.mime import guess_mime_type


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.svg", b"<svg/>", "image/svg+xml"),
        ("A.JPG", b"", "image/jpeg"),
        ("a.woff2", b"", "font/woff2"),
        ("a.woff", b"", "font/woff"),
        ("a.ttf", b"", "font/ttf"),
        ("a.otf", b"OTTO", "font/otf"),
        ("a.css", b"", "text/css"),
        ("upload", b"\xff\xd8\xff\xe0", "image/jpeg"),
        ("a.png", b"GIF89a", "image/gif"),
        ("a.bin", b"RIFF....WEBPVP8 ", "image/webp"),
        ("a.html", b"<p>", "application/octet-stream"),
        ("a", b"", "application/octet-stream"),
    ],
)
def test_type_is_that_of_the_bytes_then_the_extension(name: str, content: bytes, kind: str) -> None:
    """The bytes decide, then the extension, and never the system's own tables."""
    assert guess_mime_type(name, content) == kind
