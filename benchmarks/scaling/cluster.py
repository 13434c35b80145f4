"""Nodes that share the shards of one database out among themselves, as the engine does it.

Who takes and gives up what is decided by the engine's own functions (`stepwell.engine.sharing`), with its own leases.
Statements and the taking up of executions cost what `costs` says. Steps are a fluid: so many a second come to every
shard, and what comes to a shard that nobody works on is worked off later.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import partial
from random import Random
from typing import Final

from benchmarks.scaling.agenda import Agenda
from benchmarks.scaling.costs import Costs, Size
from benchmarks.scaling.database import Database
from stepwell.base.durations import MILLISECOND, SECOND
from stepwell.engine.ownership import LEASE_TTL, RENEW_EVERY
from stepwell.engine.sharing import delay_of_look, share, takeable
from stepwell.ports.records import Attendance, FreeShard

TICK: Final = 250 * MILLISECOND
RECONNECTED_WITHIN: Final = 2 * SECOND
"""The longest pause between two tries to reach a database that is away."""
BEHIND: Final = 0.1
"""Seconds of its load that a node may have before it and yet be called caught up."""


class Shard:
    """A shard, as the database has it, and whether anybody works on it.

    Attributes:
        idle_since: since when nobody does; None while somebody does.
    """

    __slots__ = ("expires_at", "idle_since", "moved", "number", "owner")

    def __init__(self, number: int) -> None:
        self.number = number
        self.owner: Node | None = None
        self.expires_at = 0
        self.idle_since: int | None = 0
        self.moved = 0


class Node:
    """A process. What it believes to own is `owned`."""

    def __init__(self, name: str, since: int) -> None:
        self.name = name
        self.since = since
        self.is_up = True
        self.is_leaving = False
        self.owned: set[int] = set()
        self.expires_at = 0
        self.attended_at = -LEASE_TTL
        self.in_touch_since = 0
        self.is_told = False
        self.busy_until = 0
        self.before_it = 0.0


class Cluster:
    """The nodes of one database.

    Args:
        shards: how many it shares out. load: steps a second that come to each of them.
    """

    def __init__(self, agenda: Agenda, chance: Random, size: Size, costs: Costs, shards: int, load: float) -> None:
        self._agenda = agenda
        self._chance = chance
        self._costs = costs
        self._hot = size.hot * size.nodes / size.shards
        self._load = load
        self.database = Database(agenda, size.cores)
        self._cores = size.cores
        self.shards = [Shard(number) for number in range(shards)]
        self.nodes: list[Node] = []
        self._maybe_free = set(range(shards))
        self.back: list[int] = []
        self.refused = 0
        self.behind_until = 0
        self._agenda.after(TICK, self._tick)

    # ── Coming and going ─────────────────────────────────────────────────────────────────────────────────────────────

    def settle(self, count: int) -> None:
        """So many nodes have been there for long: every shard is worked on."""
        for _ in range(count):
            node = self._new_node()
            node.attended_at, node.in_touch_since = -1, -LEASE_TTL
            node.expires_at = LEASE_TTL
        for shard in self.shards:
            node = self.nodes[shard.number % count]
            node.owned.add(shard.number)
            shard.owner, shard.idle_since, shard.expires_at = node, None, LEASE_TTL
        self._maybe_free.clear()
        for node in self.nodes:
            self._agenda.after(self._chance.random() * RENEW_EVERY, partial(self._renew, node))

    def come(self) -> None:
        """One node more."""
        self._renew(self._new_node())
        self._notice()

    def _new_node(self) -> Node:
        node = Node(f"node-{len(self.nodes)}-{self._chance.randrange(1 << 32):08x}", self._agenda.now)
        self.nodes.append(node)
        return node

    def die(self, nodes: Iterable[Node]) -> None:
        """These are gone, without a word."""
        for node in nodes:
            node.is_up = False
            self._idle(node.owned)

    def leave(self, node: Node) -> None:
        """The node gives everything up, and ends."""
        node.is_leaving = True
        node.is_up = False
        self._idle(node.owned)
        self.database.do(self._costs.commit + self._costs.shard_renewed * len(node.owned), partial(self._left, node))

    def _left(self, node: Node) -> None:
        node.expires_at = 0
        self._free(node, list(node.owned))
        self._notice()

    def go_away(self, duration: int) -> None:
        """The database is out of reach for so long."""
        self.database.is_up = False
        self._idle(range(len(self.shards)))
        self._agenda.after(duration, self._come_back)

    def _come_back(self) -> None:
        self.database.is_up = True
        self._maybe_free.update(range(len(self.shards)))
        for node in self.up():
            self._agenda.after(self._chance.random() * RECONNECTED_WITHIN, partial(self._reconnect, node))

    def _reconnect(self, node: Node) -> None:
        self.database.do(self._costs.connect, partial(self._attend, node))
        for number in node.owned:
            if self.shards[number].owner is node:
                self._is_back(self.shards[number], node)

    def up(self) -> list[Node]:
        """The nodes that live."""
        return [node for node in self.nodes if node.is_up]

    def _idle(self, shards: Iterable[int]) -> None:
        for number in shards:
            shard = self.shards[number]
            self._maybe_free.add(number)
            if shard.idle_since is None:
                shard.idle_since = self._agenda.now

    # ── Attending ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _renew(self, node: Node) -> None:
        if node.is_up:
            self._agenda.after(RENEW_EVERY, partial(self._renew, node))
            self._attend(node)

    def _notice(self) -> None:
        """The others are told that something has changed."""
        up = self.up()
        for node in up:
            if not node.is_told:
                node.is_told = True
                delay = delay_of_look(node.name, len(up), self._agenda.now)
                self._agenda.after(delay, partial(self._told, node))

    def _told(self, node: Node) -> None:
        node.is_told = False
        self._attend(node)

    def _attend(self, node: Node) -> None:
        if node.is_up and self.database.is_up:
            rows = len(node.owned) * self._costs.shard_renewed
            rows += (len(self.nodes) + len(self._maybe_free)) * self._costs.row_read
            self.database.do(self._costs.commit + rows, partial(self._attended, node))

    def _attended(self, node: Node) -> None:
        now = self._agenda.now
        if not node.is_up:
            return
        node.expires_at = now + LEASE_TTL
        for number in list(node.owned):
            if self.shards[number].owner is node:
                self.shards[number].expires_at = now + LEASE_TTL
                self._maybe_free.discard(number)
            else:
                node.owned.discard(number)
        if now - node.attended_at >= LEASE_TTL:
            node.in_touch_since = now
        node.attended_at = now
        attendance = Attendance(nodes=(), lost=(), free=[*self._free_shards(now)])
        free = [each.shard for each in takeable(attendance, now - node.in_touch_since)]
        names = [each.name for each in self.nodes if each.expires_at > now and not each.is_leaving]
        claim, give_up = share(node.name, names, node.owned, free, len(self.shards))
        if claim:
            cost = self._costs.commit + self._costs.shard_renewed * len(claim)
            self.database.do(cost, partial(self._claimed, node, claim))
        elif give_up:
            self._idle(give_up)
            cost = self._costs.commit + self._costs.shard_renewed * len(give_up)
            self.database.do(cost, partial(self._given_up, node, give_up))

    def _free_shards(self, now: int) -> Iterable[FreeShard]:
        for number in sorted(self._maybe_free):
            shard = self.shards[number]
            if shard.owner is None or shard.expires_at <= now:
                yield FreeShard(number, 1, released=shard.owner is None)

    def _given_up(self, node: Node, shards: Collection[int]) -> None:
        self._free(node, shards)
        self._notice()

    def _free(self, node: Node, shards: Collection[int]) -> None:
        for number in shards:
            node.owned.discard(number)
            self._maybe_free.add(number)
            if self.shards[number].owner is node:
                self.shards[number].owner = None

    def _claimed(self, node: Node, claim: Collection[int]) -> None:
        now = self._agenda.now
        for number in claim:
            shard = self.shards[number]
            if not node.is_up or (shard.owner is not None and shard.expires_at > now):
                self.refused += 1
                continue
            if shard.owner is not None:
                shard.owner.owned.discard(number)
            shard.owner, shard.expires_at, shard.moved = node, now + LEASE_TTL, shard.moved + 1
            node.owned.add(number)
            self._maybe_free.discard(number)
            self._take_up(node, shard)

    # ── Work ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _take_up(self, node: Node, shard: Shard) -> None:
        """The executions of the shard are loaded one after the other, and go on."""
        now = self._agenda.now
        begins = max(now, node.busy_until)
        node.busy_until = begins + int(self._hot * (self._costs.round_trip + self._costs.load + self._costs.node_load))
        self.database.do(self._hot * self._costs.load, lambda: None)
        self._agenda.after(node.busy_until - now, partial(self._taken_up, node, shard))

    def _taken_up(self, node: Node, shard: Shard) -> None:
        if node.is_up and shard.owner is node:
            self._is_back(shard, node)

    def _is_back(self, shard: Shard, node: Node) -> None:
        if shard.idle_since is not None:
            node.before_it += self._load * (self._agenda.now - shard.idle_since) / SECOND
            shard.idle_since = None
            self.back.append(self._agenda.now)

    def _tick(self) -> None:
        """Work off what came, as far as nodes and database go."""
        self._agenda.after(TICK, self._tick)
        seconds = TICK / SECOND
        room = SECOND / self._costs.node_step * seconds
        wanted = 0.0
        for node in self.up():
            at_work = sum(self.shards[number].idle_since is None for number in node.owned)
            node.before_it += self._load * at_work * seconds
            wanted += min(node.before_it, room)
        most = self._cores * TICK * MOST_FOR_STEPS / self._costs.database_step
        part = min(1.0, most / wanted) if wanted else 1.0
        self.database.appending = wanted * part * self._costs.database_step / (self._cores * TICK)
        for node in self.up():
            node.before_it -= min(node.before_it, room) * part
            if node.before_it > self._load * max(1, len(node.owned)) * BEHIND:
                self.behind_until = self._agenda.now


MOST_FOR_STEPS: Final = 0.9
"""The part of a database's cores that the appends of steps may take."""

Fault = Callable[[Cluster], None]
