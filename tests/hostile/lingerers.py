"""Clients that only sit there, in a process of their own, so that what they cost their own side is not measured.

``python -m tests.hostile.lingerers PORT IDLE HALF_OPEN``: so many connections that send nothing, and so many that sent half a
head; replaced when the server ends them. Says ``ready`` when all are open; ends with its standard input.
"""

from __future__ import annotations

import asyncio
import resource
import sys

HALF = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: " + b"a" * 200


async def linger(port: int, idle: int, half_open: int) -> None:
    opened: set[asyncio.StreamWriter] = set()

    async def one(first: bytes) -> None:
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            opened.add(writer)
            try:
                writer.write(first)
                await reader.read()
            except ConnectionError:
                pass
            finally:
                opened.discard(writer)
                writer.close()

    tasks = [asyncio.create_task(one(b"" if n < idle else HALF)) for n in range(idle + half_open)]
    while len(opened) < idle + half_open:
        await asyncio.sleep(0.02)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


if __name__ == "__main__":
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(linger(*map(int, sys.argv[1:])))
