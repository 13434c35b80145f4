"""The contract of a notifier: who carries a notice to people."""

from __future__ import annotations

from typing import Protocol

import msgspec

from stepwell.ports.work import TaskContext


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What one recipient is told over one channel.

    Attributes:
        recipient: as the channel knows him; empty for whoever it leads to.
        priority: `low`, `normal`, `high` or `urgent`.
        key: the same for every try and every delivery of it, so that the receiver can tell a repetition.
        workflow, execution: what it comes from.
    """

    recipient: str
    title: str
    message: str
    priority: str
    key: str
    workflow: str
    execution: str


class Notifier(Protocol):
    """Delivers notices over channels whose URLs begin with a scheme. Stateless between calls; called concurrently."""

    async def send(self, url: str, notice: Notice, context: TaskContext) -> None:
        """Deliver the notice over the channel with this URL, which may hold secrets. Cancelled when it takes too long.

        Raises:
            TaskError: it was not delivered; when that is `retryable` it is tried again. Any other exception counts as
                such an error.
        """
        ...

    async def close(self) -> None:
        """Give up what is held between calls."""
        return  # most hold nothing
