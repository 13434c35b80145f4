"""Which store a URL means."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from stepwell.base.errors import ConfigurationError
from stepwell.store.factory import is_on_server, sqlite_path, store_for, without_password
from stepwell.store.memory.store import MemoryStore
from stepwell.store.sqlite.store import SqliteStore


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("stepwell.db", "stepwell.db"),
        ("/var/lib/stepwell.sqlite", "/var/lib/stepwell.sqlite"),
        ("../x.sqlite3", "../x.sqlite3"),
        (" x.db ", "x.db"),
        (r"C:\data\x.db", r"C:\data\x.db"),
        ("sqlite:x", "x"),
        ("sqlite:/abs/x.db", "/abs/x.db"),
        ("sqlite:///x.db", "x.db"),
        ("sqlite:////abs/x.db", "/abs/x.db"),
        ("SQLite:x.db", "x.db"),
        ("sqlite:a:b.db", "a:b.db"),
    ],
)
async def test_a_file_means_the_sqlite_store(url: str, path: str) -> None:
    store = store_for(url)
    assert isinstance(store, SqliteStore)
    assert sqlite_path(url) == store._database.path == Path(path)


@pytest.mark.parametrize("url", ["memory:", "memory://", "MEMORY:"])
def test_memory_means_the_store_in_memory(url: str) -> None:
    assert isinstance(store_for(url), MemoryStore)
    assert sqlite_path(url) is None


@pytest.mark.parametrize(
    "url", ["", "x", "x.txt", ":memory:", "sqlite:", "sqlite://", "sqlite://host/x.db", "sqlite:///", "memory:x", "db"]
)
def test_nonsense_is_refused_with_the_forms_that_are_known(url: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        store_for(url)
    assert raised.value.code == "invalid-store"
    assert raised.value.hint is not None
    assert "sqlite:///" in raised.value.hint
    assert "memory:" in raised.value.hint


@pytest.mark.parametrize("scheme", ["mysql", "redis"])
def test_a_store_of_another_kind_is_refused_without_repeating_its_password(scheme: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        store_for(f"{scheme}://user:hunter2@db.example/stepwell")
    assert raised.value.code == "invalid-store"
    assert scheme in raised.value.message
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("url", ["postgresql://u:p@db.example/stepwell", "postgres://db.example/x?schema=y"])
def test_postgresql_means_the_store_on_a_server(url: str) -> None:
    store = store_for(url, reconnect=7_000_000)
    assert type(store).__name__ == "PostgresStore"
    assert is_on_server(url)
    assert sqlite_path(url) is None
    assert not is_on_server("sqlite:postgresql.db")


def test_without_the_library_for_postgresql_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("stepwell.store.postgres")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(ConfigurationError) as raised:
        store_for("postgresql://u:hunter2@db.example/stepwell")
    assert raised.value.code == "missing-library"
    assert raised.value.message == "a store on PostgreSQL needs asyncpg, which is not installed"
    assert raised.value.hint == "pip install 'stepwell[postgres]'"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:hunter2@h:5/db?schema=x", "postgresql://u@h:5/db?schema=x"),
        ("postgresql://u:hun/ter2@h/db", "postgresql://u@h/db"),
        ("postgresql://u:hun@ter2@h/db", "postgresql://u@h/db"),
        ("postgresql://u@h/db", "postgresql://u@h/db"),
        ("postgresql://h/db?password=hunter2&x=1", "postgresql://h/db?x=1"),
        ("postgresql://h/db?x=1&password=hunter2", "postgresql://h/db?x=1"),
        ("redis://u:hunter2@h", "redis://u@h"),
        ("sqlite:///a:b@c.db", "sqlite:///a:b@c.db"),
        ("a:b@c.db", "a:b@c.db"),
        ("memory:", "memory:"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert without_password(url) == shown
