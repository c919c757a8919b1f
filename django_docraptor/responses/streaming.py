"""Internal. Responses of any size, of which one block at a time is in memory."""

from collections.abc import AsyncIterator, Iterator
from typing import cast

from asgiref.sync import sync_to_async
from django.http import StreamingHttpResponse


class BlockwiseResponse(StreamingHttpResponse):
    """Stream blocks one by one under ASGI, too: Django itself would first read all of them."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the blocks as an ASGI server sends them, each read in the request's thread."""
        if self.is_async:  # a middleware has put an asynchronous iterator in its place
            async for block in super().__aiter__():
                yield block
            return
        blocks = iter(cast("Iterator[bytes]", self.streaming_content))

        def read() -> bytes | None:
            return next(blocks, None)

        while (read_block := await sync_to_async(read)()) is not None:
            yield read_block
