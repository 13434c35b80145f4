"""Requests that are sent again."""

from __future__ import annotations

import asyncio

import pytest

from stepwell.app.idempotency import CLAIMED, FORGET_EVERY, KEPT, KIND, IdempotencyKeys, KeptAnswer, KeyReused
from stepwell.base.errors import Conflict
from stepwell.execution.codec import Codec
from stepwell.services.cipher import AesCipher
from stepwell.store.memory.store import MemoryStore
from tests.virtual_clock import VirtualClock

OK = KeptAnswer(201, {"location": "/x"}, b"{}")
CODEC = Codec(AesCipher(bytes(32)))


class Acts:
    """Counts how often something is done."""

    def __init__(self, answer: KeptAnswer = OK) -> None:
        self.count = 0
        self.answer = answer
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self) -> KeptAnswer:
        self.count += 1
        await self.gate.wait()
        return self.answer


async def keys() -> tuple[IdempotencyKeys, VirtualClock, MemoryStore]:
    store, clock = MemoryStore(), VirtualClock()
    await store.open()
    return IdempotencyKeys(store, clock, CODEC), clock, store


async def test_the_same_request_is_acted_on_once_and_answered_alike() -> None:
    kept, clock, store = await keys()
    act = Acts()
    assert [await kept.answer("ada", "k", b"r", act) for _ in range(3)] == [OK] * 3
    assert act.count == 1
    another = IdempotencyKeys(store, clock, CODEC)  # the next process
    assert await another.answer("ada", "k", b"r", act) == OK
    assert act.count == 1


async def test_another_request_with_the_key_is_refused_and_another_caller_is_not_met() -> None:
    kept, _, _ = await keys()
    await kept.answer("ada", "k", b"r", Acts())
    with pytest.raises(KeyReused):
        await kept.answer("ada", "k", b"other", Acts())
    act = Acts()
    await kept.answer("bob", "k", b"other", act)
    assert act.count == 1


async def test_one_that_comes_meanwhile_is_told_to_wait() -> None:
    kept, _, _ = await keys()
    act = Acts()
    act.gate.clear()
    first = asyncio.create_task(kept.answer("ada", "k", b"r", act))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    with pytest.raises(Conflict, match="being acted on") as refused:
        await kept.answer("ada", "k", b"r", act)
    assert refused.value.code == "request-in-progress"
    act.gate.set()
    assert await first == OK
    assert act.count == 1


async def test_what_failed_may_be_tried_again_with_the_key() -> None:
    kept, _, _ = await keys()

    async def fail() -> KeptAnswer:
        raise Conflict("no")

    with pytest.raises(Conflict):
        await kept.answer("ada", "k", b"r", fail)
    broken, act = Acts(KeptAnswer(503, {}, b"")), Acts()
    await kept.answer("ada", "k", b"r", broken)
    await kept.answer("ada", "k", b"r", act)
    assert (broken.count, act.count) == (1, 1)


async def test_a_claim_of_a_process_that_ended_is_free_after_a_minute() -> None:
    kept, clock, _ = await keys()
    act = Acts()
    act.gate.clear()
    gone = asyncio.create_task(kept.answer("ada", "k", b"r", act))
    await clock.settle()
    clock.set(clock.now() + CLAIMED)
    after = Acts()
    assert await kept.answer("ada", "k", b"r", after) == OK
    assert after.count == 1
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)


async def test_keys_are_forgotten_after_a_day() -> None:
    kept, clock, store = await keys()
    async with kept.open():
        await kept.answer("ada", "k", b"r", Acts())
        await clock.advance(KEPT - FORGET_EVERY)
        assert len(await store.documents(KIND)) == 1
        await clock.advance(2 * FORGET_EVERY)
        assert len(await store.documents(KIND)) == 0


async def test_an_answer_with_a_secret_is_kept_encrypted() -> None:
    kept, _, store = await keys()
    told = KeptAnswer(201, {"location": "/x"}, b'{"secret": "whsec_hunter22"}')
    act = Acts(told)
    assert [await kept.answer("ada", "k", b"r", act, is_secret=True) for _ in range(2)] == [told] * 2
    assert act.count == 1
    (document,) = await store.documents(KIND)
    assert b"hunter22" not in document.body
