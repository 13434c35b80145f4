"""Who listens to documents in a PostgreSQL store is told of changes, whoever makes them; nobody has to look."""

from __future__ import annotations

import asyncio

import pytest

from stepwell.ports.ledger import Write
from stepwell.store.postgres.store import PostgresStore
from tests.conformance.store import LATER, NOW, PATIENCE, OpenStore, event
from tests.conformance.store_registry import register
from tests.store.postgres_place import InPostgres


def put(kind: str) -> Write:
    return Write(kind=kind, key="k", body=b"")


class TestListening(InPostgres):
    @pytest.fixture
    async def stores(self, open_store: OpenStore) -> tuple[PostgresStore, PostgresStore, asyncio.Event]:
        """One that listens to policies and registrations, another one, and what is set by a call."""
        listening, other = await open_store(), await open_store()
        assert isinstance(listening, PostgresStore)
        assert isinstance(other, PostgresStore)
        called = asyncio.Event()
        assert listening.listen_to_documents(["policy", "registration"], called.set)
        await asyncio.wait_for(called.wait(), PATIENCE)  # what came before it listened is to be looked at
        called.clear()
        return listening, other, called

    async def test_a_change_elsewhere_is_told(self, stores: tuple[PostgresStore, PostgresStore, asyncio.Event]) -> None:
        _, other, called = stores
        await other.write([put("policy")], NOW)
        await asyncio.wait_for(called.wait(), PATIENCE)
        called.clear()
        await register(other)
        await asyncio.wait_for(called.wait(), PATIENCE)
        called.clear()
        await other.publish(event(), NOW, LATER, writes=[put("policy")])
        await asyncio.wait_for(called.wait(), PATIENCE)

    async def test_a_change_here_is_told_without_the_server(
        self, stores: tuple[PostgresStore, PostgresStore, asyncio.Event]
    ) -> None:
        listening, _, called = stores
        await listening.write([put("policy")], NOW)
        await asyncio.sleep(0)
        assert called.is_set()

    async def test_other_changes_are_not_told(self, stores: tuple[PostgresStore, PostgresStore, asyncio.Event]) -> None:
        listening, other, called = stores
        schedules = asyncio.Event()
        listening.listen_to_documents(["schedule"], schedules.set)
        await other.write([put("health"), put("service")], NOW)
        await other.write([put("schedule")], NOW)
        await asyncio.wait_for(schedules.wait(), PATIENCE)
        assert not called.is_set()

    async def test_after_an_outage_everything_is_looked_at(
        self, stores: tuple[PostgresStore, PostgresStore, asyncio.Event]
    ) -> None:
        _, other, called = stores
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
        await other._read(lambda connection: connection.fetch(ended))
        await asyncio.wait_for(called.wait(), PATIENCE)
