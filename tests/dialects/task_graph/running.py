"""Task graphs at work: the real engine on a virtual clock, and tasks that are written in the test."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

from stepwell.app.workflow_engine import WorkflowEngine
from stepwell.tasks.registry import task
from tests.dialects.running import SECOND, Running, statuses
from tests.virtual_clock import START, VirtualClock

Function = Callable[[dict[str, Any]], Any]
"""Gives the result for the input, perhaps as something to await; what it raises fails the task."""

__all__ = ["SECOND", "statuses"]

HEAD = 'ref: test.graph\nversion: "1.0.0"\n'


def graph(text: str) -> str:
    """A whole document from its tasks and whatever else is said."""
    body = textwrap.dedent(text).strip("\n") + "\n"
    return body if body.startswith("ref:") else HEAD + body


def tasks(*written: str) -> str:
    """The text of these tasks."""
    return "tasks:\n" + "".join(f"  - {task}\n" for task in written)


async def slept(clock: VirtualClock, seconds: float) -> None:
    """Wait until so many seconds have passed."""
    woken = asyncio.Event()
    clock.call_at(clock.now() + round(seconds * SECOND), woken.set)
    await woken.wait()


class Called:
    """An action that remembers what it was called with, and when, in seconds since the beginning.

    Attributes:
        lasts: how many seconds it takes.
    """

    def __init__(self, name: str, function: Function, clock: VirtualClock) -> None:
        self.name = name
        self.inputs: list[dict[str, Any]] = []
        self.at: list[float] = []
        self.running = 0
        self.most = 0
        self.lasts = 0.0

        @task(name)
        async def run(**given: Any) -> Any:
            self.inputs.append(given)
            self.at.append((clock.now() - START) / SECOND)
            self.running += 1
            self.most = max(self.most, self.running)
            try:
                if self.lasts:
                    await slept(clock, self.lasts)
                result = function(given)
                return await result if isinstance(result, Coroutine) else result
            finally:
                self.running -= 1

        self.run = run


class Place(Running):
    """An engine, its clock and its actions."""

    def __init__(self, actions: Mapping[str, Function]) -> None:
        super().__init__()
        self.actions = {name: Called(name, function, self.clock) for name, function in actions.items()}
        self.engine = WorkflowEngine(
            {"state_store": {"type": "memory"}}, tasks=[each.run for each in self.actions.values()], clock=self.clock
        )

    async def sleep(self, seconds: float) -> None:
        """For actions that take time."""
        await slept(self.clock, seconds)


@asynccontextmanager
async def a_place(actions: Mapping[str, Function] | None = None) -> AsyncIterator[Place]:
    """A place whose engine is open."""
    place = Place(actions or {})
    async with place.engine:
        yield place


def gives(result: Any) -> Function:
    """An action with this result."""
    return lambda given: result


def fails(message: str = "it broke") -> Function:
    """An action that fails."""

    def fail(given: dict[str, Any]) -> Any:
        raise RuntimeError(message)

    return fail
