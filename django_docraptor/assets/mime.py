"""Internal. MIME types of assets, independent of the machine's mime.types."""

from pathlib import PurePosixPath
from typing import Final

UNKNOWN: Final = "application/octet-stream"
SVG: Final = "image/svg+xml"

_BY_EXTENSION: Final = {
    ".avif": "image/avif",
    ".bmp": "image/bmp",
    ".css": "text/css",
    ".eot": "application/vnd.ms-fontobject",
    ".gif": "image/gif",
    ".ico": "image/vnd.microsoft.icon",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".js": "text/javascript",
    ".json": "application/json",
    ".mjs": "text/javascript",
    ".otf": "font/otf",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".svg": SVG,
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".ttc": "font/collection",
    ".ttf": "font/ttf",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
}
_BY_SIGNATURE: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"wOF2", "font/woff2"),
    (b"wOFF", "font/woff"),
    (b"OTTO", "font/otf"),
    (b"\x00\x01\x00\x00", "font/ttf"),
)


def guess_mime_type(name: str, content: bytes) -> str:
    """Return the MIME type by file signature, or else by extension."""
    for signature, mime_type in _BY_SIGNATURE:
        if content.startswith(signature):
            return mime_type
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return "image/webp"
    return _BY_EXTENSION.get(PurePosixPath(name).suffix.lower(), UNKNOWN)
