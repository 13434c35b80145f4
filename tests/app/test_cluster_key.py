"""The key of a store that several machines share."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence

import pytest

from stepwell.app.cluster_key import check_key
from stepwell.app.configuration import configuration_from
from stepwell.app.secret_store import add_key, keys_of
from stepwell.app.session import cipher_for
from stepwell.base.errors import ConfigurationError, StepwellError
from stepwell.ports.ledger import Write
from stepwell.store.memory.store import MemoryStore

URL = "postgresql://u:hunter2@db.example/flow"
LOCATION = "postgresql://u@db.example/flow"
ONE, OTHER, THIRD = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2, 3))


async def check(store: MemoryStore, key: str | None, old: Sequence[str] = (), url: str = URL) -> None:
    environment = {"STEPWELL_KEY": key} if key is not None else {}
    await check_key(store, url, 1, environment | {"STEPWELL_OLD_KEYS": ",".join(old)})


async def refusal(store: MemoryStore, key: str | None, old: Sequence[str] = ()) -> StepwellError:
    with pytest.raises(ConfigurationError) as raised:
        await check(store, key, old)
    assert "hunter2" not in str(raised.value)
    return raised.value


async def test_without_a_key_it_is_said_how_to_make_one(store: MemoryStore) -> None:
    error = await refusal(store, None)
    assert error.code == "missing-key"
    assert LOCATION in error.message
    assert "openssl rand -base64 32" in str(error.hint)


async def test_a_store_of_one_machine_needs_none(store: MemoryStore) -> None:
    for url in ("memory:", "sqlite:x.db"):
        await check(store, None, url=url)
    assert await store.documents("cluster") == []


async def test_everybody_needs_the_key_of_the_first(store: MemoryStore) -> None:
    await check(store, ONE)
    await check(store, ONE)
    error = await refusal(store, OTHER)
    assert error.code == "wrong-key"
    assert ONE not in str(error) + str(error.hint)


async def test_a_key_is_changed_by_whoever_has_the_one_in_use_among_his_old_keys(store: MemoryStore) -> None:
    await check(store, ONE)
    await check(store, OTHER, old=[THIRD, ONE])
    await check(store, OTHER)
    assert (await refusal(store, ONE)).code == "wrong-key"
    assert (await refusal(store, THIRD, old=[ONE])).code == "wrong-key"


async def test_of_many_that_come_first_with_different_keys_one_wins() -> None:
    store = _Slow()
    await store.open()
    keys = [ONE, OTHER, THIRD]
    answers = await asyncio.gather(*[check(store, key) for key in keys], return_exceptions=True)
    assert sum(answer is None for answer in answers) == 1
    assert all(answer is None or getattr(answer, "code", None) == "wrong-key" for answer in answers)


class _Slow(MemoryStore):
    """Lets others come between reading and writing."""

    async def write(self, writes: Sequence[Write], now: int, **more: object) -> Sequence[int]:
        await asyncio.sleep(0)
        return await super().write(writes, now, **more)  # type: ignore[arg-type]


def test_what_needs_the_key_says_so_and_nothing_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STEPWELL_KEY", raising=False)
    configuration = configuration_from({"state_store": {"url": URL}})
    cipher = cipher_for(configuration, print)
    for need in (
        lambda: cipher.encrypt(b"x"),
        lambda: cipher.decrypt(b"x"),
        keys_of(URL, environment={}),
        lambda: add_key(URL, {}),
    ):
        with pytest.raises(ConfigurationError) as raised:
            need()
        assert raised.value.code == "missing-key"
        assert "hunter2" not in str(raised.value)
