"""`input {data, source}`: a step that brings data into a workflow."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from stepwell.base.instants import to_rfc3339
from stepwell.ports.work import TaskContext, TaskHandler, TaskResult
from stepwell.tasks.settings import read_settings

DEFAULT_SOURCE: Final = "manual"


class _InputSettings(msgspec.Struct):
    data: Any
    source: str | None = None


class InputHandler(TaskHandler):
    """Gives the data on as `{collected_data, timestamp, source}`."""

    async def run(self, config: Any, context: TaskContext) -> TaskResult:
        """Collect the data. Its `timestamp` (RFC 3339) is when the step became due: the same for every try.

        Raises:
            TaskError: (type `invalid_config`) there is no `data`.
        """
        settings = read_settings(config, _InputSettings, "input")
        return TaskResult({
            "collected_data": settings.data,
            "timestamp": to_rfc3339(context.assignment.scheduled_at),
            "source": DEFAULT_SOURCE if settings.source is None else settings.source,
        })  # fmt: skip
