"""Which attempt the running code belongs to."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

from stepwell.ports.work import TaskContext

CURRENT: Final[ContextVar[TaskContext | None]] = ContextVar("stepwell_attempt", default=None)
"""The attempt whose task is running, in its code and in the threads it has work done in; None elsewhere, and
where a worker does not tell."""
