"""What runs again and again: `for_each` over a step, `loop` over a block, `repeat` of a step.

Rounds are counted from 0. Those over items may run side by side, in the order of the items; their results stand in that
order too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stepwell.base.durations import parse_duration
from stepwell.base.errors import ErrorInfo
from stepwell.decider.advance import open_region
from stepwell.decider.blocks import SHOWN, began_at, begin, is_cut_short, left_over, outputs, withdraw
from stepwell.decider.failure import fail, fail_or_retry, retry_result
from stepwell.decider.graph import Graph
from stepwell.decider.inner import Rounds
from stepwell.decider.keys import instance_key
from stepwell.decider.leaf import complete
from stepwell.decider.region import Instance, Region
from stepwell.decider.run import Run
from stepwell.decider.scope import succeeded_outcome
from stepwell.decider.turn import Turn
from stepwell.decider.values import expression_failure, storable
from stepwell.execution.history import IterationStarted, StepSkipped
from stepwell.execution.state import StepState
from stepwell.execution.status import ENDED_STEP, StepStatus
from stepwell.expression.errors import ExpressionError
from stepwell.expression.template import Template


def start(turn: Turn, one: Instance) -> None:
    """Find out what it runs for, and begin the first rounds.

    Raises:
        ExpressionError: what it runs for cannot be evaluated.
    """
    rule = _rule(one)
    items, problem = _items(turn, one, rule)
    if problem is not None:
        fail(turn, one, ErrorInfo("invalid_items", problem), turn.at)
        return
    begin(turn, one, items=items)
    _go_on(turn, one)


def _rule(one: Instance) -> Rounds:
    rule = one.node.inner
    assert isinstance(rule, Rounds), "compiled for this kind"
    return rule


def _items(turn: Turn, one: Instance, rule: Rounds) -> tuple[list[Any] | None, str | None]:
    """What it runs for (numbers, when it says how often; None when a condition decides), or what is wrong with it."""
    if rule.items is not None:
        items = storable(turn.render(one, rule.items, "items"))
        if not isinstance(items, list):
            return None, f"the items must be a list, not {type(items).__name__}"
        if rule.batch is not None:
            items = [items[at : at + rule.batch] for at in range(0, len(items), rule.batch)]
        return items, None
    if rule.count is not None:
        count = turn.render(one, rule.count, "count")
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            return None, f"the count must be a number of rounds, not {count!r}"
        return list(range(count)), None
    return None, None


def look(turn: Turn, one: Instance, region: Region) -> None:
    """A round may be through: then the next ones begin, or all is over."""
    if not region.is_through or one.regions is None or one.regions.pop(region.path, None) is not region:
        return
    if not region.stopped and region.failure is None:
        region.failure = left_over(turn, region)
    if region.failure is not None and not _rule(one).goes_on:
        index = int(region.path.rpartition(",")[2])
        if one.failure is None or index < one.failed_round:  # of several the first in order answers, whenever it failed
            one.failure, one.failed_round = region.failure, index
    _go_on(turn, one)


def _go_on(turn: Turn, one: Instance) -> None:
    """Begin as many further rounds as may run, or end."""
    rule, step = _rule(one), turn.state.steps[one.key]
    try:
        wants_more = False
        while _goes_on(one) and _has_place(turn, one, rule):
            wants_more = _wants_more(turn, one, rule, step)
            if not wants_more or one.region.stopped:
                break
            _begin_round(turn, one, rule, step)
        if one.regions:
            return
        if one.failure is not None:
            fail_or_retry(turn, one, _error(turn, one, rule, step), began_at(turn, one))
        elif wants_more or (one.region.stopped and _is_cut_short(turn, one, step)):
            withdraw(turn, one)
        else:
            _complete(turn, one, _results(turn, one, rule, step))
    except ExpressionError as error:
        fail(turn, one, expression_failure(error), began_at(turn, one))


def _goes_on(one: Instance) -> bool:
    """Whether further rounds may begin: not after a failure, except that, where branches are separate, items begin as
    long as others are at work."""
    return one.failure is None or (one.node.graph.separate and bool(one.regions))


def _complete(turn: Turn, one: Instance, results: Any) -> None:
    """All rounds are through: it is completed, unless its results ask for another try."""
    started_at = began_at(turn, one)
    if not one.node.retry.asks_result or not retry_result(turn, one, results, started_at):
        complete(turn, one, results, started_at)


def _is_cut_short(turn: Turn, one: Instance, step: StepState) -> bool:
    """Whether a round has steps that did not run, because what is around the construct was stopped."""
    if _rule(one).kind != "loop":
        keys = (_key(one, step, one.node.name, index) for index in range(step.iteration + 1))
        statuses = [turn.step(key).status for key in keys]
        return any(status is StepStatus.CANCELLED or status not in ENDED_STEP for status in statuses)
    return any(is_cut_short(turn, _region(turn.run, one, step, index)) for index in range(step.iteration + 1))


def _has_place(turn: Turn, one: Instance, rule: Rounds) -> bool:
    """Whether one more round may run beside those that do; where a condition decides, rounds follow each other."""
    running = len(one.regions or ())
    if rule.items is None and rule.count is None:
        return running == 0
    return running < _number(turn, one, rule.concurrency, "concurrency")


def _wants_more(turn: Turn, one: Instance, rule: Rounds, step: StepState) -> bool:
    """Whether another round is to run.

    Raises:
        ExpressionError: that cannot be evaluated, or it would be one too many.
    """
    following = step.iteration + 1
    if step.items is not None:
        return following < len(step.items)
    if rule.before is not None:
        wanted = rule.before.holds(turn.scope(one, f"while/{following}"))
    elif rule.after is not None and following:
        wanted = _holds_after(turn, one, rule, step) != rule.until
    else:
        wanted = True
    if wanted and following >= _number(turn, one, rule.limit, "max_iterations"):
        raise ExpressionError(f"it has run {following} times, which is its max_iterations, and would run again")
    return wanted


def _holds_after(turn: Turn, one: Instance, rule: Rounds, step: StepState) -> bool:
    """The condition that is looked at after a round; it sees what the round gave."""
    assert rule.after is not None, "asked for only where there is one"
    purpose = f"until/{step.iteration}"
    if rule.kind != "repeat":
        return rule.after.holds(turn.scope(one, purpose))
    body = turn.step(_key(one, step, one.node.name, step.iteration))
    names = {**turn.run.names.finishing(one, body, {}), "response": body.output}
    return rule.after.holds(turn.scope(one, purpose, names, succeeded_outcome(body.output)))


def _number(turn: Turn, one: Instance, template: Template, what: str) -> int:
    value = turn.render(one, template, what)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ExpressionError(f"{what} must be a number of at least 1, not {value!r}", code="wrong-type")
    return value


def _begin_round(turn: Turn, one: Instance, rule: Rounds, step: StepState) -> None:
    index = step.iteration + 1
    turn.emit(IterationStarted(turn.at, one.key, index))
    region = _region(turn.run, one, step, index)
    if rule.only is not None:
        body = Instance(region.graph.nodes[one.node.name], region)
        if not rule.only.holds(turn.scope(body, "for_each/when")):
            turn.emit(StepSkipped(turn.at, body.key, "condition", "the condition of its item does not hold"))
            return
    open_region(turn, region, _delay(turn, one, rule) if index else 0)


def _delay(turn: Turn, one: Instance, rule: Rounds) -> int:
    if isinstance(rule.delay, int):
        return rule.delay
    try:
        return parse_duration(turn.render(one, rule.delay, "delay"))
    except ValueError as error:
        raise ExpressionError(f"delay: {error}", code="wrong-type") from None


def _graph(one: Instance) -> Graph:
    return one.node.blocks["steps" if one.node.kind == "loop" else "body"]


def _region(run: Run, one: Instance, step: StepState, index: int) -> Region:
    names = _rule(one).names(step.items, index)
    return Region(_graph(one), one, one.inner_path(step.attempts, index), names, holds_on=run.plan.drains)


def _key(one: Instance, step: StepState, name: str, index: int) -> str:
    return instance_key(name, one.inner_path(step.attempts, index))


def _results(turn: Turn, one: Instance, rule: Rounds, step: StepState) -> Any:
    """Of `for_each` the outputs of the items in their order, null where there is none; of a loop what the steps of each
    round gave, by name; of a repetition what the last round gave."""
    count = step.iteration + 1
    if rule.kind == "loop":
        return [outputs(turn, _region(turn.run, one, step, index)) for index in range(count)]
    steps = [turn.step(_key(one, step, one.node.name, index)) for index in range(count)]
    if rule.kind == "repeat":
        return steps[-1].output if steps else None
    return [
        body.output if body.status is StepStatus.COMPLETED or body.handled == "fallback" else None for body in steps
    ]


def _error(turn: Turn, one: Instance, rule: Rounds, step: StepState) -> ErrorInfo:
    """What went wrong: of a loop or a repetition in its round, of `for_each` in which items."""
    assert one.failure is not None, "asked for only after a failure"
    if rule.kind != "for_each":
        return one.failure
    failed = []
    for index in range(step.iteration + 1):
        body = turn.step(_key(one, step, one.node.name, index))
        if body.status is StepStatus.FAILED and body.handled == "up" and body.error is not None:
            failed.append((index, body.error))
    if not failed:
        return one.failure
    first, error = failed[0]
    message = f"{len(failed)} of {len(step.items or ())} items failed; item {first}: {error.message}"
    errors = [{"index": index, "error": each.as_dict()} for index, each in failed[:SHOWN]]
    if one.node.graph.separate and any(each.type == "expression_error" for _, each in failed):
        return ErrorInfo("expression_error", message)
    retryable = all(each.retryable for _, each in failed)
    if all(each.type == "timeout" for _, each in failed):
        return ErrorInfo("timeout", message, details={"errors": errors}, retryable=retryable)
    return ErrorInfo("items_failed", message, details={"errors": errors}, retryable=retryable)


def reopen(run: Run, one: Instance, step: StepState) -> Iterator[Region]:
    """The rounds that have begun; those that are through are recognised by having nothing open."""
    rule = _rule(one)
    for index in range(step.iteration + 1):
        region = _region(run, one, step, index)
        if rule.only is not None:
            body = run.state.steps.get(_key(one, step, one.node.name, index))
            if body is not None and body.status is StepStatus.SKIPPED:
                continue
        yield region
