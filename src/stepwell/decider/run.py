"""What deciding needs beside the state: counters, kept up to date by deciding, that can be built again from it."""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heappop, heappush
from typing import Final

from stepwell.decider.graph import Node
from stepwell.decider.plan import Plan
from stepwell.decider.region import Instance, Region
from stepwell.decider.scope import Names
from stepwell.execution.state import ExecutionState
from stepwell.execution.status import BEFORE_THE_END, PARKED_STEP, ExecutionStatus, StepStatus

_RUNNING: Final = ExecutionStatus.RUNNING
_PAUSED: Final = ExecutionStatus.PAUSED

_NONE: Final[dict[str, Instance]] = {}
"""Never changed: most executions need no such map, and what tens of thousands in memory do without, the garbage
collector need not look at."""

Due = tuple[int, tuple[int, ...], str, Instance]
"""An instance in line: position of its step, the rounds it is in, its key."""


class Run:
    """An execution in memory: its plan, its state, and what follows from the two.

    Attributes:
        root: the region of the definition's steps.
        undoing: the region of `compensation.steps`; hooks: that of `config.on_error`.
        nested: the open instances outside the root region, by key.
        ready: a heap of the instances that are due and wait for a place under `max_parallel_steps`: they start in the
            order of the definition, whatever made them due.
        timers: a heap of (due, key); an entry counts only while the step's state still says so.
        delayed: instances that a fold found due after a delay that is not recorded yet.
        owed: steps whose paths are dead and for which that is not recorded yet.
        held: instances that wait for a milestone.
        latest: for each step that runs more than once, or in a block, the key of its latest instance.
        settled: see `restore.run_of`.
        compensated: how many compensation steps are known to have begun; there may be more.
        undone: of how many instances the undoing is known to have begun; there may be more.
        generated: the steps that were made while the workflow ran, by path and name; None until they are looked for.
    """

    __slots__ = (
        "_hooks",
        "_names",
        "_undoing",
        "compensated",
        "delayed",
        "generated",
        "held",
        "latest",
        "nested",
        "owed",
        "plan",
        "ready",
        "root",
        "settled",
        "state",
        "timers",
        "undone",
    )

    def __init__(self, plan: Plan, state: ExecutionState) -> None:
        self.plan = plan
        self.state = state
        self.root = Region(plan.root, holds_on=plan.drains)
        self._undoing: Region | None = None
        self._hooks: Region | None = None
        self._names: Names | None = None
        self.nested: dict[str, Instance] = _NONE
        self.ready: list[Due] = []
        self.timers: list[tuple[int, str]] = []
        self.delayed: list[tuple[Instance, int]] = []
        self.owed: list[tuple[Region, Node]] = []
        self.held: Mapping[str, Instance] = _NONE
        self.latest: dict[str, str] = {}
        self.compensated = 0
        self.settled = ""
        self.undone = 0
        self.generated: dict[str, dict[str, Node]] | None = None

    # Most executions never come to the following three, and tens of thousands may be in memory.

    @property
    def undoing(self) -> Region:
        if self._undoing is None:
            self._undoing = Region(self.plan.undoing, holds_on=True)
        return self._undoing

    @property
    def hooks(self) -> Region:
        if self._hooks is None:
            self._hooks = Region(self.plan.hooks, holds_on=True)
        return self._hooks

    @property
    def names(self) -> Names:
        """What its expressions see."""
        if self._names is None:
            self._names = Names(self.plan, self.state, self.latest)
        return self._names

    def open_instance(self, key: str) -> Instance | None:
        """The instance of that key, if it has begun and not ended."""
        return self.root.open.get(key) or self.nested.get(key)

    def next_due(self) -> int | None:
        """The earliest instant at which something is due without anything coming in."""
        timers, state = self.timers, self.state
        if not timers and state.timeout is None and state.deadline is None and state.compensation_due is None:
            return None
        while timers and not self.is_due_at(*timers[0]):
            heappop(timers)
        if self.holds_back():
            return self._due_while_paused()
        due = timers[0][0] if timers else None
        if state.status is _RUNNING and not state.hooks_began:
            if state.deadline is not None and (due is None or state.deadline < due):
                due = state.deadline
            until = self.active_until() if state.timeout is not None else None
            if until is not None and (due is None or until < due):
                due = until
        elif state.compensation_due is not None and (due is None or state.compensation_due < due):
            due = state.compensation_due
        return due

    def _due_while_paused(self) -> int | None:
        instants = [due for due, key in self.timers if self.is_due_at(due, key) and not self.begins_work(key)]
        if self.state.deadline is not None and not self.state.hooks_began:
            instants.append(self.state.deadline)
        return min(instants, default=None)

    def holds_back(self) -> bool:
        """Whether no work of it begins: it is paused, or it goes on after its end and has not got its place again."""
        state = self.state
        return state.status is _PAUSED or (state.unplaced and state.status is _RUNNING)

    def begins_work(self, key: str) -> bool:
        """Whether what the step waits for would begin its work: that of a paused execution does not begin."""
        step = self.state.steps[key]
        return step.status is StepStatus.RETRYING or step.held == "delay"

    def active_until(self) -> int | None:
        """The instant at which the bound on active time is reached, if steps stay in flight until then."""
        state = self.state
        if state.timeout is None or state.active_since is None:
            return None
        return state.active_since + state.timeout - state.active_before

    def is_stopping(self) -> bool:
        """Whether nothing new may start before the end: it is being cancelled; or it has failed, and its plan does
        not drain, or its time is up."""
        state = self.state
        failing = state.failure is not None and (not self.plan.drains or state.is_out_of_time())
        return (failing or state.cancel is not None) and state.status in BEFORE_THE_END

    def next_ready(self) -> Instance | None:
        """The first in line, out of the line; those that were withdrawn are passed over."""
        ready = self.ready
        while ready:
            instance = heappop(ready)[-1]
            region = instance.region
            if instance.in_line and not region.stopped:
                instance.in_line = False
                region.due -= 1
                return instance
        return None

    def make_ready(self, instance: Instance) -> None:
        """The step is due: it starts as soon as there is a place for it."""
        if instance.in_line:
            return  # its time has come twice: two of its instants were the same
        region = instance.region
        instance.in_line = True
        region.due += 1
        path = region.path
        heappush(self.ready, (instance.node.position, _rounds(path) if path else (), instance.key, instance))

    def is_due_at(self, due: int, key: str) -> bool:
        """Whether the step still waits for that instant."""
        step = self.state.steps.get(key)
        if step is None or step.due != due:
            return False
        return step.status in PARKED_STEP or (step.status is StepStatus.RUNNING and step.block is not None)

    def arm(self, due: int, key: str) -> None:
        """Note that something is due for the step."""
        heappush(self.timers, (due, key))

    def begin(self, instance: Instance, *, again: bool = False) -> None:
        """The step has begun, or waits: it is open until it ends. `again`: it had begun before a fold of the history,
        and others may have begun later."""
        key, region = instance.key, instance.region
        if not again and key != instance.node.name and key not in region.open:
            self.note_latest(instance.node.name, key, region.path)
        region.open[key] = instance
        if region is not self.root:
            if self.nested is _NONE:
                self.nested = {}
            self.nested[key] = instance

    def note_latest(self, name: str, key: str, path: str) -> None:
        """Of a step that runs more than once, or in a block, this is its latest instance; runs of what `for_each` or
        `repeat` repeats are not it."""
        if key == name or any(part.isalpha() for part in path.split(",")):
            return  # what runs in place of a step, or makes its steps, is not it either
        node = self.plan.by_name.get(name)
        if node is not None and sum(part.isdigit() for part in path.split(",")) == node.graph.rounds:
            self.latest[name] = key

    def dissolve(self) -> None:
        """It is not needed any more. An open instance and its region refer to each other: without this the two, and all
        that they refer to, would stay until the garbage collector comes by."""
        for one in [*self.root.open.values(), *self.nested.values()]:
            one.region.open.clear()
            one.regions = None
        self.nested.clear()

    def become(self, other: Run) -> None:
        """Take over everything from a run of the same execution that was built anew."""
        for name in self.__slots__:
            setattr(self, name, getattr(other, name))

    def end(self, instance: Instance) -> None:
        """The step is no longer open."""
        key, region = instance.key, instance.region
        region.open.pop(key, None)
        if region is not self.root:
            self.nested.pop(key, None)


def _rounds(path: str) -> tuple[int, ...]:
    numbers = (part.lstrip("#~") for part in path.split(","))
    return tuple(int(number) if number.isdigit() else 0 for number in numbers)
