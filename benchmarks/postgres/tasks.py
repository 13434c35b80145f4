"""The task that nodes and workers do. With a file named in the environment it notes there that it was done."""

from __future__ import annotations

import os
from typing import Final

from stepwell import TaskContext, task

KEYS: Final = "BENCH_KEYS"
"""Names the file."""

_file: Final = os.open(os.environ[KEYS], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600) if KEYS in os.environ else None


@task("nothing")
async def nothing(context: TaskContext) -> None:
    """A task that does nothing, but that it may be noted under its idempotency key."""
    if _file is not None:
        os.write(_file, f"{context.idempotency_key}\n".encode("ascii"))
