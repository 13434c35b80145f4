"""On what the workloads are run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from benchmarks.workflows import NOTHING

QUEUE: Final = "bench"


class Layout(msgspec.Struct, frozen=True):
    """How many nodes there are, and whether their steps are done by workers elsewhere, fetched through NATS."""

    nodes: int
    is_remote: bool = False

    @property
    def step(self) -> dict[str, Any]:
        """A step that a worker does."""
        return {**NOTHING, "queue": QUEUE} if self.is_remote else NOTHING


LAYOUTS: Final[Mapping[str, Layout]] = {
    "one node": Layout(1),
    "two nodes": Layout(2),
    "workers elsewhere": Layout(1, is_remote=True),
}
