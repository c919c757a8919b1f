"""Bodies that break, and connections that end badly.

Generators of bytes that raise `DropError` where the connection is to be ended. Knows sockets and
HTTP framing; nothing of documents.
"""

import contextlib
import functools
import socket
import struct
import threading
import zlib
from collections.abc import Iterable, Iterator

PIECE = 64 * 1024
MEBIBYTE = 1 << 20
PDF_START = b"%PDF-1.7\n"
GZIP_WINDOW = zlib.MAX_WBITS | 16
RAW_WINDOW = -zlib.MAX_WBITS


class DropError(Exception):
    """End the connection here, by RST if `reset`, else by an orderly close."""

    def __init__(self, *, reset: bool = False) -> None:
        super().__init__("reset" if reset else "close")
        self.reset = reset


def reset_connection(connection: socket.socket) -> None:
    """Close the socket so that the peer gets RST, not FIN."""
    with contextlib.suppress(OSError):
        linger = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    connection.close()


def cut(pieces: Iterable[bytes], keep: int, *, drop: DropError | None) -> Iterator[bytes]:
    """Yield the first `keep` bytes, then break off."""
    left = keep
    for piece in pieces:
        if left <= 0:
            break
        yield piece[:left]
        left -= len(piece)
    if drop is not None:
        raise drop


def drip(pieces: Iterable[bytes], seconds: float, stopping: threading.Event) -> Iterator[bytes]:
    """Yield a byte at a time, `seconds` apart."""
    for piece in pieces:
        for number in range(len(piece)):
            yield piece[number : number + 1]
            if stopping.wait(seconds):
                raise DropError


def endless(stopping: threading.Event) -> Iterator[bytes]:
    """Yield something that begins like a PDF and never ends."""
    yield PDF_START
    while not stopping.is_set():
        yield b" " * PIECE


def gzip(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the gzip-compressed bytes."""
    compressor = zlib.compressobj(6, zlib.DEFLATED, GZIP_WINDOW)
    for piece in pieces:
        yield compressor.compress(piece)
    yield compressor.flush()


def bomb(size: int) -> Iterator[bytes]:
    """Yield gzip that grows a thousandfold to `size` bytes and begins like a PDF.

    A mebibyte of zeros is compressed once and sent again and again, so it costs us nothing.
    """
    yield b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
    yield _deflated(PDF_START)
    zeros = max(size - len(PDF_START), 0)
    for _ in range(zeros // MEBIBYTE):
        yield _deflated(bytes(MEBIBYTE))
    yield _deflated(bytes(zeros % MEBIBYTE))
    yield zlib.compressobj(9, zlib.DEFLATED, RAW_WINDOW).flush()
    yield struct.pack("<II", _bomb_crc(zeros), (len(PDF_START) + zeros) & 0xFFFFFFFF)


@functools.lru_cache(maxsize=4)
def _deflated(data: bytes) -> bytes:
    """Return deflated data that any deflated data may follow."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, RAW_WINDOW)
    return compressor.compress(data) + compressor.flush(zlib.Z_FULL_FLUSH)


@functools.lru_cache(maxsize=4)
def _bomb_crc(zeros: int) -> int:
    crc = zlib.crc32(PDF_START)
    for _ in range(zeros // MEBIBYTE):
        crc = zlib.crc32(bytes(MEBIBYTE), crc)
    return zlib.crc32(bytes(zeros % MEBIBYTE), crc)
