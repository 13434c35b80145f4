"""What deciding needs beside the state: counters, kept up to date by deciding, that can be built again from it."""

from __future__ import annotations

import heapq
from typing import Literal

from stepwell.decider.plan import Link, Node, Plan
from stepwell.decider.scope import Names
from stepwell.execution.state import ExecutionState, StepState
from stepwell.execution.status import ENDED_STEP, PARKED_STEP, ExecutionStatus, StepStatus


class Arrivals:
    """How many of a step's inbound edges are decided, and how; and whether its join has spoken."""

    __slots__ = ("dead", "settled", "taken")

    def __init__(self) -> None:
        self.taken = 0
        self.dead = 0
        self.settled = False


class Run:
    """An execution in memory: its plan, its state, and what follows from the two.

    Attributes:
        arrivals: for steps that are not yet due, by name.
        ready: a heap, by position, of the steps that are due and wait for a place under `max_parallel_steps`: they
            start in the order of the definition, whatever made them due.
        timers: a heap of (due, step); an entry counts only while the step's state still says so.
        compensated: how many compensation steps are known to be over; there may be more.
    """

    __slots__ = ("arrivals", "compensated", "names", "plan", "ready", "state", "timers")

    def __init__(self, plan: Plan, state: ExecutionState) -> None:
        self.plan = plan
        self.state = state
        self.arrivals: dict[str, Arrivals] = {}
        self.ready: list[tuple[int, Node]] = []
        self.timers: list[tuple[int, str]] = []
        self.compensated = 0
        self.names = Names(plan, state)
        if state.status is not ExecutionStatus.PENDING:
            _restore(self)

    def next_due(self) -> int | None:
        """The earliest instant at which something is due without anything coming in."""
        timers, state = self.timers, self.state
        if not timers and state.timeout is None and state.deadline is None:
            return None
        while timers and not self.is_due_at(*timers[0]):
            heapq.heappop(timers)
        due = timers[0][0] if timers else None
        if state.status is ExecutionStatus.RUNNING:
            for bound in (state.deadline, self.active_until()):
                due = bound if due is None or (bound is not None and bound < due) else due
        return due

    def active_until(self) -> int | None:
        """The instant at which the bound on active time is reached, if steps stay in flight until then."""
        state = self.state
        if state.timeout is None or state.active_since is None:
            return None
        return state.active_since + state.timeout - state.active_before

    def is_stopping(self) -> bool:
        """Whether nothing new may start before the end: the execution has failed, and its plan does not drain."""
        state = self.state
        return state.failure is not None and state.status is ExecutionStatus.RUNNING and not self.plan.drains

    def make_ready(self, node: Node) -> None:
        """The step is due: it starts as soon as there is a place for it."""
        heapq.heappush(self.ready, (node.position, node))

    def is_due_at(self, due: int, step: str) -> bool:
        """Whether the step still waits for that instant."""
        state = self.state.steps[step]
        return state.due == due and state.status in PARKED_STEP

    def arm(self, due: int, step: str) -> None:
        """Note that something is due for the step."""
        heapq.heappush(self.timers, (due, step))


def _restore(run: Run) -> None:
    """Build the counters from the state of every step that something happened to."""
    nodes, steps = run.plan.nodes, run.state.steps
    for name, step in steps.items():
        node = nodes.get(name)
        if step.due is not None and step.status in PARKED_STEP:
            run.arm(step.due, name)
        if node is not None and step.status in ENDED_STEP:
            for link in node.links:
                arrive(run, link, step)
    for name, node in nodes.items():
        if name in steps:
            if name in run.arrivals:
                run.arrivals[name].settled = True
        elif verdict(run, node) == "run":
            settle_join(run, node)


def settle_join(run: Run, node: Node) -> None:
    """The join of the step is satisfied: it is due, and later edges change nothing."""
    arrivals = run.arrivals.get(node.name)
    if arrivals is not None:
        arrivals.settled = True
    run.make_ready(node)


def arrive(run: Run, link: Link, source: StepState) -> Arrivals:
    """Count the edge as taken or dead, by how its source ended."""
    arrivals = run.arrivals.get(link.target.name)
    if arrivals is None:
        arrivals = run.arrivals[link.target.name] = Arrivals()
    if is_taken(link, source):
        arrivals.taken += 1
    else:
        arrivals.dead += 1
    return arrivals


def is_taken(link: Link, source: StepState) -> bool:
    """Whether an edge is taken, once its source has ended."""
    status, on = source.status, link.on
    if status is StepStatus.COMPLETED:
        return on in ("satisfied", "success", "complete")
    if status is StepStatus.FAILED:
        if is_timeout(source) and link.source.has_timeout_link and on in ("timeout", "failure"):
            return on == "timeout"
        return on in ("failure", "complete") or (on == "satisfied" and source.handled == "continue")
    if status is StepStatus.SKIPPED and source.reason == "condition":
        return on in ("satisfied", "skipped")
    return False


def is_timeout(step: StepState) -> bool:
    """Whether the step failed by running out of time."""
    return step.error is not None and step.error.type == "timeout"


Verdict = Literal["run", "dead", "open"]


def verdict(run: Run, node: Node) -> Verdict:
    """What a step's join says: `run`, `dead` (it can never run), or `open` (undecided).

    `all`: every edge taken. `sync`: none undecided and at least one taken. `any` and a number: at the n-th taken edge.
    """
    if node.inbound == 0:
        return "run"
    arrivals = run.arrivals.get(node.name)
    if arrivals is None:
        return "open"
    undecided = node.inbound - arrivals.taken - arrivals.dead
    match node.join:
        case "all":
            return "dead" if arrivals.dead else ("open" if undecided else "run")
        case "sync":
            return "open" if undecided else ("run" if arrivals.taken else "dead")
        case _:
            wanted = 1 if node.join == "any" else int(node.join)
            if arrivals.taken >= wanted:
                return "run"
            return "open" if arrivals.taken + undecided >= wanted else "dead"
