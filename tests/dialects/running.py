"""Executions on a virtual clock, to their end."""

from __future__ import annotations

import asyncio
from typing import Any

from stepwell.app.workflow_engine import WorkflowEngine
from tests.virtual_clock import START, VirtualClock

SECOND = 1_000_000
_MOST_JUMPS = 10_000


class Running:
    """An engine and its clock, whose time passes when all wait for it."""

    engine: WorkflowEngine

    def __init__(self) -> None:
        self.clock = VirtualClock()

    async def start(self, document: str, given: Any = None) -> str:
        execution = await self.engine.start_workflow(document, given)
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

    async def run(self, document: str, given: Any = None) -> dict[str, Any]:
        return await self.end(await self.start(document, given))

    async def report(self, execution: str) -> dict[str, Any]:
        return (await self.engine.get_workflow_status(execution)).report

    def seconds(self) -> float:
        """How much time has passed."""
        return (self.clock.now() - START) / SECOND


def statuses(report: dict[str, Any]) -> dict[str, str]:
    """The status of every step."""
    return {step["name"]: step["status"] for step in report["steps"]}
