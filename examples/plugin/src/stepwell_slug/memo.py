"""A channel for notifications: `notifications: {team: "memo:notes.txt"}` appends each notice to a file."""

from __future__ import annotations

import asyncio
from pathlib import Path

from stepwell import Notice, TaskContext


class Memo:
    """Writes a line for every notice."""

    async def send(self, url: str, notice: Notice, context: TaskContext) -> None:
        """Append the notice to the file in the URL."""
        line = f"{notice.recipient}: {notice.title}: {notice.message}\n"
        await asyncio.to_thread(_append, Path(url.removeprefix("memo:")), line)

    async def close(self) -> None:
        """Nothing is held between calls."""


def _append(path: Path, line: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(line)
