"""Both stores keep the contract."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from stepwell.ports.store import Store
from stepwell.store.memory.content import Content
from stepwell.store.memory.store import MemoryStore
from stepwell.store.sqlite.store import SqliteStore
from tests.conformance.ledger import LedgerConformance
from tests.conformance.ledger_journal import JournalConformance
from tests.conformance.store import OpenStore, StoreConformance, StorePlace
from tests.conformance.store_dead_letters import DeadLettersConformance
from tests.conformance.store_events import EventsConformance
from tests.conformance.store_executions import ExecutionsConformance
from tests.conformance.store_lists import ListsConformance
from tests.conformance.store_locks import LocksConformance
from tests.conformance.store_nodes import NodesConformance
from tests.conformance.store_registry import RegistryConformance
from tests.conformance.store_results import ResultsConformance
from tests.conformance.store_tallies import TalliesConformance


class InMemory(StorePlace):
    @asynccontextmanager
    async def place(self) -> AsyncIterator[OpenStore]:
        content, opened = Content(), list[Store]()

        async def open_one() -> Store:
            opened.append(MemoryStore(content))
            await opened[-1].open()
            return opened[-1]

        try:
            yield open_one
        finally:
            for store in opened:
                await store.close()


class InSqlite(StorePlace):
    @asynccontextmanager
    async def place(self) -> AsyncIterator[OpenStore]:
        opened = list[Store]()
        with tempfile.TemporaryDirectory() as folder:

            async def open_one() -> Store:
                opened.append(SqliteStore(Path(folder) / "stepwell.db"))
                await opened[-1].open()
                return opened[-1]

            try:
                yield open_one
            finally:
                for store in opened:
                    await store.close()


class TestMemoryStore(InMemory, StoreConformance):
    pass


class TestMemoryRegistry(InMemory, RegistryConformance):
    pass


class TestMemoryDeadLetters(InMemory, DeadLettersConformance):
    pass


class TestMemoryLocks(InMemory, LocksConformance):
    pass


class TestMemoryResults(InMemory, ResultsConformance):
    pass


class TestMemoryLedger(InMemory, LedgerConformance):
    pass


class TestSqliteStore(InSqlite, StoreConformance):
    pass


class TestSqliteRegistry(InSqlite, RegistryConformance):
    pass


class TestSqliteDeadLetters(InSqlite, DeadLettersConformance):
    pass


class TestSqliteLocks(InSqlite, LocksConformance):
    pass


class TestSqliteResults(InSqlite, ResultsConformance):
    pass


class TestSqliteLedger(InSqlite, LedgerConformance):
    pass


class TestMemoryTallies(InMemory, TalliesConformance):
    pass


class TestSqliteTallies(InSqlite, TalliesConformance):
    pass


class TestMemoryEvents(InMemory, EventsConformance):
    pass


class TestSqliteEvents(InSqlite, EventsConformance):
    pass


class TestMemoryExecutions(InMemory, ExecutionsConformance):
    pass


class TestSqliteExecutions(InSqlite, ExecutionsConformance):
    pass


class TestMemoryLists(InMemory, ListsConformance):
    pass


class TestSqliteLists(InSqlite, ListsConformance):
    pass


class TestMemoryJournal(InMemory, JournalConformance):
    pass


class TestSqliteJournal(InSqlite, JournalConformance):
    pass


class TestMemoryNodes(InMemory, NodesConformance):
    pass


class TestSqliteNodes(InSqlite, NodesConformance):
    pass
