"""What every store must count for those who watch it."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.ports.records import Handle, Summary
from stepwell.ports.tallies import Ended, EndedQuery, Standing
from tests.conformance.store import NOW, RUNNING, WAITING, Scene, StorePlace, creation, wait


def ended(status: str = "completed", at: int = 1, took: int | None = 1) -> Summary:
    """An execution that ended `at` microseconds after NOW and had taken so long; None: it never started."""
    started = NOW + at - took if took is not None else None
    return Summary(status=status, hot=False, started_at=started, finished_at=NOW + at)


def query(since: int = 0, until: int = 1_000, **more: Any) -> EndedQuery:
    return EndedQuery(since=NOW + since, until=NOW + until, **more)


class TalliesConformance(StorePlace):
    """The suite."""

    async def test_what_has_not_ended_is_counted_by_workflow_version_and_status(self, scene: Scene) -> None:
        await scene.create("a", RUNNING)
        await scene.create("b", RUNNING)
        await scene.create("c", WAITING, workflow="team.x", version="2.0.0")
        await scene.create("d", ended())
        census = await scene.store.census()
        assert list(census.unfinished) == [
            Standing("shop", "1.0.0", "running", 2),
            Standing("team.x", "2.0.0", "waiting", 1),
        ]
        assert (census.waits, census.dead_letters, census.inbox) == (0, 0, 0)

    async def test_waits_are_counted(self, scene: Scene) -> None:
        handle = Handle("a", scene.lease.shard)
        change = creation(handle, WAITING)
        change.waits_begun = (wait(), wait("other"))
        await scene.append(change)
        assert (await scene.store.census()).waits == 2

    async def test_what_ended_within_a_window_is_counted_with_what_it_took(self, scene: Scene) -> None:
        await scene.create("early", ended(at=9))
        await scene.create("first", ended(at=10, took=4))
        await scene.create("last", ended(at=19, took=6))
        await scene.create("late", ended(at=20))
        await scene.create("failed", ended("failed", at=15, took=5))
        await scene.create("never", ended("cancelled", at=15, took=None))
        assert list(await scene.store.ended(query(10, 20))) == [
            Ended("shop", "1.0.0", "cancelled", 1, 0),
            Ended("shop", "1.0.0", "completed", 2, 10),
            Ended("shop", "1.0.0", "failed", 1, 5),
        ]
        assert list(await scene.store.ended(query(10, 20, statuses=("failed",)))) == [
            Ended("shop", "1.0.0", "failed", 1, 5)
        ]

    async def test_only_what_is_of_a_workflow_or_of_namespaces_is_counted(self, scene: Scene) -> None:
        for number, name in enumerate(["shop", "team.a", "team.b.c", "teams.a"]):
            await scene.create(str(number), ended(), workflow=name)

        async def found(**more: Any) -> list[str]:
            return [each.workflow for each in await scene.store.ended(query(**more))]

        assert await found(workflow="team.a") == ["team.a"]
        assert await found(namespaces=("team",)) == ["team.a", "team.b.c"]
        assert await found(namespaces=("default", "teams")) == ["shop", "teams.a"]
        assert await found(namespaces=()) == []

    async def test_of_nothing_there_are_no_durations(self, scene: Scene) -> None:
        assert list(await scene.store.durations(query(), (0.5, 1.0))) == [None, None]

    async def test_a_part_of_the_durations_is_not_exceeded(self, scene: Scene) -> None:
        for number in range(1, 101):
            await scene.create(str(number), ended(at=500, took=number))
        found = await scene.store.durations(query(), (0.01, 0.5, 0.95, 0.99, 1.0))
        assert list(found) == [1, 50, 95, 99, 100]

    @pytest.mark.parametrize("until", [0, -5])
    async def test_an_empty_window_counts_nothing(self, scene: Scene, until: int) -> None:
        await scene.create("a", ended(at=0))
        assert list(await scene.store.ended(query(0, until))) == []
