"""`stepwell cluster`: who shares the work of a store, from the store and from a server."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from stepwell.app.cluster import About, Load, about_of, cluster_report, is_cluster, joining_of, shards_shared
from stepwell.app.configuration import Configuration, configuration_from
from stepwell.base.durations import SECOND
from stepwell.base.errors import ConfigurationError
from stepwell.cli.clusters import _short
from stepwell.ports.records import Presence
from stepwell.store.sqlite.store import SqliteStore
from tests.cli.conftest import Stepwell
from tests.virtual_clock import START

LATER = 4_000_000_000_000_000
"""An instant long after today."""


def configured(**cluster: object) -> Configuration:
    return configuration_from({"cluster": cluster})


def test_a_server_on_postgresql_is_a_node_and_others_are_when_they_are_told() -> None:
    on_server = {"state_store": {"type": "postgresql", "url": "postgresql://db/x"}}
    assert is_cluster(configuration_from(on_server))
    assert shards_shared(configuration_from(on_server)) == 64
    assert not is_cluster(configuration_from({**on_server, "cluster": {"enabled": False}}))
    assert not is_cluster(Configuration())
    assert shards_shared(Configuration()) == 0
    assert shards_shared(configured(enabled=True, shards=7)) == 7


@pytest.mark.parametrize(
    "wrong", [{"shards": 0}, {"shards": 100_000}, {"advertise": "10.0.0.7:8080"}, {"drain": "soon"}, {"size": 3}]
)
def test_what_is_wrong_in_the_configuration_is_named(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        configured(**wrong)


def test_a_node_says_where_it_is_and_what_waits_there() -> None:
    joining = joining_of(configured(shards=3), "n1", "http://127.0.0.1:1", lambda: Load({"images": 2}, 3, ["a/b"]))
    about = about_of(Presence(name="x", shards=3, since=START, about=joining.about()))
    assert (joining.shards, about.name, about.url, about.waits) == (3, "n1", "http://127.0.0.1:1", {"images": 2})
    assert (about.in_line, about.open_breakers) == (3, ("a/b",))
    said = joining_of(configured(advertise="http://10.0.0.7:8080/"), "n1", "http://127.0.0.1:1")
    assert about_of(Presence(name="x", shards=64, since=START, about=said.about())).url == "http://10.0.0.7:8080"


def test_what_a_later_version_says_of_itself_does_not_matter() -> None:
    assert about_of(Presence(name="x", shards=3, since=START, about=b"\xff")) == About()
    assert about_of(Presence(name="x", shards=3, since=START, about=b'{"name": "n", "more": 1}')).name == "n"


def test_a_lease_that_has_run_out_counts_for_nobody() -> None:
    owners = [
        {"shard": 0, "owner": "a", "expires_at": START + SECOND},
        {"shard": 1, "owner": "b", "expires_at": START},
        {"shard": 2, "owner": "b", "expires_at": START + SECOND, "gone": True},
    ]
    report = cluster_report(owners, [Presence(name="c", shards=3, since=START, leaving=True)], 3, START)
    assert [(node["id"], node["shards"], node["leaving"]) for node in report["nodes"]] == [
        ("c", 0, True),
        ("a", 1, False),
    ]
    assert [lease["alive"] for lease in report["leases"]] == [True, False, False]


def test_shards_one_behind_the_other_are_shown_as_a_range() -> None:
    assert _short([7, 1, 2, 3, 5]) == "1-3, 5, 7"


def test_the_owners_of_a_store_are_shown(tmp_path: Path, stepwell: Stepwell) -> None:
    async def own() -> None:
        store = SqliteStore(tmp_path / "x.db")
        await store.open()
        await store.claim([0, 1, 2, 5], "one", LATER, 15 * SECOND)
        store._leases.clear()  # what is closed in good order gives up what it owns
        await store.close()

    asyncio.run(own())
    shown = stepwell("cluster", "--store", tmp_path / "x.db")
    assert shown.status == 0
    assert "0-2, 5" in shown.out
    assert "no shards are shared out" in shown.out
    report = json.loads(stepwell("cluster", "--store", tmp_path / "x.db", "-o", "json").out)
    assert [(node["id"], node["shards"]) for node in report["nodes"]] == [("one", 4)]
    assert [lease["shard"] for lease in report["leases"]] == [0, 1, 2, 5]


def test_a_store_that_nobody_uses_has_no_nodes(tmp_path: Path, stepwell: Stepwell) -> None:
    assert stepwell("db", "migrate", "--store", tmp_path / "x.db").status == 0
    shown = stepwell("cluster", "--store", tmp_path / "x.db")
    assert (shown.status, shown.out.strip()) == (0, "no engine runs on this store")
