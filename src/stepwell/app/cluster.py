"""The nodes of a cluster: which there are, what they say of themselves, and which shards each owns."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from stepwell.app.configuration import Configuration
from stepwell.base.clock import Clock
from stepwell.base.instants import to_rfc3339
from stepwell.base.version import VERSION
from stepwell.engine.engine import Engine
from stepwell.engine.membership import Joining
from stepwell.ports.records import Presence
from stepwell.ports.store import Store
from stepwell.store.factory import is_on_server
from stepwell.telemetry.metrics import Gauges

MOST_NAMED: Final = 100
"""So many circuit breakers a node names to the others."""

_log = logging.getLogger(__name__)
_encode: Final = msgspec.json.Encoder().encode


class About(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a node tells the others of itself.

    Attributes:
        url: where it is to be reached, or None.
        waits: how many jobs of a queue wait there for a worker.
        in_line: how many executions and attempts stand in line there for a place.
        open_breakers: the names of circuit breakers that are open there, `MOST_NAMED` at most.
    """

    name: str = ""
    version: str = ""
    url: str | None = None
    waits: Mapping[str, int] = {}
    in_line: int = 0
    open_breakers: tuple[str, ...] = ()


class Load(NamedTuple):
    """What a node has to do; see `About`."""

    waits: Mapping[str, int] = {}
    in_line: int = 0
    open_breakers: Sequence[str] = ()


def is_cluster(configuration: Configuration) -> bool:
    """Whether servers on the store share its shards out."""
    wanted = configuration.cluster.enabled
    return is_on_server(configuration.state_store.url) if wanted is None else wanted


def shards_shared(configuration: Configuration) -> int:
    """How many shards are shared out: no engine with a shard of its own may have one of them."""
    return configuration.cluster.shards if is_cluster(configuration) else 0


def joining_of(
    configuration: Configuration,
    node: str,
    url: str | None = None,
    load: Callable[[], Load] = Load,
) -> Joining:
    """How a server joins the others.

    Args:
        node: its name for people.
        url: where others reach it, unless the configuration says so.
        load: what it has to do at the moment.
    """
    section = configuration.cluster

    def about() -> bytes:
        at_work = load()
        return _encode(
            About(
                name=node,
                version=VERSION,
                url=section.advertise or url,
                waits=at_work.waits,
                in_line=at_work.in_line,
                open_breakers=tuple(at_work.open_breakers[:MOST_NAMED]),
            )
        )

    return Joining(shards=section.shards, about=about)


def about_of(presence: Presence) -> About:
    """What a node says of itself; nothing, when that is written in another way."""
    try:
        return msgspec.json.decode(presence.about, type=About)
    except msgspec.MsgspecError as error:
        _log.debug("what the node %s says of itself cannot be read: %s", presence.name, error)
        return About()


def with_others(gauges: Gauges, engine: Engine) -> Gauges:
    """What is looked up on a node, together with what the others have said of themselves some seconds ago."""
    others = [about_of(each) for each in engine.nodes if each.name != engine.name]
    elsewhere = {name: "open" for each in others for name in each.open_breakers}
    return msgspec.structs.replace(
        gauges,
        queues={**gauges.queues, "elsewhere": sum(each.in_line for each in others)},
        breakers={**gauges.breakers, **elsewhere},
    )


class Cluster:
    """What can be seen of a cluster from one of its nodes."""

    def __init__(self, store: Store, engine: Engine, clock: Clock, configuration: Configuration) -> None:
        self._store = store
        self._engine = engine
        self._clock = clock
        self._shards = shards_shared(configuration)

    async def shown(self) -> dict[str, Any]:
        """What `cluster_report` says; `node` is this one."""
        report = cluster_report(await self._store.owners(), self._engine.nodes, self._shards, self._clock.now())
        return {"node": self._engine.name, **report}


def cluster_report(
    owners: Sequence[Mapping[str, Any]], nodes: Sequence[Presence], shards: int, now: int
) -> dict[str, Any]:
    """`{shards, nodes, leases}`. `shards`: how many are shared out; 0 for none. `leases`: of every shard that somebody
    owns, or owned until his lease ran out. `nodes`: who owns them, and who is there besides.

    Args:
        owners: see `StoreStatus`. nodes: those that are known to be alive, if that is known.
    """
    leases = [_lease(each, now) for each in owners]
    alive = [lease["owner"] for lease in leases if lease["alive"]]
    known = {each.name: each for each in nodes}
    names = list(dict.fromkeys([*known, *alive]))
    return {
        "shards": shards,
        "nodes": [_node(name, known.get(name), alive.count(name)) for name in names],
        "leases": leases,
    }


def _node(name: str, presence: Presence | None, shards: int) -> dict[str, Any]:
    about = about_of(presence) if presence is not None else About()
    return {
        "id": name,
        "name": about.name or name.partition("/")[0],
        "version": about.version or None,
        "url": about.url,
        "since": to_rfc3339(presence.since) if presence is not None else None,
        "leaving": presence.leaving if presence is not None else False,
        "shards": shards,
    }


def _lease(owner: Mapping[str, Any], now: int) -> dict[str, Any]:
    expires_at = owner["expires_at"]
    return {
        "shard": owner["shard"],
        "owner": owner["owner"],
        "expires_at": to_rfc3339(expires_at),
        "alive": bool(expires_at > now and not owner.get("gone")),
    }
