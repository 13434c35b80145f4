"""Which other nodes are asked, and where."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from stepwell.app.peers import ASK_ALL_EVERY, Peers
from stepwell.base.durations import SECOND
from stepwell.ports.records import Presence
from tests.virtual_clock import START, VirtualClock


def node(name: str, url: str | None, **waits: int) -> Presence:
    about = json.dumps({"name": name, **({"url": url} if url else {}), "waits": waits}).encode()
    return Presence(name=name, shards=4, since=START, about=about)


def peers(*others: Presence, clock: VirtualClock | None = None) -> Peers:
    """Those of a node on the machine `here`."""
    engine: Any = SimpleNamespace(name="here/1/a", nodes=[node("here/1/a", "http://127.0.0.1:8080"), *others])
    store: Any = None
    return Peers(store, engine, clock or VirtualClock())


@pytest.mark.parametrize(
    ("name", "url", "is_asked"),
    [
        ("there/1/b", "http://10.0.0.7:8080", True),
        ("here/2/b", "http://127.0.0.1:8081", True),
        ("there/1/b", "http://127.0.0.1:8080", False),  # that would be this one
        ("there/1/b", "http://localhost:8080", False),
        ("there/1/b", "http://[::1]:8080", False),
        ("there/1/b", None, False),
    ],
)
def test_a_node_is_asked_where_it_can_be_reached_from_here(name: str, url: str | None, *, is_asked: bool) -> None:
    assert peers(node(name, url, q=1)).with_work(["q"]) == ([url] if is_asked else [])


def test_who_has_work_is_asked_and_now_and_then_everybody() -> None:
    clock = VirtualClock()
    asked = peers(node("b/1/b", "http://b:1", q=1), node("c/1/c", "http://c:1", other=1), clock=clock)
    assert asked.with_work(["q"]) == ["http://b:1", "http://c:1"]
    clock.set(clock.now() + SECOND)
    assert asked.with_work(["q"]) == ["http://b:1"]
    asked.note_given("http://c:1", ["q"])
    assert asked.with_work(["q"]) == ["http://b:1", "http://c:1"]
    clock.set(clock.now() + ASK_ALL_EVERY)
    assert asked.with_work(["q"]) == ["http://b:1", "http://c:1"]
    clock.set(clock.now() + SECOND)
    assert asked.with_work(["q"]) == ["http://b:1"], "c gave none for a while"
