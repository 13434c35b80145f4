"""What every store must do with the cache of results."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.base.errors import FenceLost
from stepwell.ports.records import KeptResult
from tests.conformance.store import NOW, RUNNING, Scene, StorePlace, batch, change


def kept(key: str = "k", value: bytes = b"\x92\x01\xc0", **changes: Any) -> KeptResult:
    fields: dict[str, Any] = {"key": key, "execution": "x", "made_at": NOW, "expires_at": None, "value": value}
    return KeptResult(**(fields | changes))


class ResultsConformance(StorePlace):
    """The suite."""

    async def keep(self, scene: Scene, *results: KeptResult, id_: str = "x") -> None:
        handle = await scene.create(id_, RUNNING)
        await scene.append(change(handle, 2, results_kept=results))

    async def test_a_result_is_found_by_its_key(self, scene: Scene) -> None:
        await self.keep(scene, kept("a", b"one"), kept("b", b"two", expires_at=NOW + 1))
        assert await scene.store.kept_result("a", NOW) == kept("a", b"one")
        assert await scene.store.kept_result("b", NOW) == kept("b", b"two", expires_at=NOW + 1)
        assert await scene.store.kept_result("c", NOW) is None

    async def test_a_result_is_not_there_from_the_instant_at_which_it_expires(self, scene: Scene) -> None:
        await self.keep(scene, kept(expires_at=NOW + 10))
        assert await scene.store.kept_result("k", NOW + 9) is not None
        assert await scene.store.kept_result("k", NOW + 10) is None

    async def test_a_later_result_takes_the_place_of_an_earlier_one(self, scene: Scene) -> None:
        await self.keep(scene, kept(value=b"one", expires_at=NOW + 10))
        await self.keep(scene, kept(value=b"two", execution="y", made_at=NOW + 1), id_="y")
        found = await scene.store.kept_result("k", NOW + 99)
        assert found == kept(value=b"two", execution="y", made_at=NOW + 1)

    async def test_of_several_in_one_batch_the_last_counts(self, scene: Scene) -> None:
        first, second = await scene.create("x", RUNNING), await scene.create("y", RUNNING)
        changes = [
            change(first, 2, results_kept=[kept(value=b"one"), kept(value=b"two")]),
            change(second, 2, results_kept=[kept(value=b"three", execution="y")]),
        ]
        await scene.store.append(batch(scene.lease, *changes))
        found = await scene.store.kept_result("k", NOW)
        assert found == kept(value=b"three", execution="y")

    async def test_nothing_is_kept_of_a_batch_that_is_refused(self, scene: Scene) -> None:
        handle = await scene.create("x", RUNNING)
        refused = batch(scene.lease, change(handle, 2, results_kept=[kept()]))
        refused.fences = {scene.lease.shard: scene.lease.fence + 1}
        with pytest.raises(FenceLost):
            await scene.store.append(refused)
        assert await scene.store.kept_result("k", NOW) is None

    async def test_what_has_expired_is_forgotten_and_nothing_else(self, scene: Scene) -> None:
        results = [kept(f"k{number}", expires_at=NOW + number) for number in range(1_500)]
        await self.keep(scene, kept("for ever"), *results)
        assert await scene.store.forget_results(NOW + 1_200) == 1_201
        assert await scene.store.forget_results(NOW + 1_200) == 0
        assert await scene.store.kept_result("for ever", NOW) is not None
        assert await scene.store.kept_result("k1201", NOW) is not None
        assert await scene.store.kept_result("k1200", NOW) is None

    async def test_a_large_result_is_kept(self, scene: Scene) -> None:
        value = b"x" * 3_000_000
        await self.keep(scene, kept(value=value))
        found = await scene.store.kept_result("k", NOW)
        assert found is not None
        assert found.value == value
