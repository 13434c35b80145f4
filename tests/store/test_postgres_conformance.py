"""The PostgreSQL store keeps the contract of all stores."""

from __future__ import annotations

from tests.conformance.ledger import LedgerConformance
from tests.conformance.ledger_journal import JournalConformance
from tests.conformance.store import StoreConformance
from tests.conformance.store_dead_letters import DeadLettersConformance
from tests.conformance.store_events import EventsConformance
from tests.conformance.store_executions import ExecutionsConformance
from tests.conformance.store_lists import ListsConformance
from tests.conformance.store_locks import LocksConformance
from tests.conformance.store_nodes import NodesConformance
from tests.conformance.store_registry import RegistryConformance
from tests.conformance.store_results import ResultsConformance
from tests.conformance.store_tallies import TalliesConformance
from tests.store.postgres_place import InPostgres


class TestPostgresStore(InPostgres, StoreConformance):
    pass


class TestPostgresExecutions(InPostgres, ExecutionsConformance):
    pass


class TestPostgresEvents(InPostgres, EventsConformance):
    pass


class TestPostgresLocks(InPostgres, LocksConformance):
    pass


class TestPostgresNodes(InPostgres, NodesConformance):
    pass


class TestPostgresLists(InPostgres, ListsConformance):
    pass


class TestPostgresDeadLetters(InPostgres, DeadLettersConformance):
    pass


class TestPostgresResults(InPostgres, ResultsConformance):
    pass


class TestPostgresRegistry(InPostgres, RegistryConformance):
    pass


class TestPostgresTallies(InPostgres, TalliesConformance):
    pass


class TestPostgresLedger(InPostgres, LedgerConformance):
    pass


class TestPostgresJournal(InPostgres, JournalConformance):
    pass
