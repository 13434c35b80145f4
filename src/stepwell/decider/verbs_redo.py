"""`retry` and `rerun`: which steps run again, and what of the rest has to know."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from stepwell.base.errors import Conflict
from stepwell.base.instants import to_rfc3339
from stepwell.base.values import SECRETS, Sealed
from stepwell.decider.advance import cancel
from stepwell.decider.keys import INSTEAD, UNDO, split_key
from stepwell.decider.leaf import assignment_again
from stepwell.decider.region import Instance, Region
from stepwell.decider.restore import by_path, inner_regions, restore, run_of
from stepwell.decider.run import Run
from stepwell.decider.turn import Turn
from stepwell.decider.verbs_tree import Tree, behind, inside_keys, names_in
from stepwell.execution.commands import ReleaseLock, ResolveDeadLetter
from stepwell.execution.history import Intervened, StepReopened, StepReset
from stepwell.execution.state import StepState
from stepwell.execution.status import ENDED_EXECUTION, ENDED_STEP, ExecutionStatus, StepStatus
from stepwell.execution.verbs import DONE
from stepwell.expression.errors import ExpressionError

UNANSWERED: Final = frozenset({"", "up", "compensate", "stand_in"})
"""How the failure of a step was not handled by the step itself."""
_BY_FAILURE: Final = ("has failed", "timed out", "ran out of time", "was stopped")
"""How the reasons end for which steps are cancelled because something failed; others were cancelled on purpose."""
_ORDERED: Final = frozenset({"loop", "repeat"})
"""Constructs of which a round builds on the one before."""
_CAN_REOPEN: Final = frozenset({"conditional", "parallel_group", "loop", "for_each", "repeat"})
"""Constructs that can begin in their middle, because their state says all about it."""
_REOPENED: Final = frozenset({StepStatus.RUNNING, *ENDED_STEP}) - {StepStatus.SKIPPED, StepStatus.COMPENSATED}


def is_reopenable(one: Instance) -> bool:
    """Whether it is a construct that can go on in its middle after it has ended. One that had a lock meanwhile has
    given that back: it begins as a whole, by asking for it."""
    return one.node.kind in _CAN_REOPEN and one.node.step.mutex is None


def check_reopens(one: Instance, step: StepState, wanted: str) -> None:
    """Refuse what would have to begin in the middle of a construct that cannot.

    Args:
        wanted: the key of what was asked for inside of it.

    Raises:
        Conflict: code `cannot-reopen`.
    """
    if step.status not in _REOPENED:
        because = f"which is {step.status}: what runs inside it next is another try"
    elif step.block == "fallback":
        because = "which failed, and for which something else stands in"
    elif one.node.kind not in _CAN_REOPEN:
        because = f"of type {one.node.step.type!r}, which cannot go on from there"
    elif one.node.step.mutex is not None and step.status is not StepStatus.RUNNING:
        because = "which has given its lock back"
    else:
        return
    message = f"step {wanted!r} stands in {one.key!r}, {because}"
    raise Conflict(message, code="cannot-reopen", hint=f"run {one.key!r} again as a whole")


class Redo:
    """What is to be done: instances that are reset, and constructs that run again because something in them does.

    Attributes:
        reset: keys, outer before inner.
        reopened: constructs by key, with the latest round that has then begun.
    """

    def __init__(self) -> None:
        self.reset: dict[str, None] = {}
        self.reopened: dict[str, int] = {}

    def take(self, other: Redo) -> None:
        """Do all that too."""
        self.reset.update(other.reset)
        self.reopened.update(other.reopened)


# ── What failed ──────────────────────────────────────────────────────────────────────────────────────────────────────


def failed_again(tree: Tree, chosen: Collection[str] | None, region: Region | None = None) -> Redo:
    """What runs again when failed steps are retried: they, and what was cancelled or never came to run because of them.

    Args:
        chosen: their keys; None for all whose failure nothing handled.
    """
    redo = Redo()
    dead: list[str] = []
    for one, step in tree.of(region or tree.root):
        if step.status is StepStatus.FAILED:
            redo.take(_failed(tree, one, step, chosen))
        elif step.status is StepStatus.SKIPPED and step.reason == "dead_path":
            dead.append(one.key)
    if redo.reset:
        redo.take(_cut_short(tree, region or tree.root))
        redo.reset.update(dict.fromkeys(dead))  # those whose paths stay dead are recorded again
    return redo


def cut_off(tree: Tree) -> Redo:
    """What runs again when the execution as a whole failed while steps ran: those."""
    return _cut_short(tree, tree.root)


def _cut_short(tree: Tree, region: Region) -> Redo:
    """What was cancelled because something failed, and the constructs that ended early because of that."""
    redo = Redo()
    for one, step in tree.of(region):
        if step.status is StepStatus.CANCELLED and step.reason.endswith(_BY_FAILURE):
            redo.take(_cancelled(tree, one, step))
        elif step.status is StepStatus.COMPLETED and one.node.kind in _CAN_REOPEN and not _had_enough(one):
            inside = Redo()
            for inner in tree.inside(one, step):
                inside.take(_cut_short(tree, inner))
            if inside.reset and not is_reopenable(one):
                _reset(tree, redo, one)
            elif inside.reset:
                redo.take(inside)
                redo.reopened[one.key] = step.iteration
    return redo


def _had_enough(one: Instance) -> bool:
    """Whether it is a group that needs only some of its steps: when it has completed, the others were not missing."""
    return one.node.kind == "parallel_group" and (one.node.step.config.get("wait_for") or "all") != "all"


def _failed(tree: Tree, one: Instance, step: StepState, chosen: Collection[str] | None) -> Redo:
    is_chosen = step.handled in UNANSWERED if chosen is None else one.key in chosen
    redo = Redo()
    is_wanted_inside = is_chosen or chosen is not None  # else what failed inside has been dealt with as its failure
    if is_wanted_inside and is_reopenable(one) and step.block != "fallback":
        for inner in tree.inside(one, step):
            redo.take(failed_again(tree, None if is_chosen else chosen, inner))
        if redo.reset:
            redo.reopened[one.key] = step.iteration
            return redo
    if is_chosen:
        _reset(tree, redo, one)
        for link in one.node.links:
            stand_in = one.region.key_of(link.target.name)
            if link.on == "fallback" and stand_in in tree.run.state.steps:
                _reset(tree, redo, Instance(link.target, one.region, one.region.visit_of(link.target.name)))
    return redo


def _cancelled(tree: Tree, one: Instance, step: StepState) -> Redo:
    """A construct that was stopped keeps what had completed in it, and goes on."""
    redo = Redo()
    regions = tree.inside(one, step) if is_reopenable(one) else []
    if not regions:
        _reset(tree, redo, one)
        return redo
    for inner in regions:
        for each, inner_step in tree.of(inner):
            if inner_step.status is StepStatus.CANCELLED and inner_step.reason.endswith(_BY_FAILURE):
                redo.take(_cancelled(tree, each, inner_step))
            elif inner_step.status is StepStatus.FAILED:
                redo.take(_failed(tree, each, inner_step, None))
            elif inner_step.reason == "dead_path":
                redo.reset[each.key] = None
    redo.reopened[one.key] = step.iteration
    return redo


def _reset(tree: Tree, redo: Redo, one: Instance) -> None:
    redo.reset[one.key] = None
    redo.reset.update(dict.fromkeys(inside_keys(tree, one)))


# ── From a step on ───────────────────────────────────────────────────────────────────────────────────────────────────


def from_step(tree: Tree, one: Instance, *, keep_items: bool = False) -> Redo:
    """What runs again when a step does: all behind it, and the constructs around it.

    Raises:
        Conflict: code `never-executed`; `no-items` when items are to be kept and there are none, or none to run again;
            `cannot-reopen` inside of a construct that cannot begin in its middle.
    """
    redo = Redo()
    step = tree.run.state.steps[one.key]
    if step.status is StepStatus.SKIPPED or (step.status is StepStatus.CANCELLED and not step.attempts):
        raise Conflict(f"step {one.key!r} has not run: it was {step.status}", code="never-executed")
    if keep_items:
        redo.take(_failed_items(tree, one, step))
    else:
        _reset(tree, redo, one)
    while True:
        _reset_behind(tree, redo, one)
        owner = one.region.owner
        if owner is None:
            return redo
        check_reopens(owner, tree.run.state.steps[owner.key], one.key)
        redo.reopened[owner.key] = _round_of(tree, redo, one, owner)
        one = owner


def _failed_items(tree: Tree, one: Instance, step: StepState) -> Redo:
    redo = Redo()
    if one.node.kind != "for_each":
        raise Conflict(f"step {one.key!r} has no for_each: there are no items to keep", code="no-items")
    because = _why_not_kept(one, step)
    if because:
        message = f"step {one.key!r} cannot keep its items: {because}"
        raise Conflict(message, code="cannot-reopen", hint=f"run {one.key!r} again as a whole")
    for region in tree.inside(one, step):
        for item, item_step in tree.of(region):
            if item_step.status not in (StepStatus.COMPLETED, StepStatus.SKIPPED):
                _reset(tree, redo, item)
    if not redo.reset:
        raise Conflict(f"all items of step {one.key!r} have completed: there is nothing to run again", code="no-items")
    redo.reopened[one.key] = step.iteration
    return redo


def _why_not_kept(one: Instance, step: StepState) -> str:
    if step.block == "fallback":
        return "it failed, and something else stands in for it"
    if step.status is not StepStatus.RUNNING and not is_reopenable(one):
        return "it has given its lock back"
    return ""


def _reset_behind(tree: Tree, redo: Redo, one: Instance) -> None:
    """Everything in the region that can be reached from the step; where steps run in circles, what came after it."""
    since = tree.run.state.steps[one.key].order
    names = {node.name for node in behind(one.node)}
    in_circles = one.region.graph.is_cyclic
    for other, step in tree.of(one.region):
        if other.node.name not in names or other.key == one.key:
            continue
        came_later = bool(since) and (not step.order or step.order > since)
        if not in_circles or came_later or (other.node.is_stand_in and not step.order):
            _reset(tree, redo, other)


def _round_of(tree: Tree, redo: Redo, one: Instance, owner: Instance) -> int:
    """The latest round of the construct that has then begun: where rounds follow each other, that of the step."""
    step = tree.run.state.steps[owner.key]
    if owner.node.kind not in _ORDERED:
        return step.iteration
    index = int(one.region.path.rpartition(",")[2])
    for region in tree.inside(owner, step):
        if int(region.path.rpartition(",")[2]) > index:
            for each, _ in tree.of(region):
                _reset(tree, redo, each)
    return index


# ── Doing it ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def check_deadline(turn: Turn, verb: str) -> None:
    """Refuse to let an execution go on that would be ended at once.

    Raises:
        Conflict: code `deadline-passed`.
    """
    deadline = turn.state.deadline
    if deadline is not None and turn.at >= deadline and turn.state.status in ENDED_EXECUTION:
        because = f"its deadline passed at {to_rfc3339(deadline)}"
        raise Conflict(
            f"execution {turn.state.id} cannot be {DONE[verb]}: {because}",
            code="deadline-passed",
            hint="start a new one, or fork it",
        )


def carry_out(
    turn: Turn,
    redo: Redo,
    said: Intervened,
    *,
    anew: bool,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    settled: str = "",
) -> None:
    """Record that steps run again, and have the run as if it had always been so.

    Args:
        anew: it is other work, rather than further tries of the same.
        settings: what is put over the rendered settings of steps, by key.
        settled: the key of a step whose end is said in this turn.
    """
    run, state = turn.run, turn.state
    covers = {key: _sealed_alike(run, key, dict(given)) for key, given in (settings or {}).items()}
    left_letters = state.status is ExecutionStatus.FAILED
    was_at_its_end = state.status in ENDED_EXECUTION or state.hooks_began
    turn.emit(said)
    if was_at_its_end:
        redo.reset.update(dict.fromkeys(_of_the_end(run)))
    withdraw(turn, redo.reset, f"{said.verb} by {said.by}")
    for key in redo.reset:
        reset_step(turn, key, anew=anew, settings=covers.get(key), had_letter=left_letters)
    reopened = {key: iteration for key, iteration in redo.reopened.items() if key not in redo.reset}
    for key, iteration in reopened.items():
        reopen(turn, key, iteration)
    rebuild(turn, settled)
    for key in reopened:
        wake(turn, key)


def withdraw(turn: Turn, keys: Collection[str], reason: str) -> None:
    """Stop those of these instances that have not ended."""
    for key in keys:
        one = turn.run.open_instance(key)
        if one is None:
            continue
        lock = turn.state.steps[key].lock
        cancel(turn, one, reason)
        if lock:
            turn.command(ReleaseLock(lock, key))


def reset_step(
    turn: Turn, key: str, *, anew: bool, settings: dict[str, Any] | None = None, had_letter: bool = False
) -> None:
    """Let it be as if the step had not run, if it has."""
    step = turn.state.steps.get(key)
    if step is None:
        return
    if had_letter and step.status is StepStatus.FAILED:
        turn.command(ResolveDeadLetter(f"{turn.state.id}/{key}/{step.order}"))
    if step.status not in ENDED_STEP and step.lock:
        turn.command(ReleaseLock(step.lock, key))
    turn.emit(StepReset(turn.at, key, anew, settings))


def _of_the_end(run: Run) -> list[str]:
    """What ran because the execution was at its end: hooks, and what tried to undo."""
    plan = run.plan
    names = {name for graph in (plan.hooks, plan.undoing) for name in names_in(graph)}
    return [key for key in run.state.steps if _name_of(key) in names or _last_part(key) in (UNDO, INSTEAD)]


def _name_of(key: str) -> str:
    return split_key(key)[0]


def _last_part(key: str) -> str:
    return split_key(key)[1].rpartition(",")[2]


def reopen(turn: Turn, key: str, iteration: int) -> None:
    """Let a construct run again, with all the time that it is given."""
    node = turn.run.plan.node_of(key)
    timeout = node.timeout if node is not None else None
    turn.emit(StepReopened(turn.at, key, iteration, turn.at + timeout if timeout is not None else None))


def rebuild(turn: Turn, settled: str = "") -> None:
    """Count again from the state; `settled` is the key of a step whose end is said in this turn."""
    turn.run.become(run_of(turn.run.plan, turn.state, settled))
    turn.through.clear()


def wake(turn: Turn, key: str) -> None:
    """A construct that was reopened, and of which nothing is open, looks at what it has."""
    one = turn.run.open_instance(key)
    if one is None or one.regions:
        return
    regions = list(inner_regions(turn.run, one, turn.state.steps[key]))
    if regions:
        restore(turn.run, regions[-1], by_path(turn.run))
        one.regions = {regions[-1].path: regions[-1]}
        turn.through.append(regions[-1])


def _sealed_alike(run: Run, key: str, given: dict[str, Any]) -> dict[str, Any]:
    """What is put over settings, sealed where they were."""
    one = Tree(run).find(key)
    before: Any = run.state.steps[key].input
    if before is None and one.node.kind == "leaf":
        try:
            before = assignment_again(run, one).config
        except ExpressionError:
            before = None
    before = before if isinstance(before, dict) else {}
    return {name: Sealed(value) if _has_secret(before.get(name)) else value for name, value in given.items()}


def _has_secret(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_secret, value.values()))
    return any(map(_has_secret, value)) if isinstance(value, list) else isinstance(value, SECRETS)
