"""Responses of any size are sent block by block."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from django_docraptor.responses.streaming import BlockwiseResponse


def count(read: list[int]) -> Iterator[bytes]:
    """Yield three blocks, and note when each was read."""
    for number in range(3):
        read.append(number)
        yield str(number).encode()


def test_blocks_are_read_when_they_are_sent_by_asgi() -> None:
    """Under ASGI, a block is read only after the one before it was sent."""
    read: list[int] = []
    response = BlockwiseResponse(count(read))
    seen: list[tuple[bytes, int]] = []

    async def send() -> None:
        async for block in response:
            seen.append((block, len(read)))

    asyncio.run(send())
    assert seen == [(b"0", 1), (b"1", 2), (b"2", 3)]


def test_asynchronous_iterator_of_a_middleware_is_used() -> None:
    """A middleware may replace the content by an asynchronous iterator."""

    async def replaced() -> AsyncIterator[bytes]:
        yield b"compressed"

    response = BlockwiseResponse(count([]))
    response.streaming_content = replaced()

    async def receive() -> list[bytes]:
        return [block async for block in response]

    assert asyncio.run(receive()) == [b"compressed"]


@pytest.mark.django_db  # the end of a response closes old connections
def test_closing_the_response_ends_its_generator() -> None:
    """A client that disconnects leaves no open file."""
    ended: list[bool] = []

    def blocks() -> Iterator[bytes]:
        try:
            yield b"1"
            yield b"2"
        finally:
            ended.append(True)

    response = BlockwiseResponse(blocks())
    next(iter(response))
    response.close()
    assert ended == [True]
