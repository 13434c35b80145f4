"""Workflows of activities at work: the real engine on a virtual clock, and activities that are written in the test."""

from __future__ import annotations

import asyncio
import inspect
import textwrap
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from stepwell.app.triggering import PublishedEvent
from stepwell.app.workflow_engine import WorkflowEngine
from stepwell.tasks.registry import task
from tests.virtual_clock import START, VirtualClock

SECOND = 1_000_000
_MOST_JUMPS = 10_000
CHANNELS = {"slack": "log:", "email": "log:"}


class Stage:
    """An engine, its clock, and the calls of its activities.

    Attributes:
        calls: (seconds since the beginning, activity, what it was given), in order.
    """

    def __init__(self, activities: Mapping[str, Callable[..., Any]], **configuration: Any) -> None:
        self.clock = VirtualClock()
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

    def seconds(self) -> float:
        """How much time has passed."""
        return (self.clock.now() - START) / SECOND

    def called(self) -> list[str]:
        """The activities that were called, in order."""
        return [name for _, name, _ in self.calls]

    async def register(self, text: str) -> None:
        await self.engine.register_workflow(document(text))

    async def publish(self, type_: str, data: Any = None, id_: str | None = None) -> PublishedEvent:
        return await self.engine.publish_event(type_, data, id=id_)

    async def start(self, text: str, given: Any = None) -> str:
        execution = await self.engine.start_workflow(document(text), given)
        await self.clock.settle()
        return execution

    async def end(self, execution: str) -> dict[str, Any]:
        """Let time pass until the execution has ended; its report."""
        ending = asyncio.ensure_future(self.engine.result(execution))
        for _ in range(_MOST_JUMPS):
            await self.clock.settle()
            if ending.done():
                return await ending
            await self.clock.jump()
        ending.cancel()
        raise AssertionError(f"it does not end: {await self.report(execution)}")

    async def run(self, text: str, given: Any = None) -> dict[str, Any]:
        return await self.end(await self.start(text, given))

    async def report(self, execution: str) -> dict[str, Any]:
        return (await self.engine.get_workflow_status(execution)).report


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


def statuses(report: dict[str, Any]) -> dict[str, str]:
    """The status of every step."""
    return {step["name"]: step["status"] for step in report["steps"]}
