"""Several engines on one store: nodes that share its shards out, and that come, go, die, freeze and are cut off.

The scenario of a seed is the one that a single engine has, with turbulence added; everything that must hold of a single
engine must hold of them together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final, Literal

from stepwell.decider.notifying import is_delivery
from stepwell.engine.hot import Hot
from stepwell.engine.membership import Joining
from stepwell.engine.moving import HANDED_OVER_WITHIN
from stepwell.engine.ownership import TAKEN_OVER_WITHIN
from stepwell.engine.sharing import SETTLED_AFTER
from stepwell.execution.verbs import Verb
from stepwell.execution.work import Assignment
from tests.simulation.agenda import SECOND, Entry
from tests.simulation.behaviour import HANGING, Behaviour
from tests.simulation.invariants import (
    AT_REST,
    Violation,
    check_all,
    nothing_is_dispatched_before_it_is_recorded,
)
from tests.simulation.ledger import Ledger
from tests.simulation.life import Disk, Life
from tests.simulation.scenario import HALF, Fault, Scenario
from tests.simulation.world import World

SHARDS: Final = 4
TURBULENT: Final = 60 * SECOND
"""How long nodes come and go, freeze and are cut off."""
UNSERVED_WITHIN: Final = TAKEN_OVER_WITHIN + SETTLED_AFTER + HANDED_OVER_WITHIN + 5 * SECOND
"""While at least one node is well, no shard is without one that is at work for longer: it may be on its way from one
node to another when that dies, and the others may have lost touch with the store themselves just before. (What becomes
of it when only one thing happens is stricter, and tested by itself.)"""

WAVES_EVERY: Final = 12 * SECOND
"""The same executions are started again after so long, so that there is work while nodes come and go."""
SHARED_WITHIN: Final = UNSERVED_WITHIN
"""When all nodes have been well for so long, each has its fair share."""

Kind = Literal["freeze", "cut off", "die", "leave", "join"]
KINDS: Final[tuple[Kind, ...]] = ("freeze", "freeze", "cut off", "die", "leave", "join")


@dataclass(frozen=True, slots=True)
class Turbulence:
    """Something happens to a node; to which one, `choice` says. `lasts`: how long it stays so, or is away."""

    at: int
    kind: Kind
    choice: int
    lasts: int


def turbulence(seed: int) -> tuple[Turbulence, ...]:
    """What happens to nodes in the cluster of a seed."""
    random = Random(f"turbulence {seed}")
    return tuple(
        Turbulence(
            at=random.randint(0, TURBULENT // HALF) * HALF if random.random() < 0.6 else random.randint(0, 16) * HALF,
            kind=random.choice(KINDS),
            choice=random.randint(0, 99),
            lasts=random.choice((1, 4, 16, 20, 25, 40)) * SECOND,
        )
        for _ in range(random.choice((1, 2, 4, 7)))
    )


class NodeDisk(Disk):
    """The way of a node to the store: while it is cut off, calls wait."""

    _life: NodeLife

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name.startswith("_") or not asyncio.iscoroutinefunction(found):
            return found
        life = super().__getattribute__("_life")

        async def call(*args: Any, **named: Any) -> Any:
            await life.reach()
            answer = await found(*args, **named)
            await life.reach()
            return answer

        return call


class NodeLife(Life):
    """One node.

    Attributes:
        frozen: the process stands still.
        is_cut_off: it cannot reach the store.
        leaving: it drains, or is closed.
        well_since: since when it is neither frozen nor cut off.
    """

    world: ClusterWorld

    def __init__(self, world: ClusterWorld, number: int) -> None:
        self._back: list[asyncio.Future[None]] = []
        self.frozen = self.is_cut_off = self.leaving = False
        self.well_since = world.agenda.now
        super().__init__(world, number)

    def new_disk(self) -> Disk:
        return NodeDisk(self)

    @property
    def is_well(self) -> bool:
        return not (self.over or self.frozen or self.is_cut_off or self.leaving or self.engine.failure is not None)

    async def reach(self) -> None:
        """Wait until the store can be reached."""
        while self.is_cut_off:
            back: asyncio.Future[None] = self.loop.create_future()
            self._back.append(back)
            await back

    def come_back(self) -> None:
        """It goes on, and reaches the store."""
        if self.over:
            return
        self.frozen = self.is_cut_off = False
        self.well_since = self.world.agenda.now
        back, self._back = self._back, []
        for future in back:
            if not future.done():
                future.set_result(None)

    def end(self) -> None:
        self.over = True
        self.loop.abandon()
        content, disk = self.world.content, self.disk
        if disk._is_open:
            disk._is_open = False
            content.connected.remove(disk._on_posted)
            content.cluster.listeners.remove(disk._on_node)

    def close(self, then: Callable[[], None]) -> None:
        self.leaving = True
        within = self.world.agenda.number(f"drain {self.number}") % 4 * SECOND

        async def whole() -> None:
            await self.engine.drain(within)
            await self.engine.close()
            await self.disk.close()

        def ended(task: asyncio.Task[None]) -> None:
            self._raise(task)
            self.end()
            then()

        self.loop.create_task(whole()).add_done_callback(ended)


class ClusterWorld(World):
    """One simulation of several nodes."""

    def __init__(self, scenario: Scenario, *, thorough: bool = False) -> None:
        super().__init__(scenario, thorough=thorough)
        self.joins = Joining(shards=SHARDS)
        self.lives: list[NodeLife] = []
        self._unserved = dict.fromkeys(range(SHARDS), self.agenda.now)
        self._later = 0

    def _new_life(self) -> None:
        if self._closing:
            return
        for _ in range(1 + self.agenda.number("nodes") % 3 if not self._lives else 1):
            self._lives += 1
            life = NodeLife(self, self._lives)
            self.lives.append(life)
            self.life = life
            life.open()

    def _put_on_agenda(self) -> None:
        super()._put_on_agenda()
        for wave in range(1, 4):
            for number, start in enumerate(self.scenario.starts):
                more = replace(start, key=None, again=False)
                at = self.begun + more.at + wave * WAVES_EVERY
                self.agenda.at(at, f"start {number} of wave {wave}", lambda more=more: self._start(more))  # type: ignore[misc]
        for number, each in enumerate(turbulence(self.scenario.seed)):
            self.agenda.at(self.begun + each.at, f"turbulence {number}", lambda each=each: self._shake(each))  # type: ignore[misc]

    # ── What happens to nodes ────────────────────────────────────────────────────────────────────────────────────────

    def _shake(self, what: Turbulence) -> None:
        well = [life for life in self.lives if life.is_well]
        if what.kind == "join":
            if len(self.lives) < SHARDS + 1:
                self._new_life()
            return
        if not well or self._calm_after:
            return
        life = well[what.choice % len(well)]
        self.tried[f"nodes: {what.kind}"] += 1
        if what.kind == "freeze":
            life.frozen = True
            self.agenda.after(what.lasts, f"thaw {life.number}", life.come_back)
        elif what.kind == "cut off":
            life.is_cut_off = True
            self.agenda.after(what.lasts, f"back {life.number}", life.come_back)
        elif what.kind == "die":
            life.end()
            self.agenda.after(what.lasts, "a new node", self._new_life)
        else:
            self._part_with(life, what.lasts)

    def _part_with(self, life: NodeLife, away: int) -> None:
        def then() -> None:
            self.agenda.after(away, "a new node", self._new_life)

        life.close(then)

    def after_cut(self) -> None:
        self.tried["power cuts"] += 1
        self.agenda.after(self.scenario.away, "a new node", self._new_life)

    def _fail(self, fault: Fault) -> None:
        well = [life for life in self.lives if life.is_well]
        if not well:
            return
        life = well[fault.at % len(well)]
        if fault.kind == "cut":
            life.end()
            self.after_cut()
        else:
            self.tried["restarts"] += 1
            self._part_with(life, self.scenario.away)

    def _look_after(self, life: Life) -> None:
        assert isinstance(life, NodeLife)
        failure = life.engine.failure
        if failure is None or life.leaving or life.over:
            return
        if failure.code != "store-full":
            raise Violation("the_engine_has_no_defect", f"it stopped: {failure}")
        self._part_with(life, self.scenario.away)

    def _shut_down(self) -> None:
        if all(life.well_since < self.agenda.now - SHARED_WITHIN for life in self.lives):
            counts = sorted(len(life.engine.shards) for life in self.lives)
            if sum(counts) != SHARDS or counts[-1] - counts[0] > 1:
                raise Violation("shards_are_shared_fairly", f"the nodes own {counts}")
        self._closing = True
        for life in self.lives:
            life.come_back()
            if not life.leaving:
                life.close(lambda: None)
        self._go_on(self.agenda.now + 60 * SECOND, lambda: all(life.over for life in self.lives))
        if not all(life.over for life in self.lives):
            raise Violation("nothing_is_stuck", "a node does not close")

    # ── One step after the other ─────────────────────────────────────────────────────────────────────────────────────

    def _happen(self, entry: Entry) -> None:
        well = [life for life in self.lives if life.is_well and life.engine.shards]
        self.life = well[self.agenda.number(entry.what) % len(well)] if well else None
        super()._happen(entry)

    def _drain(self) -> None:
        """Let everybody do what can be done now; who does something may have others do something."""
        going = True
        while going:
            going = False
            for life in list(self.lives):
                if life.over:
                    self.lives.remove(life)
                elif not life.frozen and life.loop._ready:
                    going = True
                    self.life = life
                    life.loop.drain()
                    self._raise_broken()
                    if life.loop.defects:
                        raise Violation("the_engine_has_no_defect", "; ".join(life.loop.defects))
                    self._look_after(life)
        self._note_served()
        if not self._closing:
            self._asked += 1
            if self._asked % self._looks == 0:
                self._check_lives()

    def _check_lives(self) -> None:
        for life in self.lives:
            if life.is_well and life.engine.failure is None:
                self.life = life
                check_all(self, AT_REST)

    def _note_served(self) -> None:
        """Every shard is soon served again, by somebody who is well."""
        now = self.agenda.now
        well = [life for life in self.lives if life.is_well]
        served = {shard for life in well for shard in life.engine.shards if self._is_held(life, shard)}
        since = min((life.well_since for life in well), default=now)
        for shard in self._unserved:
            if shard in served or not well or self._closing:
                self._unserved[shard] = now
            elif now - max(self._unserved[shard], since) > UNSERVED_WITHIN:
                seconds = (now - self._unserved[shard]) // SECOND
                raise Violation("every_shard_is_soon_owned_again", f"shard {shard} is not, after {seconds} s")

    def _is_held(self, life: Life, shard: int) -> bool:
        fence = life.engine._ground.ownership.fences.get(shard)
        return fence is not None and self.content.cluster.held(shard, fence) is not None

    # ── People, workers and who looks ────────────────────────────────────────────────────────────────────────────────

    def _operate(self, life: Life, ledger: Ledger, verb: Verb) -> None:
        """The one who runs the execution is asked; when nobody does, it is asked for later."""
        shard = self.content.records[ledger.id].handle.shard
        owner = next((each for each in self.lives if each.is_well and shard in each.engine.shards), None)
        if owner is not None:
            super()._operate(owner, ledger, verb)
        elif self._later < 1_000:
            self._later += 1
            self.agenda.after(SECOND, f"verb {verb} later", lambda: self._operate(life, ledger, verb))

    def life_for(self, life: Life) -> Life | None:
        if not life.over:
            return life
        return next((each for each in self.lives if each.is_well), None)

    def dispatched(self, assignment: Assignment) -> None:
        """Who was away and does not know yet that its shard is another's may have work done once more."""
        ledger = self.ledgers.get(assignment.execution)
        if ledger is not None and self.is_here(ledger):
            super().dispatched(assignment)
            return
        self.tried["attempts by somebody who was away"] += 1
        if is_delivery(assignment.step):
            return
        try:
            nothing_is_dispatched_before_it_is_recorded(self, assignment)
        except AssertionError as error:
            self.note(Violation("nothing_is_dispatched_before_it_is_recorded", str(error)))

    def behaviour_of(self, assignment: Assignment) -> Behaviour:
        """In some clusters everything takes long enough for a node to lose it and to get it back."""
        behaviour = super().behaviour_of(assignment)
        slowness = (1, 5, 15, 40)[self.agenda.number("slowness") % 4]
        if behaviour.error is None:
            behaviour = behaviour._replace(duration=min(behaviour.duration * slowness, HANGING))
        return behaviour

    def is_here(self, ledger: Ledger) -> bool:
        life = self.life
        shard = self.content.records[ledger.id].handle.shard
        return life is not None and shard in life.engine.shards and self._is_held(life, shard)

    def settled(self) -> Iterator[Hot]:
        for hot in super().settled():
            ledger = self.ledgers.get(hot.handle.id)
            if ledger is not None and self.is_here(ledger):
                yield hot

    def _is_over(self) -> bool:
        return (
            bool(self.lives)
            and all(life.is_well for life in self.lives)
            and all(ledger.ended and not ledger.state.untold for ledger in self.ledgers.values())
            and len(self.ledgers) == len(self.content.records)
            and all(life.engine._loop.committer._idle.is_set() for life in self.lives)
            and not any(item.execution not in self.ledgers for item in self.content.inbox.values())
        )
