"""What is wrong with a PostgreSQL database is found, and statements that must be quick can use an index."""

from __future__ import annotations

import asyncio
import re
from typing import Final

import pytest

from stepwell.ports.records import LockRequest
from stepwell.store.postgres.database import connect, database_of
from stepwell.store.postgres.statements import SQL, chosen
from stepwell.store.postgres.store import PostgresStore
from tests.conformance.ledger import entry, put
from tests.conformance.store import DEFINITION, NOW, WAITING, Scene, change, event, wait
from tests.conformance.store_dead_letters import letter
from tests.servers.postgres import postgres_server
from tests.store.postgres_place import InPostgres

READ_WHOLE_TABLES: Final = {
    "count_by_status",
    "count_dead_letters",
    "numbers_would_go_back",
    "shift_numbers",
    "registrations",
    "registry_mark",
    "tally_others",
    "history_without_execution",
    "executions_without_history",
    "history_out_of_order",
    "snapshots_ahead",
    "rows_of_no_execution",
    "rows_of_no_event",
    "executions_of_no_shard",
    "waits_of_ended",
    "executions_without_definition",
    "locks_of_ended",
    "locks_not_granted",
    "dead_letters_without_history",
    "registrations_of_another",
    "chains_without_end",
    "chained_without_chain",
}
"""Statements that count, care for the store, or read what is small; and those that look into a row of settings."""
SMALL: Final = ("shards", "nodes", "numbering", "writers", "migrations", "pg_")
"""Tables with a row for each shard or node, or with one row."""


class TestDamage(InPostgres):
    @pytest.mark.parametrize(
        ("damage", "finding"),
        [
            ("DELETE FROM executions WHERE id = 'b'", "history rows refer to the execution number "),
            ("DELETE FROM history WHERE execution = (SELECT key FROM executions WHERE id = 'b')", "b has no history"),
            ("UPDATE history SET seq = 50 WHERE seq = 1", "a: history row 5 is not in the order"),
            ("UPDATE snapshots SET seq = 9", "execution a: its snapshot stands at event 9, beyond the end of its"),
            ("UPDATE executions SET status = 'failed' WHERE id = 'a'", "a: step payment is filed as waiting, but"),
            ("DELETE FROM registrations; DELETE FROM definitions", "execution a: its definition d1 is not stored"),
            ("INSERT INTO waits VALUES ('', 1, 99, '', 's')", "table waits: refers to the execution number 99, which"),
            ("INSERT INTO snapshots VALUES (99, 1, '')", "table snapshots: refers to the execution number 99, which"),
            (
                "UPDATE locks SET execution = 99 WHERE held",
                "table locks: refers to the execution number 99",
            ),
            ("DELETE FROM events", "table event_keys: refers to the event number 1, which does not exist"),
            ("DELETE FROM shards", "execution a: its shard 0 does not exist"),
            ("UPDATE locks SET held = false", "lock 'till' is free for execution a, which stands first in line and"),
            ("UPDATE executions SET status = 'failed' WHERE id = 'b'", "b: it has or wants the lock 'till', but"),
            ("UPDATE dead_letters SET seq = 9", "dead letter a/pay/4: the history of execution a does not go so far"),
            (
                "UPDATE registrations SET version = '2.0.0'",
                "shop 2.0.0 is registered with the definition of shop 1.0.0",
            ),
            ("DELETE FROM chains", "'audit': it has chained entries, but where its chain ends is not recorded"),
            ("DELETE FROM journal", "'audit': its chain should end with the entry 1, which is not there"),
            ("UPDATE chains SET hash = sha256('x')", "'audit': its chain should end with the entry 1, which is not"),
        ],
    )
    async def test_broken_references_are_found(self, scene: Scene, damage: str, finding: str) -> None:
        store = scene.store
        assert isinstance(store, PostgresStore)
        handle, other = await scene.create("a", WAITING), await scene.create("b")
        request = LockRequest("till", 1, "pay", NOW)
        last = change(
            handle, 5, waits_begun=[wait()], snapshot=b"s", dead_letters=[letter(seq=4)], locks_taken=[request]
        )
        await scene.append(last, change(other, 2, locks_taken=[request]))
        await store.register(DEFINITION, tags=(), lifecycle="active", at=NOW, by="ada")
        await store.write([put()], NOW, entries=[entry(chained=True)])
        await store.publish(event(type_="other"), NOW, NOW)
        assert await store.check() == []
        await store._write(lambda connection: connection.execute(damage))
        found = await store.check()
        assert any(finding in problem for problem in found), found


@pytest.fixture(scope="module")
def planning() -> Planning:
    url = postgres_server().fresh_url()
    asyncio.run(PostgresStore(url).migrate())
    return Planning(url)


class Planning:
    """Tells how statements would be run."""

    def __init__(self, url: str) -> None:
        self._database = database_of(url)

    async def scans(self, text: str) -> list[str]:
        """What of the plan reads a whole table that may be large, when everything is tried before that."""
        bare = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
        count = max(map(int, re.findall(r"\$(\d+)", bare)), default=0)
        given = f"({', '.join(['NULL'] * count)})" if count else ""
        connection = await connect(self._database)
        try:
            await connection.execute(f"SET enable_seqscan = off; PREPARE tried AS {bare}")
            rows = await connection.fetch(f"EXPLAIN EXECUTE tried{given}")
        finally:
            await connection.close()
        steps = [str(row[0]) for row in rows]
        return [step for step in steps if "Seq Scan" in step and not any(f"on {name}" in step for name in SMALL)]


PLANNED: Final = [
    name
    for name, text in SQL.items()
    if name not in READ_WHOLE_TABLES
    and "{" not in text
    and re.match(r"(--.*\n)*(SELECT|INSERT|UPDATE|DELETE|WITH)", text)
]
EVERYTHING: Final = {
    "list": ["before_created", "before_key", "created_from", "created_to", "workflow", "namespaces", "text"],
    "journal": ["kind", "after", "before", "since", "until", "subject", "text"],
    "dead_letters": ["before", "discarded", "workflow", "execution", "error_type", "namespaces"],
}


@pytest.mark.parametrize("name", PLANNED)
async def test_no_statement_that_must_be_quick_reads_a_whole_table(planning: Planning, name: str) -> None:
    assert await planning.scans(SQL[name]) == []


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("list", ["before_created", "before_key"]),
        ("list", ["before_created", "before_key", "first_child", "behind_children"]),
        ("list", EVERYTHING["list"]),
        ("journal", ["kind"]),
        ("journal", ["kind", "subject", "after"]),
        ("journal", ["kind", "since"]),
        ("journal", EVERYTHING["journal"]),
        ("dead_letters", ["before", "discarded"]),
        ("dead_letters", EVERYTHING["dead_letters"]),
    ],
)
async def test_no_page_is_found_by_reading_a_whole_table(planning: Planning, name: str, asked: list[str]) -> None:
    text, values = chosen(name, dict.fromkeys(asked, 1), 50)
    assert len(values) == len(asked)
    assert text.endswith("LIMIT 64")
    assert await planning.scans(text) == []


async def test_what_is_not_asked_for_is_not_in_the_statement() -> None:
    text, values = chosen("journal", {"kind": "k", "after": None, "subject": "s", "text": None}, 1)
    assert list(values) == ["k", "s"]
    assert "strpos" not in text
    assert "number >" not in text
    assert text.count("$2") == 2
    assert text.endswith("LIMIT 1")
