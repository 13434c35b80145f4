"""What can be said of a workflow before it runs: its order, its worst case, and what it leaves open.

It reads the definition alone, so that any valid one can be planned, whatever this engine can run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from stepwell.app.side_effects import has_effect, read_by_compensation
from stepwell.app.step_costs import StepCost, Surroundings, Unbounded, body_cost, step_cost
from stepwell.app.step_graph import TOP, Group, groups_of
from stepwell.app.worst_case import (
    NOTHING,
    Bound,
    Chain,
    Cost,
    cut_off,
    group_cost,
    largest,
    longest_chain,
    one_after_the_other,
    repeated,
    times,
    total,
    visits,
    with_places,
)
from stepwell.definition.model import CONTROL_TYPES, Join, Step, WorkflowConfig, WorkflowDefinition, all_steps

EndedBy = Literal["steps", "timeout", "deadline"]


class StepFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A step, nested ones too. Times in microseconds; None where nothing bounds a figure, or nothing is known of it.

    Attributes:
        parent, block: the step in whose settings it stands, and the block there; None at the top.
        batch: the number of its batch, from 1, among the steps beside it: those of one can run side by side.
        after: the steps whose edges lead to it; `join` says how many of several it takes.
        runs: how often its work is done at worst, in the whole execution: for every item, round and visit.
        tries: how often one run is tried at worst; `attempts` is all of them together (0 when no worker does it).
        backoff: the time between the tries of one run, together.
        timeout: the bound on one try, or on one wait.
        duration: from when it is due to its end, at worst.
        has_effect: whether it may change something outside; `is_undone`: whether compensation would undo that.
    """

    name: str
    type: str
    parent: str | None = None
    block: str | None = None
    batch: int = 1
    after: tuple[str, ...] = ()
    join: Join | None = None
    runs: Bound = 1
    tries: int = 1
    attempts: Bound = 0
    backoff: int = 0
    timeout: Bound = None
    duration: Bound = 0
    has_effect: bool = False
    is_undone: bool = False


class WorkflowFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow. Times in microseconds; None where nothing bounds a figure.

    Attributes:
        timeout, deadline: the workflow's own bounds: on the time in which something is at work, and on all.
        steps: all steps, outer before inner, in the order of the document.
        critical_path: the longest chain, with the longest chains in the blocks of its steps behind each; by worst-case
            duration, or by number of steps when a step has no bound (`critical_path_by`).
        attempts: of all steps together. Of the branches of a conditional the one with most counts.
        duration: of the whole. `ended_by` says what bounds it: its steps, its timeout or its deadline.
        unbounded: steps that have no bound of their own, and why. Those that a timeout around them bounds are left out.
        compensation: what undoes it: the steps of `compensation.steps`.
        compensation_attempts, compensation_duration: of these and of the `compensate` of every step, together.
    """

    workflow: str
    version: str
    timeout: int | None = None
    deadline: int | None = None
    max_parallel_steps: int | None = None
    batches: tuple[tuple[str, ...], ...] = ()
    steps: tuple[StepFigures, ...] = ()
    critical_path: tuple[str, ...] = ()
    critical_path_by: Literal["duration", "steps"] = "duration"
    attempts: Bound = 0
    duration: Bound = 0
    ended_by: EndedBy = "steps"
    unbounded: tuple[Unbounded, ...] = ()
    compensation: tuple[StepFigures, ...] = ()
    compensation_attempts: Bound = 0
    compensation_duration: Bound = 0

    @property
    def without_timeout(self) -> tuple[str, ...]:
        """The steps that may last for ever."""
        return tuple(each.step for each in self.unbounded if each.duration)

    @property
    def without_compensation(self) -> tuple[str, ...]:
        """The steps that change something outside which nothing undoes."""
        return tuple(step.name for step in self.steps if step.has_effect and not step.is_undone)


def figures_of(
    definition: WorkflowDefinition, services: Mapping[str, int] | None = None, default_timeout: int | None = None
) -> WorkflowFigures:
    """Everything that `plan` shows.

    Args:
        services: the timeouts of services by name, as far as the configuration is known.
        default_timeout: the bound on active time of workflows that name none.
    """
    config = definition.config
    timeout = config.timeout if config.timeout is not None else default_timeout
    around = Surroundings(config=config, services=services or {})
    steps = _Steps(definition.steps, around, separate=definition.config.branches == "separate")
    undoing = _Steps(definition.compensation.steps, around)
    undone = read_by_compensation(definition)
    top = steps.groups[0]
    chain = longest_chain(top, steps.costs)
    whole = steps.group_costs[None, TOP]
    duration, ended_by = _duration(config, timeout, whole)
    compensation = _compensation(definition, steps, undoing, around)
    return WorkflowFigures(
        workflow=definition.name,
        version=definition.version,
        timeout=timeout,
        deadline=config.deadline,
        max_parallel_steps=config.max_parallel_steps,
        batches=tuple(tuple(top.steps[position].name for position in layer) for layer in top.layers),
        steps=tuple(steps.figures(undone)),
        critical_path=tuple(steps.along(top, chain)),
        critical_path_by="duration" if chain.by_duration else "steps",
        attempts=whole.attempts,
        duration=duration,
        ended_by=ended_by,
        unbounded=tuple(steps.unbounded()),
        compensation=tuple(undoing.figures(undone)),
        compensation_attempts=compensation.attempts,
        compensation_duration=compensation.span,
    )


class _Steps:
    """Steps and everything nested in them, and what each comes to.

    Attributes:
        costs: of every step, all its visits together.
        group_costs: of every group, by the name of the step that holds it (None at the top) and of the block.
        runs: how often the work of each step is done in the whole execution.
    """

    def __init__(self, steps: Sequence[Step], around: Surroundings, *, separate: bool = False) -> None:
        self.groups = groups_of(steps, separate=separate)
        self.costs: dict[str, Cost] = {}
        self.group_costs: dict[tuple[str | None, str], Cost] = {}
        self._own: dict[str, StepCost] = {}
        self._visits: dict[str, int] = {}
        self._inside = {_key(group): group for group in self.groups}
        for group in reversed(self.groups):  # inner before outer
            often = visits(group)
            for position, step in enumerate(group.steps):
                self._visits[step.name] = often.get(position, 1)
                own = self._own[step.name] = step_cost(step, self._blocks(step), around)
                self.costs[step.name] = repeated(own.cost, self._visits[step.name], rounds=self._visits[step.name])
            self.group_costs[_key(group)] = group_cost(group, self.costs)
        self.runs = dict(self._all_runs())

    def _blocks(self, step: Step) -> dict[str, Cost]:
        return {name: self.group_costs[step.name, name] for name, block in step.blocks if block}

    def _all_runs(self) -> Iterator[tuple[str, Bound]]:
        """How often the work of each step is done in the whole execution, outer before inner."""
        inside: dict[str, Bound] = {}
        for group in self.groups:
            around = inside[group.parent.name] if group.parent is not None else 1
            for step in group.steps:
                own = self._own[step.name]
                runs = times(times(around, self._visits[step.name]), own.runs)
                inside[step.name] = times(runs, times(own.tries, own.rounds))
                yield step.name, runs

    def unbounded(self) -> Iterator[Unbounded]:
        """What has no bound, unless a timeout around it bounds it."""
        bounded: set[str] = set()
        for group in self.groups:
            is_inside = group.parent is not None and group.parent.name in bounded
            for step in group.steps:
                if is_inside or (step.blocks and step.timeout is not None):
                    bounded.add(step.name)
                for each in self._own[step.name].unbounded:
                    duration = each.duration and not is_inside
                    if duration or each.attempts:
                        yield msgspec.structs.replace(each, duration=duration)

    def figures(self, undone: frozenset[str]) -> Iterator[StepFigures]:
        """The figures of every step. `undone`: the names of those that compensation steps undo."""
        covered: set[str] = set()
        for group in self.groups:
            parent = group.parent.name if group.parent is not None else None
            for position, step in enumerate(group.steps):
                if parent in covered or step.compensate is not None or step.name in undone:
                    covered.add(step.name)
                yield self._step(group, position, parent, is_undone=step.name in covered)

    def _step(self, group: Group, position: int, parent: str | None, *, is_undone: bool) -> StepFigures:
        step = group.steps[position]
        own, runs = self._own[step.name], self.runs[step.name]
        return StepFigures(
            name=step.name,
            type=step.type,
            parent=parent,
            block=group.block if parent is not None else None,
            batch=group.level[position] + 1,
            after=group.after(position),
            join=group.join(position) if len(group.inbound[position]) > 1 else None,
            runs=runs,
            tries=own.tries,
            attempts=times(runs, own.tries) if step.type not in CONTROL_TYPES else 0,
            backoff=own.backoff,
            timeout=own.timeout,
            duration=self.costs[step.name].span,
            has_effect=has_effect(step),
            is_undone=is_undone,
        )

    def along(self, group: Group, chain: Chain) -> Iterator[str]:
        """The names along a chain of a group, each followed by those along the longest chain nested in it."""
        pending = _last_first(group, chain)
        while pending:
            step = pending.pop()
            yield step.name
            inner = [self._inside[step.name, name] for name, block in step.blocks if block]
            if inner and step.type != "state_machine":  # of a conditional, one branch runs; of the others, the only one
                longest = max(inner, key=lambda each: _length(self.group_costs[_key(each)]))
                pending += _last_first(longest, longest_chain(longest, self.costs))


def _last_first(group: Group, chain: Chain) -> list[Step]:
    return [group.steps[position] for position in reversed(chain.positions)]


def _key(group: Group) -> tuple[str | None, str]:
    return group.parent.name if group.parent is not None else None, group.block


def _length(cost: Cost) -> float:
    return cost.span if cost.span is not None else float("inf")


def _duration(config: WorkflowConfig, timeout: int | None, whole: Cost) -> tuple[Bound, EndedBy]:
    """How long it lasts at worst, and what bounds it. Its timeout counts the time in which something is at work."""
    bounds: list[tuple[Bound, EndedBy]] = [
        (with_places(whole, config.max_parallel_steps), "steps"),
        (total((timeout, whole.parked)) if timeout is not None else None, "timeout"),
        (config.deadline, "deadline"),
    ]
    return min(bounds, key=lambda bound: bound[0] if bound[0] is not None else float("inf"))


def _compensation(definition: WorkflowDefinition, steps: _Steps, undoing: _Steps, around: Surroundings) -> Cost:
    """What undoing everything comes to: the compensation steps, and every step's `compensate`, once for each run."""
    costs = [undoing.costs[step.name] for step in definition.compensation.steps]
    for step in all_steps(definition.steps):
        if step.compensate is not None:
            runs = steps.runs[step.name]
            costs.append(repeated(body_cost(step.compensate, around), runs, rounds=runs))
    cost = one_after_the_other(*costs) if costs else NOTHING
    if definition.compensation.strategy == "parallel":
        cost = msgspec.structs.replace(cost, span=largest(each.span for each in costs))
    return cut_off(cost, definition.compensation.timeout)


