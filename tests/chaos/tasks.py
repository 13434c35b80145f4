"""What the steps do: write into a ledger that they did. Imported by nodes and workers."""

from __future__ import annotations

import asyncio
import os
import zlib
from typing import Any

from stepwell import TaskContext, task


@task
async def note(context: TaskContext, number: Any = None) -> Any:
    """Take a while, write down under which key this is done, and hand the number back."""
    await asyncio.sleep(zlib.crc32(context.idempotency_key.encode()) % 40 / 1_000)
    ledger = os.open(os.environ["CHAOS_LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(ledger, f"{context.idempotency_key}\n".encode())  # so little at once is written whole
    finally:
        os.close(ledger)
    return number
