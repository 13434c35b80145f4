"""Events start the workflow: one that its conditions want, and one that they do not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import activities

from stepwell import WorkflowEngine

TASKS: list[Callable[..., Any]] = [
    activities.open_case,
    activities.call_back_parcel,
    activities.reserve_refund,
    activities.close_case,
    activities.release_parcel,
]


async def main() -> None:
    async with WorkflowEngine({"state_store": {"type": "memory"}}, tasks=TASKS) as engine:
        await engine.register_workflow(Path(__file__).with_name("complaint.yaml"))
        for order, value in (("o7", 250), ("o8", 20)):
            data = {"order": order, "value": value, "reason": "damaged"}
            published = await engine.publish_event("order:complained", data)
            for firing in published.firings:
                print(order, firing.outcome, firing.reason or "")
            for execution in published.started:
                report = await engine.result(execution)
                print(order, report["status"], report["variables"])


if __name__ == "__main__":
    asyncio.run(main())
