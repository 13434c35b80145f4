"""Building the counters of a run again from the state of its steps: the same functions count as when it happened."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping

from stepwell.decider.compensation import body_of, due_now, runs_together
from stepwell.decider.compensation_workflow import workflow_of
from stepwell.decider.constructs import CONSTRUCTS
from stepwell.decider.failure import fallback_region, inside
from stepwell.decider.graph import Node
from stepwell.decider.inner import Rounds
from stepwell.decider.joins import (
    Outcome,
    after_dead,
    after_end,
    after_fallback,
    after_passing,
    beginning,
    is_in_vain,
    keep_open,
    note_passed,
    note_unasked,
    unreachable,
    withdraw,
)
from stepwell.decider.keys import instance_key, split_key, undone_key
from stepwell.decider.plan import Plan
from stepwell.decider.region import Instance, Region
from stepwell.decider.run import Run
from stepwell.execution.state import ExecutionState, StepState
from stepwell.execution.status import BEFORE_THE_END, ENDED_EXECUTION, ENDED_STEP, ExecutionStatus, StepStatus

_NEVER_DUE = frozenset({"dead_path", "not_taken"})
"""Reasons of skipped steps that were never due."""

Found = tuple[str, int, str, StepState]
"""An instance that something has happened to: name, visit, key, state."""


def run_of(plan: Plan, state: ExecutionState, settled: str = "") -> Run:
    """The execution in memory, ready to decide on.

    Args:
        settled: the key of a step that an operator says the end of in this very turn: a dead path does not count there.
    """
    run = Run(plan, state)
    run.settled = settled
    if state.status is ExecutionStatus.PENDING or state.status in ENDED_EXECUTION:
        return run
    found = by_path(run)
    if run.is_stopping() or state.status not in BEFORE_THE_END:
        run.root.stopped = True
    restore(run, run.root, found)
    if state.hooks_began:
        run.hooks.stopped = state.cancel is not None
        run.hooks.names = {"error": state.final_error.as_dict()} if state.final_error is not None else {}
        restore(run, run.hooks, found)
    if state.status is ExecutionStatus.COMPENSATING:
        _restore_compensation(run, found)
    return run


def _restore_compensation(run: Run, found: Mapping[str, list[Found]]) -> None:
    """Open what undoes and has not ended, and what may begin of a compensation that runs together."""
    state = run.state
    _restore_open(run, run.undoing, found, {})
    undoing = [workflow_of(run)] if state.compensation_instead else _bodies_at_work(run)
    for one in undoing:
        step = state.steps.get(one.key)
        if step is not None and step.status not in ENDED_STEP:
            _open(run, one, step, found)
    if runs_together(run) and not state.compensation_awaited and state.compensation is None:
        for one in due_now(run):
            run.make_ready(one)


def _bodies_at_work(run: Run) -> list[Instance]:
    undone = ((undone_key(key), step) for key, step in run.state.steps.items() if step.status not in ENDED_STEP)
    return [body_of(run, key) for key, _ in undone if key is not None and key in run.state.to_undo]


def by_path(run: Run) -> Mapping[str, list[Found]]:
    found: dict[str, list[Found]] = {}
    for key, step in run.state.steps.items():
        name, path, visit = split_key(key)
        found.setdefault(path, []).append((name, visit, key, step))
        if step.reason not in _NEVER_DUE:
            run.note_latest(name, key, path)
    return found


def restore(run: Run, region: Region, found: Mapping[str, list[Found]]) -> None:
    """Count again what has ended in the region, in the order in which it did, and open what has not."""
    owner = region.owner
    if owner is not None and owner.region.stopped:
        region.stopped = True
    due = _Due(run, region)
    due.take(beginning(region))
    for name, _, _, step in found_in(region, found):
        if step.block == "fallback" and step.error is not None:
            fallback = region.graph.nodes[name].fallback_for(step.error.type)
            if fallback is not None and fallback.step is not None:
                due.take(after_fallback(region, region.graph.nodes[name], fallback.step))
    begun = [each for each in found_in(region, found) if each[3].reason not in _NEVER_DUE]
    for name, *_ in begun:
        keep_open(region, region.graph.nodes[name], 1)
    ended = [each for each in begun if each[3].status in ENDED_STEP]
    for name, visit, key, step in sorted(ended, key=lambda each: each[3].order):
        node = region.graph.nodes[name]
        keep_open(region, node, -1)
        due.over.add(key)
        if step.handled == "up" and step.error is not None and region.failure is None:
            region.failure = (
                step.error if region.graph.name == "body" else inside(step.error, Instance(node, region, visit))
            )
        if step.status is StepStatus.CANCELLED and key not in due.instances:
            due.take(after_dead(region, node))
        else:
            if key not in due.instances:
                note_unasked(region, node, visit)
            due.take(after_end(region, node, step, visit))
    if region.failure is not None and not region.holds_on:
        region.stopped = True
    for name, _, _, step in begun:
        if step.status not in ENDED_STEP:
            keep_open(region, region.graph.nodes[name], -1)
    _restore_open(run, region, found, due.instances)
    for key, one in due.instances.items():
        if key in run.state.steps or region.stopped:
            continue
        if key in due.delays:  # it became due while nothing was decided, and was not held
            run.delayed.append((one, due.delays[key]))
            region.due += 1
        else:
            run.make_ready(one)


class _Due:
    """The instances of a region that joins have made due; `over`: those that have ended by then, made due or not."""

    def __init__(self, run: Run, region: Region) -> None:
        self._run = run
        self._region = region
        self.instances: dict[str, Instance] = {}
        self.over = set[str]()
        self.delays: dict[str, int] = {}

    def take(self, outcomes: Iterable[Outcome]) -> None:
        """Count on from what joins say."""
        region, steps = self._region, self._run.state.steps
        pending = deque(outcomes)
        while pending:
            node, said, visit, delay = pending.popleft()
            if said == "run":
                one = Instance(node, region, visit)
                if one.key in self.over:
                    pending.extend(withdraw(region, node))
                    continue
                self.instances[one.key] = one
                if delay or node.delay:
                    self.delays[one.key] = delay
                continue
            step = steps.get(instance_key(node.name, region.path))
            if step is None and self._run.settled == instance_key(node.name, region.path):
                if said == "passed_by":
                    note_passed(region, node)
                continue
            if said == "passed_by":
                pending.extend(after_passing(region, node))
                continue
            if step is None:
                self._run.owed.append((region, node))
            if said == "dead" and step is not None and step.reason == "dead_path" and is_in_vain(region, node):
                self._miss(node)
            if said == "dead" and (step is None or step.reason == "dead_path"):
                pending.extend(after_dead(region, node))

    def _miss(self, node: Node) -> None:
        """A join in it could no longer be met."""
        region = self._region
        if region.owner is not None:
            region.failure = region.failure or unreachable(region, node)


def found_in(region: Region, found: Mapping[str, list[Found]]) -> Iterator[Found]:
    nodes = region.graph.nodes
    return (each for each in found.get(region.path, ()) if each[0] in nodes)


def _restore_open(run: Run, region: Region, found: Mapping[str, list[Found]], due: Mapping[str, Instance]) -> None:
    for name, visit, key, step in found_in(region, found):
        if step.status in ENDED_STEP:
            continue
        one = due.get(key)
        if one is None:
            one = Instance(region.graph.nodes[name], region, visit)
            note_unasked(region, one.node, visit)
        _open(run, one, step, found)


def _open(run: Run, one: Instance, step: StepState, found: Mapping[str, list[Found]]) -> None:
    run.begin(one, again=True)
    if step.due is not None:
        run.arm(step.due, one.key)
    if step.held in ("nothing", "milestone"):  # what waits for a milestone may have reached it: it is looked at again
        run.make_ready(one)
    if step.status is StepStatus.RUNNING and step.block is not None:
        _reopen(run, one, step, found)


def _reopen(run: Run, one: Instance, step: StepState, found: Mapping[str, list[Found]]) -> None:
    """Open again the regions of a construct; those of which nothing is left have been seen to be through, but for that
    of a step whose end is about to be said, and those of which a dead path was the last that is left."""
    for inner in inner_regions(run, one, step):
        restore(run, inner, found)
        if not inner.is_through or _is_settled_in(run, inner) or _is_owed(run, inner):
            if one.regions is None:
                one.regions = {}
            one.regions[inner.path] = inner
        elif isinstance(one.node.inner, Rounds) and not one.node.inner.goes_on and one.failure is None:
            one.failure, one.failed_round = inner.failure, int(inner.path.rpartition(",")[2])


def _is_settled_in(run: Run, region: Region) -> bool:
    """Whether the step that an operator says the end of in this turn stands in the region."""
    if not run.settled:
        return False
    name, path, _ = split_key(run.settled)
    return path == region.path and name in region.graph.nodes


def _is_owed(run: Run, region: Region) -> bool:
    """Whether steps of it never run, and that is still to be recorded."""
    return not region.stopped and any(other is region for other, _ in run.owed)


def inner_regions(run: Run, one: Instance, step: StepState) -> Iterator[Region]:
    if step.block != "fallback" or step.error is None:
        yield from CONSTRUCTS[one.node.kind].reopen(run, one, step)
        return
    fallback = one.node.fallback_for(step.error.type)
    assert fallback is not None, "a step falls back only to what its definition names"
    if fallback.graph is not None:
        yield fallback_region(one, step.error)
