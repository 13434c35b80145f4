"""Queues, NATS and a worker together do what every dispatcher does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from stepwell.base.values import Sealed, SecretRef
from stepwell.ports.work import TaskContext
from tests.conformance.dispatcher import (
    PATIENCE,
    SECRETS,
    DispatcherHarness,
    FetchedConformance,
    OpenHarness,
    Work,
    assignment,
)
from tests.servers.nats import shared_server
from tests.worker.nats_harness import NatsHarness


class TestNats(FetchedConformance):
    @pytest.fixture
    async def open_harness(self) -> AsyncIterator[OpenHarness]:
        opened: list[NatsHarness] = []

        async def open_one(work: Work) -> DispatcherHarness:
            harness = NatsHarness(shared_server().url)
            opened.append(harness)
            await harness.open()
            await harness.add_worker("w1", work)
            return harness

        yield open_one
        for harness in opened:
            await harness.close()

    async def test_closing_stops_everything_without_a_report(self, open_harness: OpenHarness) -> None:
        """What a worker elsewhere is at goes on: whoever owns the execution next takes it up, and hears of its end."""
        begun, gate = asyncio.Event(), asyncio.Event()

        async def wait(config: Any, context: TaskContext) -> Any:
            begun.set()
            await gate.wait()
            return "done"

        harness = await open_harness(wait)
        assert isinstance(harness, NatsHarness)
        harness.dispatcher.dispatch(assignment())
        async with asyncio.timeout(PATIENCE):
            await begun.wait()
            await harness.dispatcher.close()
            await harness.dispatcher.close()
        gate.set()
        await harness.rest()
        assert harness.reports == []
        following = await harness.add_node()
        following.dispatch(assignment())
        assert (await harness.report()).result == "done"

    async def test_secrets_are_opened_for_the_task_and_sealed_in_its_result(self, open_harness: OpenHarness) -> None:
        """The worker elsewhere is not told what is secret: the engine seals what comes back."""

        async def leak(config: Any, context: TaskContext) -> Any:
            return {"said": f"I know {config['password']}", "token": config["token"], "plain": "nothing"}

        harness = await open_harness(leak)
        config = {"password": Sealed("hunter22"), "token": SecretRef("TOKEN")}
        harness.dispatcher.dispatch(assignment(config=config))
        assert (await harness.report()).result == {
            "said": Sealed("I know hunter22"),
            "token": Sealed(SECRETS["TOKEN"]),
            "plain": "nothing",
        }
