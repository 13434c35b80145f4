"""What deciding needs beside the state: counters, kept up to date by deciding, that can be built again from it."""

from __future__ import annotations

import heapq

from stepwell.decider.graph import Node
from stepwell.decider.plan import Plan
from stepwell.decider.region import Instance, Region
from stepwell.decider.scope import Names
from stepwell.execution.state import ExecutionState
from stepwell.execution.status import BEFORE_THE_END, PARKED_STEP, ExecutionStatus, StepStatus

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
        "compensated",
        "delayed",
        "generated",
        "held",
        "hooks",
        "latest",
        "names",
        "nested",
        "owed",
        "plan",
        "ready",
        "root",
        "settled",
        "state",
        "timers",
        "undoing",
        "undone",
    )

    def __init__(self, plan: Plan, state: ExecutionState) -> None:
        self.plan = plan
        self.state = state
        self.root = Region(plan.root, holds_on=plan.drains)
        self.undoing = Region(plan.undoing, holds_on=True)
        self.hooks = Region(plan.hooks, holds_on=True)
        self.nested: dict[str, Instance] = {}
        self.ready: list[Due] = []
        self.timers: list[tuple[int, str]] = []
        self.delayed: list[tuple[Instance, int]] = []
        self.owed: list[tuple[Region, Node]] = []
        self.held: dict[str, Instance] = {}
        self.latest: dict[str, str] = {}
        self.compensated = 0
        self.settled = ""
        self.undone = 0
        self.generated: dict[str, dict[str, Node]] | None = None
        self.names = Names(plan, state, self.latest)

    def open_instance(self, key: str) -> Instance | None:
        """The instance of that key, if it has begun and not ended."""
        return self.root.open.get(key) or self.nested.get(key)

    def next_due(self) -> int | None:
        """The earliest instant at which something is due without anything coming in."""
        timers, state = self.timers, self.state
        if not timers and state.timeout is None and state.deadline is None and state.compensation_due is None:
            return None
        while timers and not self.is_due_at(*timers[0]):
            heapq.heappop(timers)
        if state.status is ExecutionStatus.PAUSED or state.unplaced:
            return self._due_while_paused()
        due = timers[0][0] if timers else None
        if state.status is ExecutionStatus.RUNNING and not state.hooks_began:
            for bound in (state.deadline, self.active_until()):
                due = bound if due is None or (bound is not None and bound < due) else due
        elif state.compensation_due is not None and (due is None or state.compensation_due < due):
            due = state.compensation_due
        return due

    def _due_while_paused(self) -> int | None:
        instants = [due for due, key in self.timers if self.is_due_at(due, key) and not self.begins_work(key)]
        if self.state.deadline is not None and not self.state.hooks_began:
            instants.append(self.state.deadline)
        return min(instants, default=None)

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
        while self.ready:
            instance = heapq.heappop(self.ready)[-1]
            if instance.in_line and not instance.region.stopped:
                instance.in_line = False
                instance.region.due -= 1
                return instance
        return None

    def make_ready(self, instance: Instance) -> None:
        """The step is due: it starts as soon as there is a place for it."""
        instance.in_line = True
        instance.region.due += 1
        path = instance.region.path
        heapq.heappush(self.ready, (instance.node.position, _rounds(path) if path else (), instance.key, instance))

    def is_due_at(self, due: int, key: str) -> bool:
        """Whether the step still waits for that instant."""
        step = self.state.steps.get(key)
        if step is None or step.due != due:
            return False
        return step.status in PARKED_STEP or (step.status is StepStatus.RUNNING and step.block is not None)

    def arm(self, due: int, key: str) -> None:
        """Note that something is due for the step."""
        heapq.heappush(self.timers, (due, key))

    def begin(self, instance: Instance) -> None:
        """The step has begun, or waits: it is open until it ends."""
        region = instance.region
        is_again = instance.key in region.open
        region.open[instance.key] = instance
        if region is not self.root:
            self.nested[instance.key] = instance
        if instance.key != instance.node.name and not is_again:
            self.note_latest(instance.node.name, instance.key, region.path)

    def note_latest(self, name: str, key: str, path: str) -> None:
        """Of a step that runs more than once, or in a block, this is its latest instance; runs of what `for_each` or
        `repeat` repeats are not it."""
        if key == name or any(part.isalpha() for part in path.split(",")):
            return  # what runs in place of a step, or makes its steps, is not it either
        node = self.plan.by_name.get(name)
        if node is not None and sum(part.isdigit() for part in path.split(",")) == node.graph.rounds:
            self.latest[name] = key

    def become(self, other: Run) -> None:
        """Take over everything from a run of the same execution that was built anew."""
        for name in self.__slots__:
            setattr(self, name, getattr(other, name))

    def end(self, instance: Instance) -> None:
        """The step is no longer open."""
        region = instance.region
        region.open.pop(instance.key, None)
        if region is not self.root:
            self.nested.pop(instance.key, None)


def _rounds(path: str) -> tuple[int, ...]:
    numbers = (part.lstrip("#~") for part in path.split(","))
    return tuple(int(number) if number.isdigit() else 0 for number in numbers)
