"""Readers of a server's stream of events: `python -m benchmarks.subscribers HOST PORT COUNT`. What comes is dropped.

Prints `reading` when all have been answered.
"""

from __future__ import annotations

import asyncio
import sys


async def main(host: str, port: int, count: int) -> None:
    """Read until the process is ended."""
    streams = [await asyncio.open_connection(host, port) for _ in range(count)]
    for _, writer in streams:
        writer.write(f"GET /api/v1/events/stream HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    for reader, _ in streams:
        await reader.readuntil(b"\r\n\r\n")
    print("reading", flush=True)
    await asyncio.gather(*(_read(reader) for reader, _ in streams))


async def _read(reader: asyncio.StreamReader) -> None:
    while await reader.read(1 << 20):
        pass


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
