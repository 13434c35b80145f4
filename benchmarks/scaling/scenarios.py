"""What is done to a cluster, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from random import Random
from typing import Final

import msgspec

from benchmarks.scaling.agenda import Agenda
from benchmarks.scaling.cluster import Cluster
from benchmarks.scaling.costs import MEASURED, Costs, Size
from stepwell.base.durations import MILLISECOND, SECOND

CALM: Final = 20 * SECOND
"""For so long everything is well, then it happens."""
WATCHED: Final = 100 * SECOND
"""For so long it is watched then."""
WITHIN: Final = 10 * SECOND
"""Nodes that come, or go in good order, do so within this time."""
AWAY: Final = 30 * SECOND

SIZES: Final = (
    Size(nodes=10, databases=1, shards=64),
    Size(nodes=100, databases=1, shards=1_024),
    Size(nodes=1_000, databases=1, shards=4_096),
    Size(nodes=1_000, databases=32, shards=4_096),
)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. Seconds are counted from the fault.

    Attributes:
        moved: how often a shard got another owner.
        half_back, all_back: when so many of the shards that had nobody were worked on again.
        caught_up: when no node had more before it than usual; None when that did not come.
        statements: of leases and claims, in the fullest second, at the database with the most.
        longest_ms: that a statement took, with waiting.
        refused: claims of shards that another node had got.
        fewest, most: shards of a node at the end.
    """

    moved: int
    half_back: float
    all_back: float | None
    caught_up: float | None
    statements: int
    longest_ms: float
    refused: int
    fewest: int
    most: int


def _die(part: float, cluster: Cluster, agenda: Agenda, chance: Random) -> None:
    up = cluster.up()
    cluster.die(chance.sample(up, max(1, round(len(up) * part))))


def _restart(cluster: Cluster, agenda: Agenda, chance: Random) -> None:
    """All at once: killed, and back within some seconds."""
    count = len(cluster.up())
    cluster.die(cluster.up())
    _come(count, cluster, agenda, chance)


def _come(count: int, cluster: Cluster, agenda: Agenda, chance: Random) -> None:
    for _ in range(count):
        agenda.after(chance.random() * WITHIN, cluster.come)


def _double(cluster: Cluster, agenda: Agenda, chance: Random) -> None:
    _come(len(cluster.up()), cluster, agenda, chance)


def _roll(cluster: Cluster, agenda: Agenda, chance: Random) -> None:
    """A tenth is replaced, in good order: each leaves, and another comes."""
    up = cluster.up()
    for node in chance.sample(up, max(1, len(up) // 10)):
        goes = chance.random() * WITHIN
        agenda.after(goes, partial(cluster.leave, node))
        agenda.after(goes + 2 * SECOND, cluster.come)


def _away(cluster: Cluster, agenda: Agenda, chance: Random) -> None:
    cluster.go_away(AWAY)


SCENARIOS: Final[Mapping[str, Callable[[Cluster, Agenda, Random], None]]] = {
    "a tenth of the nodes die": partial(_die, 0.1),
    "half of the nodes die": partial(_die, 0.5),
    "all nodes are killed, and are back within 10 s": _restart,
    "a tenth is replaced within 10 s, in good order": _roll,
    "as many nodes again come within 10 s": _double,
    "the database is away for 30 s": _away,
}


def run(size: Size, scenario: str, seed: int, *, costs: Costs = MEASURED) -> Outcome:
    """Simulate it. The same seed gives the same outcome everywhere."""
    agenda, chance = Agenda(), Random(seed)
    load = size.steps_per_second(costs) / size.shards
    clusters = [
        Cluster(agenda, chance, size, costs, size.shards // size.databases, load) for _ in range(size.databases)
    ]
    for number, cluster in enumerate(clusters):
        cluster.settle(size.nodes // size.databases + (number < size.nodes % size.databases))
    agenda.run(CALM)
    for cluster in clusters:
        cluster.database.longest = 0
        SCENARIOS[scenario](cluster, agenda, chance)
    agenda.run(CALM + WATCHED)
    return _outcome(clusters)


def _outcome(clusters: list[Cluster]) -> Outcome:
    back = sorted(instant - CALM for cluster in clusters for instant in cluster.back)
    shards = [shard for cluster in clusters for shard in cluster.shards]
    idle = sum(shard.idle_since is not None for shard in shards)
    behind = max(cluster.behind_until for cluster in clusters)
    owned = [len(node.owned) for cluster in clusters for node in cluster.up()]
    return Outcome(
        moved=sum(shard.moved for shard in shards),
        half_back=back[len(back) // 2] / SECOND if back else 0.0,
        all_back=None if idle else (back[-1] / SECOND if back else 0.0),
        caught_up=None if behind >= CALM + WATCHED - SECOND else max(0, behind - CALM) / SECOND,
        statements=max(cluster.database.most_in_a_second(CALM) for cluster in clusters),
        longest_ms=max(cluster.database.longest for cluster in clusters) / MILLISECOND,
        refused=sum(cluster.refused for cluster in clusters),
        fewest=min(owned),
        most=max(owned),
    )