# As a document


def figures_document(figures: WorkflowFigures) -> dict[str, Any]:
    """The figures as JSON values. Durations in milliseconds; null where nothing bounds a figure."""
    return {
        "workflow": figures.workflow,
        "version": figures.version,
        "timeout_ms": _milliseconds(figures.timeout),
        "deadline_ms": _milliseconds(figures.deadline),
        "max_parallel_steps": figures.max_parallel_steps,
        "batches": [list(batch) for batch in figures.batches],
        "critical_path": list(figures.critical_path),
        "critical_path_by": figures.critical_path_by,
        "steps": [_step_document(step) for step in figures.steps],
        "worst_case_attempts": figures.attempts,
        "worst_case_ms": _milliseconds(figures.duration),
        "ended_by": figures.ended_by if figures.duration is not None else None,
        "unbounded": [msgspec.to_builtins(each) for each in figures.unbounded],
        "without_timeout": list(figures.without_timeout),
        "without_compensation": list(figures.without_compensation),
        "compensation": {
            "steps": [_step_document(step) for step in figures.compensation],
            "worst_case_attempts": figures.compensation_attempts,
            "worst_case_ms": _milliseconds(figures.compensation_duration),
        },
    }


def _step_document(step: StepFigures) -> dict[str, Any]:
    return {
        "name": step.name,
        "type": step.type,
        "parent": step.parent,
        "block": step.block,
        "batch": step.batch,
        "after": list(step.after),
        "join": step.join,
        "runs": step.runs,
        "max_attempts": step.tries,
        "attempts": step.attempts,
        "max_backoff_ms": _milliseconds(step.backoff),
        "timeout_ms": _milliseconds(step.timeout),
        "worst_case_ms": _milliseconds(step.duration),
        "has_effect": step.has_effect,
        "is_undone": step.is_undone,
    }


def _milliseconds(micros: int | None) -> float | None:
    return micros / 1_000 if micros is not None else None
