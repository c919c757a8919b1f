"""Broken response bodies, as generators of bytes.

A generator raises `DropConnectionError` where the connection must end. Knows sockets and HTTP
framing, not documents.
"""

import contextlib
import functools
import socket
import struct
import threading
import zlib
from collections.abc import Iterable, Iterator

CHUNK_BYTES = 64 * 1024
MEBIBYTE = 1 << 20
PDF_START = b"%PDF-1.7\n"
GZIP_WINDOW = zlib.MAX_WBITS | 16
RAW_WINDOW = -zlib.MAX_WBITS


class DropConnectionError(Exception):
    """End the connection at this point: with RST if `reset` is true, otherwise normally."""

    def __init__(self, *, reset: bool = False) -> None:
        """Choose how the connection ends."""
        super().__init__("reset" if reset else "close")
        self.reset = reset


def reset_connection(connection: socket.socket) -> None:
    """Close the socket so that the peer gets RST, not FIN."""
    with contextlib.suppress(OSError):
        linger = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    connection.close()


def truncated(
    chunks: Iterable[bytes], keep: int, *, error: DropConnectionError | None
) -> Iterator[bytes]:
    """Yield the first `keep` bytes, then raise `error` if there is one."""
    left = keep
    for chunk in chunks:
        if left <= 0:
            break
        yield chunk[:left]
        left -= len(chunk)
    if error is not None:
        raise error


def dripping(chunks: Iterable[bytes], seconds: float, stopping: threading.Event) -> Iterator[bytes]:
    """Yield a byte at a time, `seconds` apart."""
    for chunk in chunks:
        for number in range(len(chunk)):
            yield chunk[number : number + 1]
            if stopping.wait(seconds):
                raise DropConnectionError


def endless(stopping: threading.Event) -> Iterator[bytes]:
    """Yield an endless body that starts like a PDF."""
    yield PDF_START
    while not stopping.is_set():
        yield b" " * CHUNK_BYTES


def gzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the gzip-compressed bytes."""
    compressor = zlib.compressobj(6, zlib.DEFLATED, GZIP_WINDOW)
    for chunk in chunks:
        yield compressor.compress(chunk)
    yield compressor.flush()


def gzip_bomb(size: int) -> Iterator[bytes]:
    """Yield gzip data that starts like a PDF and expands a thousandfold to `size` bytes.

    One compressed mebibyte of zeros is sent repeatedly, so the sandbox itself needs little memory.
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
    """Return deflated data to which more deflated data can be appended."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, RAW_WINDOW)
    return compressor.compress(data) + compressor.flush(zlib.Z_FULL_FLUSH)


@functools.lru_cache(maxsize=4)
def _bomb_crc(zeros: int) -> int:
    crc = zlib.crc32(PDF_START)
    for _ in range(zeros // MEBIBYTE):
        crc = zlib.crc32(bytes(MEBIBYTE), crc)
    return zlib.crc32(bytes(zeros % MEBIBYTE), crc)
