"""What is wrong with a database is found, and statements that must be quick use an index."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import apsw
import pytest

from stepwell.base.errors import FenceLost, StoreError
from stepwell.ports.records import Handle, LockRequest
from stepwell.store.sqlite.rows import SQL
from stepwell.store.sqlite.store import SqliteStore
from tests.conformance.ledger import entry, put
from tests.conformance.store import COMPLETED, DEFINITION, NOW, TTL, WAITING, Scene, change, creation, scene_on, wait
from tests.conformance.store_dead_letters import letter


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    return tmp_path / "stepwell.db"


@pytest.fixture
async def scene(path: Path) -> AsyncIterator[Scene]:
    store = SqliteStore(path)
    await store.open()
    await store.put_definition(DEFINITION)
    yield await scene_on(store)
    await store.close()


@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        ("DELETE FROM executions WHERE id = 'b'", "history rows refer to the execution number 2, which does not exist"),
        ("DELETE FROM history WHERE execution = 2", "execution b has no history"),
        ("UPDATE history SET seq = 50 WHERE seq = 1 AND execution = 1", "a: history row 5 is not in the order"),
        ("UPDATE snapshots SET seq = 9", "execution a: its snapshot stands at event 9, beyond the end of its history"),
        ("UPDATE executions SET status = 'failed' WHERE id = 'a'", "a: step payment is filed as waiting, but"),
        ("DELETE FROM definitions", "execution a: its definition d1 is not stored"),
        ("INSERT INTO waits VALUES ('x', 1, 99, 's')", "refers to a row of executions that does not exist"),
        (
            "UPDATE locks SET held = 0",
            "lock 'till' is free for execution a, which stands first in line and was not told",
        ),
        ("UPDATE executions SET status = 'failed' WHERE id = 'b'", "execution b: it has or wants the lock 'till', but"),
        ("INSERT INTO locks SELECT 9, 'x', 99, 's', 1, 0, 1, 0", "refers to a row of executions that does not exist"),
        ("UPDATE dead_letters SET seq = 9", "dead letter a/pay/4: the history of execution a does not go so far"),
        ("UPDATE registrations SET version = '2.0.0'", "shop 2.0.0 is registered with the definition of shop 1.0.0"),
        ("DELETE FROM chains", "journal of 'audit': it has chained entries, but where its chain ends is not recorded"),
        ("DELETE FROM journal", "table chains: refers to a row of journal that does not exist"),
        ("DROP INDEX history_order", "index history_order is missing, unknown or changed"),
    ],
)
async def test_broken_references_are_found(scene: Scene, path: Path, damage: str, finding: str) -> None:
    handle = await scene.create("a", WAITING)
    other = await scene.create("b")
    request = LockRequest("till", 1, "pay", NOW)
    last = change(handle, 5, waits_begun=[wait()], snapshot=b"s", dead_letters=[letter(seq=4)], locks_taken=[request])
    await scene.append(last, change(other, 2, locks_taken=[request]))
    await scene.store.register(DEFINITION, tags=(), lifecycle="active", at=NOW, by="ada")
    await scene.store.write([put()], NOW, entries=[entry(chained=True)])
    assert await scene.store.check() == []
    connection = apsw.Connection(str(path))
    connection.execute(damage)
    connection.close()
    found = await scene.store.check()
    assert any(finding in problem for problem in found), found


async def test_the_history_of_an_execution_may_be_written_between_that_of_others(scene: Scene) -> None:
    handles = [await scene.create(name) for name in "ab"]
    for seq in range(2, 20):
        await scene.append(*[change(handle, seq) for handle in handles])
    await scene.append(change(handles[0], 20, summary=COMPLETED))
    assert await scene.store.check() == []


JOURNAL = {
    "kind": "k", "subject": "s", "after": 0, "before": 9, "since": 0, "until": NOW, "text": None, "limit": 10,
}  # fmt: skip
QUICK: Mapping[str, Sequence[Any] | Mapping[str, Any]] = {
    "execution": ("x",),
    "find_start": ("x",),
    "history": (1, 0, 10),
    "history_of": ("x", 0, 10),
    "hot": (0,),
    "unfinished": (0,),
    "has_unfinished": (0,),
    "due": (0, NOW, 10),
    "next_wake": (0,),
    "inbox": (0, 0, 10),
    "snapshot": (1,),
    "forget_events": (NOW, 10),
    "keep_payloads": (NOW,),
    "end_waits": ("t", 1, 1, "s"),
    "consume": (1,),
    "update_summaries": (1, "running", 1, None, None, None, None),
    "file_early_events": ('[["t", 1, 1, "s", 0]]',),
    "hand_to_waits": {"event": 1, "type": "t", "keys": "[1]"},
    "shards_of_event": (1,),
    "executions_after": (0, 10),
    "children": ("x",),
    "move_to_versions": (1, "2.0.0", "d2"),
    "dead_letter": ("x",),
    "resolve_dead_letters": ("x",),
    "discard_dead_letter": ("{}", "x"),
    "release_locks": ("x", 1, "s"),
    "release_locks_of": (1,),
    "count_holders": ("x",),
    "lock_line": ("x",),
    "hold_locks": (1,),
    "has_asked_for_lock": ("x", 1, "s"),
    "locks_before": ("x", 1, "s"),
    "tell_locks": (1,),
    "waiting": {"type": "t", "namespaces": None, "execution": 0, "step": "", "limit": 10},
    "versions": ("x",),
    "list": {
        "before_created": NOW, "before_key": 1, "created_from": 0, "created_to": NOW, "workflow": None,
        "version": None, "statuses": None, "tag": None, "parent": None, "namespaces": None, "text": None, "limit": 10,
    },
    "document": ("k", "x"),
    "documents": {"kind": "k", "first": "a", "after": "a", "end": "b", "limit": 10},
    "due_documents": ("k", NOW, 10),
    "next_due": ("k",),
    "delete_document": ("k", "x"),
    "deleted_revision": ("k",),
    "chain": ("k",),
    "journal": JOURNAL,
    "journal_of_subject": JOURNAL,
    "journal_between": JOURNAL,
    "forget_journal": ("k", NOW, 10),
    "feed": (0, 10),
}  # fmt: skip


@pytest.mark.parametrize("statement", QUICK)
async def test_no_statement_that_must_be_quick_reads_a_whole_table(scene: Scene, path: Path, statement: str) -> None:
    connection = apsw.Connection(str(path))
    steps = [
        str(detail)
        for _, _, _, detail in connection.execute(f"EXPLAIN QUERY PLAN {_bare(SQL[statement])}", QUICK[statement])
    ]
    connection.close()
    scans = [step for step in steps if step.startswith("SCAN") and not _is_small(step)]
    assert scans == [], steps


def _bare(statement: str) -> str:
    """Without the comments that lead to the next statement."""
    return "\n".join(line for line in statement.splitlines() if not line.startswith("--"))


def _is_small(step: str) -> bool:
    """A scan of what was given with the statement, or of a part of an index that holds only what is wanted."""
    return any(name in step for name in ("json_each", "VALUES", "CONSTANT ROW", "new", "SUBQUERY", "(subquery"))


async def test_history_is_written_with_one_statement(scene: Scene) -> None:
    handles = [Handle(f"e{number}", scene.lease.shard) for number in range(200)]
    await scene.append(*[creation(handle) for handle in handles])
    statements = await _traced(scene)
    await scene.append(*[change(handle, 2) for handle in handles])
    assert [statement.split()[0] for statement in statements] == ["INSERT"]
    assert [len(await scene.store.history(handle.id)) for handle in handles] == [2] * 200


async def test_that_statement_writes_nothing_under_a_lost_fence(scene: Scene) -> None:
    handle = await scene.create("a")
    taken = await scene.store.acquire(scene.lease.shard, "other", NOW + TTL, TTL)
    with pytest.raises(FenceLost):
        await scene.append(change(handle))
    assert len(await scene.store.history("a")) == 1
    scene.lease = taken
    await scene.append(change(handle))
    assert len(await scene.store.history("a")) == 2


async def test_that_statement_writes_nothing_when_a_row_is_there_already(scene: Scene) -> None:
    handles = [await scene.create("a"), await scene.create("b")]
    with pytest.raises(StoreError, match="contradicts"):
        await scene.append(change(handles[0], 2), change(handles[1], 1))
    assert [len(await scene.store.history(handle.id)) for handle in handles] == [1, 1]
    await scene.append(*[change(handle, 2) for handle in handles])


async def test_a_batch_is_a_handful_of_statements(scene: Scene) -> None:
    handles = [Handle(f"e{number}", scene.lease.shard) for number in range(200)]
    await scene.append(*[creation(handle) for handle in handles])
    statements = await _traced(scene)
    await scene.append(*[change(handle, 2, summary=WAITING) for handle in handles])
    assert [statement.split()[0] for statement in statements] == ["BEGIN", "SELECT", "INSERT", "UPDATE", "COMMIT"]


async def test_more_rows_than_a_statement_takes_are_one_transaction(scene: Scene) -> None:
    handle = Handle("e", scene.lease.shard)
    await scene.append(creation(handle))
    statements = await _traced(scene)
    await scene.append(*[change(handle, seq) for seq in range(2, 2_502)])
    firsts = [statement.split()[0] for statement in statements]
    assert firsts == ["BEGIN", "SELECT", "INSERT", "INSERT", "INSERT", "COMMIT"]
    assert len(await scene.store.history("e", 0, 5_000)) == 2_501


async def test_hundreds_of_journal_entries_are_one_statement(scene: Scene) -> None:
    statements = await _traced(scene)
    await scene.store.write([], NOW, entries=[entry(kind="log", subject=str(number)) for number in range(250)])
    assert [statement.split()[0] for statement in statements] == ["BEGIN", "INSERT", "COMMIT"]


async def _traced(scene: Scene) -> list[str]:
    """The statements that are run from now on."""
    statements: list[str] = []
    assert isinstance(scene.store, SqliteStore)

    def trace(connection: apsw.Connection) -> None:
        connection.trace_v2(apsw.SQLITE_TRACE_STMT, lambda found: statements.append(str(found["sql"])))

    await scene.store._write(trace)
    return statements
