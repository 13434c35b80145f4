"""Workflows of activities at work: the real engine on a virtual clock, and activities that are written in the test."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from stepwell.app.triggering import PublishedEvent
from stepwell.app.workflow_engine import WorkflowEngine
from stepwell.tasks.registry import task
from tests.dialects.running import SECOND, Running, statuses

__all__ = ["SECOND", "statuses"]

CHANNELS = {"slack": "log:", "email": "log:"}


class Stage(Running):
    """An engine, its clock, and the calls of its activities.

    Attributes:
        calls: (seconds since the beginning, activity, what it was given), in order.
    """

    def __init__(self, activities: Mapping[str, Callable[..., Any]], **configuration: Any) -> None:
        super().__init__()
        self.calls: list[tuple[float, str, dict[str, Any]]] = []
        config = {"state_store": {"type": "memory"}, "notifications": CHANNELS, **configuration}
        tasks = [self._watched(name, function) for name, function in activities.items()]
        self.engine = WorkflowEngine(config, tasks=tasks, clock=self.clock)

    def _watched(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        parameters = inspect.signature(function).parameters

        async def run(*args: Any, **given: Any) -> Any:
            self.calls.append((self.seconds(), name, dict(zip(parameters, args, strict=False)) | given))
            result = function(*args, **given)
            return await result if inspect.isawaitable(result) else result

        run.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
        return task(name)(run)

    def called(self) -> list[str]:
        """The activities that were called, in order."""
        return [name for _, name, _ in self.calls]

    async def register(self, text: str) -> None:
        await self.engine.register_workflow(document(text))

    async def publish(self, type_: str, data: Any = None, id_: str | None = None) -> PublishedEvent:
        return await self.engine.publish_event(type_, data, id=id_)

    async def start(self, text: str, given: Any = None) -> str:
        return await super().start(document(text), given)


@asynccontextmanager
async def a_stage(activities: Mapping[str, Callable[..., Any]], **configuration: Any) -> AsyncIterator[Stage]:
    """A stage whose engine is open."""
    stage = Stage(activities, **configuration)
    async with stage.engine:
        yield stage


def document(text: str) -> str:
    """A document as it stands indented in a test."""
    return textwrap.dedent(text).strip("\n") + "\n"


def broken(**given: Any) -> Any:
    """An activity that fails."""
    raise RuntimeError("it broke")
