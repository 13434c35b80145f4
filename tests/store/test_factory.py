"""Which store a URL means."""

from __future__ import annotations

from pathlib import Path

import pytest

from stepwell.base.errors import ConfigurationError
from stepwell.store.factory import sqlite_path, store_for
from stepwell.store.memory import MemoryStore
from stepwell.store.sqlite import SqliteStore


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


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "mysql", "redis"])
def test_a_store_of_another_kind_is_refused_without_repeating_its_password(scheme: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        store_for(f"{scheme}://user:hunter2@db.example/stepwell")
    assert raised.value.code == "invalid-store"
    assert scheme in raised.value.message
    assert "hunter2" not in str(raised.value)


def test_postgresql_is_told_from_nonsense() -> None:
    with pytest.raises(ConfigurationError, match="this version has SQLite and memory stores only"):
        store_for("postgresql://localhost/stepwell")
