"""Migrating a store while a server of an older version is at work on it."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from stepwell.store.postgres import schema as postgres_schema
from stepwell.store.sqlite import care as sqlite_care
from stepwell.store.sqlite import schema as sqlite_schema
from stepwell.store.statements import Migration
from tests.api.processes import Serving
from tests.cli.conftest import Stepwell
from tests.servers.postgres import postgres_server

KEY = base64.b64encode(bytes(32)).decode()


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("STEPWELL_KEY", KEY)
    return "sqlite:shared.db" if request.param == "sqlite" else postgres_server().fresh_url()


def one_more(monkeypatch: pytest.MonkeyPatch) -> int:
    """From now on this is a version with one more migration; its number."""
    number = 0
    for schema, places in ((postgres_schema, [postgres_schema]), (sqlite_schema, [sqlite_schema, sqlite_care])):
        number = len(schema.MIGRATIONS) + 1
        more = Migration(number, "more", "c", "CREATE TABLE more (x INTEGER)")
        migrations = [*schema.MIGRATIONS, more]
        for place in places:
            monkeypatch.setattr(place, "MIGRATIONS", migrations)
        monkeypatch.setattr(schema, "CURRENT", number)
    return number


def test_a_store_is_not_migrated_while_an_older_server_is_at_work_on_it(
    stepwell: Stepwell, store: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Serving(folder, "--store", store, environment={"STEPWELL_KEY": KEY}) as server:
        with monkeypatch.context() as newer:
            one_more(newer)
            refused = stepwell("db", "migrate", "--store", store)
            assert (refused.status, refused.out) == (4, "")
            assert refused.err.startswith("error[store-in-use]: ")
            assert "is in use" in refused.err
            assert "`stepwell db status` shows them" in refused.err
            assert refused.err.count("\n") == 2
            shown = stepwell("db", "status", "--store", store)
            assert f"pid {server.process.pid}: shards " in shown.out
        assert server.stop() == 0
    with monkeypatch.context() as newer:
        one_more(newer)
        assert "up to date" in stepwell("db", "migrate", "--store", store).out
    older = stepwell("db", "status", "--store", store)
    assert "use the one that migrated the store" in older.out
    assert "stepwell db migrate" not in older.out
    assert stepwell("db", "migrate", "--store", store).err.startswith("error[store-too-new]: ")
