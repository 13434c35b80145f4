"""Several processes on one database, some of which are killed."""

from __future__ import annotations

import asyncio
import random
import socket
from pathlib import Path

import pytest

from stepwell.base.errors import Conflict
from stepwell.ports.records import Handle, InboxItem
from stepwell.store.sqlite import SqliteStore
from tests.conformance.store import NOW, PATIENCE, SECOND, TTL, creation, scene_on
from tests.store.processes import child, line_of


async def test_every_acknowledged_row_survives_a_kill_and_no_commit_is_half_there(tmp_path: Path) -> None:
    path = tmp_path / "stepwell.db"
    chance = random.Random(7)
    acknowledged: dict[tuple[str, str], int] = {}
    for _ in range(4):
        with child("append", path) as process:
            _, first, second = line_of(process).split()
            for _ in range(chance.randrange(1, 200)):
                acknowledged[first, second] = int(line_of(process))
            process.kill()
    store = SqliteStore(path)
    await store.open()
    for names, seq in acknowledged.items():
        here, there = [[row.seq for row in await store.history(name, limit=100_000)] for name in names]
        assert here == there, "both rows of a commit are there, or none"
        assert here == list(range(1, len(here) + 1))
        assert len(here) >= seq
    assert [problem for problem in await store.check() if "definition" not in problem] == []
    await store.close()


async def test_two_processes_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "stepwell.db"
    store = SqliteStore(path)
    await store.open()
    scene = await scene_on(store)
    with child("append", path) as process:
        _, theirs, _ = line_of(process).split()
        for number in range(100):
            await scene.append(creation(Handle(f"mine {number}", scene.lease.shard)))
        while int(line_of(process)) < 50:
            pass
    assert len(await store.history(theirs)) >= 50
    assert (await store.status()).executions == {"running": 102}
    await store.close()


async def test_the_shard_of_a_killed_process_is_free_at_once(tmp_path: Path) -> None:
    path = tmp_path / "stepwell.db"
    store = SqliteStore(path)
    await store.open()
    with child("own", path) as process:
        assert line_of(process) == "owned"
        with pytest.raises(Conflict, match=f"process {process.pid} on ") as raised:
            await store.acquire(0, "engine", NOW + SECOND, TTL)
        assert raised.value.code == "shard-owned"
        assert (await store.status()).owners[0]["gone"] is False
        process.kill()  # and not waited for: a zombie is gone too
        while not (await store.status()).owners[0]["gone"]:
            pass
        assert (await store.acquire(0, "engine", NOW + SECOND, TTL)).fence == 2
    await store.close()


async def test_a_datagram_from_anybody_only_makes_an_owner_look(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "stepwell.db")
    await store.open()
    called = asyncio.Event()
    store.listen(called.set)
    assert store._wake.port is not None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for content in (b"", b"\xff" * 10_000):
            stranger.sendto(content, ("127.0.0.1", store._wake.port))
            await asyncio.wait_for(called.wait(), PATIENCE)
            called.clear()
    await store.close()


async def test_an_owner_that_no_longer_listens_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "stepwell.db"
    with child("listen", path) as process:
        assert line_of(process) == "listening"
        process.kill()
        process.wait()
        store = SqliteStore(path)
        await store.open()
        for _ in range(3):
            await store.post([InboxItem(shard=0, kind="cancel", payload=b"")])
        await store.close()


async def test_an_owner_in_another_process_is_woken(tmp_path: Path) -> None:
    path = tmp_path / "stepwell.db"
    with child("listen", path) as process:
        assert line_of(process) == "listening"
        store = SqliteStore(path)
        await store.open()
        await store.post([InboxItem(shard=0, kind="cancel", payload=b"")])
        assert line_of(process) == "called, 1 in the inbox"
        await store.close()
