"""What things cost: measured, and what is assumed of machines that were not at hand."""

from __future__ import annotations

from typing import Final

import msgspec

from stepwell.base.durations import SECOND


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """Microseconds, unless the name says otherwise.

    Attributes:
        commit: of the database, for a commit, whatever is in it.
        shard_renewed: of the database, for one shard more in the statement that renews a node's leases.
        row_read: of the database, for one row more in an answer.
        load: of the database, for loading one execution.
        connect: of the database, for a new connection.
        round_trip: between a node and its database, for one statement after the other.
        database_step: of the database, for a step among many: its part of a commit, and its row.
        node_step: of a node, for a step: deciding, committing, dispatching, reporting.
        node_load: of a node, for one execution that it takes up: folding it, and dispatching what was under way.
    """

    commit: float
    shard_renewed: float
    row_read: float
    load: float
    connect: float
    round_trip: float
    database_step: float
    node_step: float
    node_load: float


MEASURED: Final = Costs(
    commit=340,
    shard_renewed=2.8,
    row_read=0.42,
    load=105,
    connect=5_000,
    round_trip=500,
    database_step=10,
    node_step=45,
    node_load=150,
)
"""On two shared cores, PostgreSQL 18 on the same machine: `python -m benchmarks.scaling.measure`, and for steps
`make bench BENCH_ARGS="--postgres --only W1"`. But `round_trip` and `node_load` are assumed, as is all of `Size`."""


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster, or several that share the work.

    Attributes:
        databases: each carries a range of the shards, and has nodes of its own.
        shards: of all databases together.
        cores: of each database.
        hot: executions at work on each node.
        load: steps a second that come, as a part of what nodes or databases can do, whichever is less.
    """

    nodes: int
    databases: int
    shards: int
    cores: int = 16
    hot: int = 1_000
    load: float = 0.4

    def steps_per_second(self, costs: Costs) -> float:
        """That come to the whole of it."""
        nodes = self.nodes * SECOND / costs.node_step
        databases = self.databases * self.cores * SECOND / costs.database_step
        return self.load * min(nodes, databases)

    @property
    def name(self) -> str:
        """As tables have it."""
        return f"{self.nodes:,} / {self.databases} / {self.shards:,}"
