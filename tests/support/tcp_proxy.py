"""A TCP proxy that can be frozen or killed, in front of a broker that others use, too.

``python -m tests.support.tcp_proxy PORT TARGET_PORT``: SIGSTOP freezes it, SIGKILL closes all
connections.
"""

import asyncio
import contextlib
import sys

HOST = "127.0.0.1"


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _main(port: int, target: int) -> None:
    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target_reader, target_writer = await asyncio.open_connection(HOST, target)
        await asyncio.gather(_forward(reader, target_writer), _forward(target_reader, writer))

    server = await asyncio.start_server(connect, HOST, port)
    sys.stdout.write(f"listening on {port}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), int(sys.argv[2])))
