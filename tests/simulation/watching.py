"""Standing beside the decider: one in so many turns is decided twice, by the run in memory and by one that is rebuilt
from what is stored."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

from stepwell.base.errors import Conflict, NotFound
from stepwell.decider import decide as decider
from stepwell.decider.decide import decide
from stepwell.decider.replay import replay
from stepwell.decider.run import Run
from stepwell.decider.turn import Decision
from stepwell.execution.inputs import Input, TimersDue
from stepwell.execution.status import PARKED_STEP, ExecutionStatus
from stepwell.execution.verbs import Verb
from tests.simulation.bounds import Bounds, Halt, counted, in_time
from tests.simulation.invariants import Violation

if TYPE_CHECKING:
    from tests.simulation.world import World

MOST_IDLE_TURNS = 500
"""So often in a row nothing may follow from time having come."""


@contextmanager
def watched(world: World, every: int) -> Iterator[None]:
    """One in `every` turns that an engine decides meanwhile is decided twice; none goes on for ever."""
    watcher = Watcher(world, every)
    users = [module for module in _engine_modules() if getattr(module, "decide", None) is decide]
    for module in users:
        module.decide = watcher.decide  # type: ignore[attr-defined]
    try:
        with counted(watcher.bounds), in_time(world.note):
            yield
    finally:
        for module in users:
            module.decide = decide  # type: ignore[attr-defined]


def _engine_modules() -> list[ModuleType]:
    return [module for name, module in sorted(sys.modules.items()) if name.startswith("stepwell.engine.")]


class Watcher:
    """Decides, and compares.

    Attributes:
        bounds: count what is decided.
    """

    def __init__(self, world: World, every: int) -> None:
        self._world = world
        self._every = every
        self._turns = self._idle = 0
        self.bounds = Bounds(world.note)

    def decide(self, run: Run, came_in: Any, at: int, *more: Any) -> Decision:
        """As `decider.decide`."""
        self._turns += 1
        self.bounds.begin_turn(run.state.id)
        other = self._rebuilt(run, came_in, at) if self._turns % self._every == 0 else None
        before = self._world.codec.encode_state(run.state) if isinstance(came_in, Verb) else b""
        try:
            decision = decider.decide(run, came_in, at, *more)
        except (Conflict, NotFound):
            if self._world.codec.encode_state(run.state) != before:
                self._break("what_is_refused_changes_nothing", f"{came_in}")
            raise
        except Exception as error:
            self._break("the_decider_does_not_raise", f"{came_in}: {type(error).__name__}: {error}")
            raise
        if isinstance(came_in, TimersDue) and not decision.events:
            self._check_time_goes_on(run, at)
        else:
            self._idle = 0
        if other is not None:
            self._compare(decision, decider.decide(other, came_in, at, *more), came_in)
        return decision

    def _check_time_goes_on(self, run: Run, at: int) -> None:
        """When nothing follows from what is due, nothing more is due; else who asks what is due next asks for ever."""
        due = run.next_due()
        self._idle += 1
        if self._idle > MOST_IDLE_TURNS or (due is not None and due <= at):
            late = [key for key, step in run.state.steps.items() if step.due is not None and step.due <= at]
            self._break("time_goes_on", f"nothing follows from what is due, and it stays due: {late}")
            raise Halt

    def _rebuilt(self, run: Run, came_in: Input, at: int) -> Run | None:
        """The run that a recovery would make; None when what is stored is not yet what is in memory.

        It finds what is due and waits for its place when timers are looked at, which is the first thing that happens to
        it.
        """
        ledger = self._world.ledgers.get(run.state.id)
        if (
            ledger is None
            or not self._world.is_here(ledger)
            or ledger.state.seq != run.state.seq
            or run.state.status is ExecutionStatus.PENDING
        ):
            return None
        if ledger.state != run.state:
            self._break("what_is_in_memory_is_what_is_recorded", f"before {came_in}")
            return None
        half = ledger.rows[len(ledger.rows) // 2]
        events = self._world.codec.decode_events(self._world.codec.encode_events(ledger.history))
        snapshot = replay(ledger.plan, events[:half]).state
        other = replay(
            ledger.plan, events[half:], self._world.codec.decode_state(self._world.codec.encode_state(snapshot))
        )
        overdue = any(
            step.status in PARKED_STEP and step.due is not None and step.due <= at for step in run.state.steps.values()
        )
        if overdue and not isinstance(came_in, TimersDue):
            due = run.next_due()
            if (due is not None and due <= at) or decider.decide(other, TimersDue(), at).events:
                return None
        return other

    def _compare(self, decision: Decision, other: Decision, came_in: Input) -> None:
        if decision.events != other.events:
            what = f"{came_in}: in memory {_shown(decision.events)}; rebuilt {_shown(other.events)}"
            self._break("a_rebuilt_run_decides_the_same", what)
        elif decision.commands != other.commands:
            what = f"{came_in}: in memory {decision.commands}; rebuilt {other.commands}"
            self._break("a_rebuilt_run_decides_the_same", what)

    def _break(self, invariant: str, what: str) -> None:
        self._world.note(Violation(invariant, what))


def _shown(events: list[Any]) -> str:
    return ", ".join(f"{type(event).__name__} {getattr(event, 'step', '')}".strip() for event in events) or "nothing"
