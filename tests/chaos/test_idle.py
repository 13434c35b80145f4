"""Nodes that have nothing to do leave their database alone."""

from __future__ import annotations

from tests.chaos.idle import MOST, measured


async def test_three_idle_nodes_make_few_statements() -> None:
    found = await measured(parked=300, seconds=10)
    assert 0 < found.per_second < MOST, found.statements
