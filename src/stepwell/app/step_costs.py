"""What one step comes to at worst: by its type and timeout, its retries, its items and rounds.

What a step waits for that other executions hold (a lock, a place in a bulkhead) counts where a timeout bounds it, and
is left out otherwise; so is the wait for a place on a worker.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from stepwell.app.worst_case import (
    NOTHING,
    UNKNOWN,
    Bound,
    Cost,
    cut_off,
    one_after_the_other,
    one_of,
    pauses_between,
    repeated,
    smallest,
    times,
    wait,
    work,
)
from stepwell.base.durations import parse_duration
from stepwell.definition.model import (
    CONTROL_TYPES,
    Bulkhead,
    CircuitBreaker,
    FailureAction,
    Iteration,
    Step,
    StepBody,
    WorkflowConfig,
)
from stepwell.expression.errors import ExpressionError
from stepwell.expression.scope import Scope
from stepwell.expression.template import compile_template
from stepwell.policy.retry import Backoff, RetryPolicy
from stepwell.ports.services import Service
from stepwell.tasks.settings import HTTP_TIMEOUT

_EVENT_TIMEOUT: Final = "1h"
"""Of a `wait_for_event` that names none."""
_ITERATIONS: Final = 100
"""Of a `loop` that does not say how often it may go round."""
_TRIES: Final = 3
"""What `on_failure: {action: retry}` means when nothing says how often."""
_SERVICE_TIMEOUT: Final = Service(name="", url="").timeout


class Unbounded(msgspec.Struct, frozen=True, kw_only=True):
    """A step that nothing bounds, and why: `reason` is a clause about it. Its `duration`, its `attempts`, or both."""

    step: str
    reason: str
    duration: bool = True
    attempts: bool = False


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What the cost of a step depends on beside the step: its workflow's settings, and the timeouts of services."""

    config: WorkflowConfig
    services: Mapping[str, int]


class StepCost(msgspec.Struct, frozen=True, kw_only=True):
    """What a step comes to at worst.

    Attributes:
        cost: all its runs, once it is due.
        runs: how often its work is done then: for every item, in every round of `repeat`.
        tries: how often one run is tried.
        backoff: the time between the tries of one run together.
        timeout: the bound on one try, or on one wait; None when there is none or it is not known.
        rounds: how often the steps nested in it run, in one try.
        unbounded: what keeps the figures from having a bound.
    """

    cost: Cost
    runs: Bound = 1
    tries: int = 1
    backoff: int = 0
    timeout: Bound = None
    rounds: Bound = 1
    unbounded: tuple[Unbounded, ...] = ()


class Once(NamedTuple):
    """One try of a step; why it has no bound if it has none; and how often the steps nested in it run."""

    cost: Cost
    reason: str | None = None
    rounds: Bound = 1


def step_cost(step: Step, blocks: Mapping[str, Cost], around: Surroundings) -> StepCost:
    """What a step comes to, given what the groups of steps nested in it come to, by the name of the block."""
    limit = _timeout(step, around)
    once = _once(step, blocks, limit, around)
    unbounded = list(_unbounded(step, once.cost, once.reason))
    tries, backoff = retries_of(step, around.config.retry)
    cost, runs = _run(step, once.cost, tries, backoff, around), 1
    if step.repeat is not None:
        runs = step.repeat.max_iterations
        cost = repeated(cost, runs, rounds=runs, pauses=pauses_between(runs, step.repeat.delay))
    items: Bound = 1
    if step.for_each is not None:
        items = _batches(step.for_each)
        at_once = step.for_each.concurrency  # an expression may say one at a time
        cost = repeated(cost, items, rounds=_rounds(items, at_once if isinstance(at_once, int) else 1))
        if items is None:
            unbounded += _unbounded(step, cost, "only a run knows how many items it has")
    held = step.delay + (step.mutex.timeout or 0 if step.mutex is not None else 0)
    return StepCost(
        cost=one_after_the_other(cost, wait(held)) if held else cost,
        runs=times(items, runs),
        tries=tries,
        backoff=backoff,
        timeout=limit,
        rounds=once.rounds,
        unbounded=tuple(unbounded),
    )


def body_cost(body: StepBody, around: Surroundings) -> Cost:
    """What a step without a place in the graph comes to: a compensation, a fallback."""
    step = Step(name="", type=body.type, config=body.config, retry=body.retry, timeout=body.timeout)
    return step_cost(step, {}, around).cost


def _run(step: Step, once: Cost, tries: int, backoff: int, around: Surroundings) -> Cost:
    """Every try of one run, and what may take its place after the last one."""
    tried = repeated(once, tries, rounds=tries, pauses=backoff)
    bulkhead = _policy(step.bulkhead, around)
    holders = (step.on_failure, step.on_timeout, bulkhead if isinstance(bulkhead, Bulkhead) else None)
    fallbacks = [each.fallback.body for each in holders if each is not None and each.fallback is not None]
    if not fallbacks:
        return tried
    return one_after_the_other(tried, one_of([body_cost(body, around) for body in fallbacks if body is not None]))


def _unbounded(step: Step, cost: Cost, reason: str | None) -> Iterator[Unbounded]:
    endless, countless = cost.span is None, cost.attempts is None
    if reason is not None and (endless or countless):
        yield Unbounded(step=step.name, reason=reason, duration=endless, attempts=countless)


# Retries


def retries_of(step: Step, default: RetryPolicy | None) -> tuple[int, int]:
    """How often one run of a step is tried at worst, and the time between its tries together."""
    policies = [_policy_of(step, step.on_failure, default)]
    if step.on_timeout is not None:
        policies.append(_policy_of(step, step.on_timeout, default))
    return max(each.max_attempts for each in policies), max(_pauses(each) for each in policies)


def _policy_of(step: Step, action: FailureAction | None, default: RetryPolicy | None) -> RetryPolicy:
    """What the action says goes before the step's own policy, and that before the workflow's (of work that is done)."""
    policy = step.retry or (default if step.type not in CONTROL_TYPES else None)
    if action is not None and action.action == "retry":
        tries = action.max_attempts or (policy.max_attempts if policy is not None else _TRIES)
        return msgspec.structs.replace(policy or RetryPolicy(), max_attempts=tries)
    return policy or RetryPolicy()


def _pauses(policy: RetryPolicy) -> int:
    if policy.max_attempts == 1:
        return 0
    return _longest_total(
        policy.max_attempts, policy.backoff, policy.initial_delay, policy.max_delay, policy.multiplier, policy.jitter
    )


@functools.lru_cache(maxsize=256)
def _longest_total(
    tries: int, backoff: Backoff, first: int, longest: int | None, multiplier: float, jitter: float
) -> int:
    """Worked out once for each policy: many steps have the same, and there may be a thousand waits to add up."""
    policy = RetryPolicy(
        max_attempts=tries,
        backoff=backoff,
        initial_delay=first,
        max_delay=longest,
        multiplier=multiplier,
        jitter=jitter,
    )
    return policy.longest_total()


# One try


def _once(step: Step, blocks: Mapping[str, Cost], limit: Bound, around: Surroundings) -> Once:
    control = _CONTROL.get(step.type)
    if control is None:
        return _leaf(step, limit, around)
    once = control(step, blocks)
    return once._replace(cost=cut_off(once.cost, step.timeout)) if step.timeout is not None else once


def _leaf(step: Step, limit: Bound, around: Surroundings) -> Once:
    if limit is None:
        return Once(work(None), _LATER if _names_timeout(step) else "it has no timeout")
    queue = _policy(step.bulkhead, around)
    held = queue.timeout or 0 if isinstance(queue, Bulkhead) and queue.max_queue_size else 0
    return Once(work(limit + held))


_LATER: Final = "only a run knows its timeout"


def _timeout(step: Step, around: Surroundings) -> Bound:
    """The bound on one try of work, or on one wait."""
    breaker = _policy(step.circuit_breaker, around)
    called = breaker.call_timeout if isinstance(breaker, CircuitBreaker) else None
    return smallest((step.timeout, called, _own_timeout(step, around)))


def _own_timeout(step: Step, around: Surroundings) -> Bound:
    """What the settings of the type say, or what holds where they say nothing."""
    written = step.config.get("timeout")
    match step.type:
        case "http":
            return _duration(written) if written is not None else HTTP_TIMEOUT
        case "service_call":
            return _duration(written) if written is not None else _service_timeout(step.config.get("service"), around)
        case "wait_for_event":
            return _duration(written if written is not None else _EVENT_TIMEOUT)
        case "shell" | "approval":
            return _duration(written)
        case "wait":
            return _duration(step.config.get("for"))
        case "validation":
            return _validation_timeout(step.config.get("validation_rules"), around)
        case "transform" | "input" | "process" | "output":
            return 0  # they compute, and nothing else
        case _:
            return None


def _names_timeout(step: Step) -> bool:
    return step.type in ("http", "service_call", "shell", "approval", "wait_for_event") and "timeout" in step.config


def _service_timeout(name: Any, around: Surroundings) -> int:
    return around.services.get(name, _SERVICE_TIMEOUT) if isinstance(name, str) else _SERVICE_TIMEOUT


def _validation_timeout(rules: Any, around: Surroundings) -> int:
    """Rules that services check are asked for one after the other; all others compute."""
    called = [rule["service"] for rule in rules or () if isinstance(rule, dict) and rule.get("service") is not None]
    return sum(_service_timeout(name, around) for name in called)


def _policy(named: Any, around: Surroundings) -> Any:
    """A policy that is written in the step, or declared by the workflow; None for one of the configuration."""
    return around.config.policies.get(named) if isinstance(named, str) else named


# Control steps


def _at_once(step: Step, blocks: Mapping[str, Cost]) -> Once:
    return Once(NOTHING)


def _wait(step: Step, blocks: Mapping[str, Cost]) -> Once:
    return Once(wait(_duration(step.config.get("for"))), "only a run knows how long it waits")


def _wait_for_event(step: Step, blocks: Mapping[str, Cost]) -> Once:
    written = step.config.get("timeout")
    return Once(wait(_duration(written if written is not None else _EVENT_TIMEOUT)), _LATER)


def _approval(step: Step, blocks: Mapping[str, Cost]) -> Once:
    time = _duration(step.config.get("timeout"))
    return Once(wait(time), _LATER if _names_timeout(step) else "it waits for a person, and has no timeout")


def _workflow(step: Step, blocks: Mapping[str, Cost]) -> Once:
    if step.config.get("wait") is False:
        return Once(NOTHING)
    return Once(wait(None), "it waits for another workflow, and has no timeout")


def _conditional(step: Step, blocks: Mapping[str, Cost]) -> Once:
    return Once(one_of(list(blocks.values())))


def _parallel_group(step: Step, blocks: Mapping[str, Cost]) -> Once:
    return Once(blocks.get("steps", NOTHING))


def _loop(step: Step, blocks: Mapping[str, Cost]) -> Once:
    settings = step.config
    count, pause = _iterations(settings), _duration(settings.get("delay") or 0)
    by_condition = settings.get("items") is None and settings.get("count") is None
    width = _constant(settings.get("concurrency")) if not by_condition else None
    rounds = _rounds(count, width if isinstance(width, int) else 1)
    cost = repeated(blocks.get("steps", NOTHING), count, rounds=rounds, pauses=pauses_between(rounds, pause))
    reason = "only a run knows how often it goes round" if count is None else "only a run knows its delay"
    return Once(cost, reason if count is None or pause is None else None, count)


def _iterations(settings: Mapping[str, Any]) -> Bound:
    """How often a loop goes round. Only one with a condition heeds `max_iterations`: all others know their number."""
    if settings.get("items") is not None:
        return _count(settings["items"])
    counted = settings.get("count")
    limit = _constant(counted if counted is not None else settings.get("max_iterations", _ITERATIONS))
    return limit if isinstance(limit, int) else None


def _state_machine(step: Step, blocks: Mapping[str, Cost]) -> Once:
    return Once(UNKNOWN, "only a run knows which events come to it, and when", None)


def _dynamic(step: Step, blocks: Mapping[str, Cost]) -> Once:
    return Once(UNKNOWN, "only a run knows its steps", None)


_CONTROL: Final[Mapping[str, Callable[[Step, Mapping[str, Cost]], Once]]] = {
    "set": _at_once,
    "noop": _at_once,
    "fail": _at_once,
    "checkpoint": _at_once,
    "wait": _wait,
    "wait_for_event": _wait_for_event,
    "approval": _approval,
    "workflow": _workflow,
    "conditional": _conditional,
    "parallel_group": _parallel_group,
    "loop": _loop,
    "state_machine": _state_machine,
    "dynamic": _dynamic,
}


# What is known before anything runs


def _constant(written: Any) -> Any:
    """The value of a setting that depends on nothing; None when it does."""
    if not isinstance(written, str):
        return written
    try:
        template = compile_template(written, problems=[])
        return template.render(Scope({})) if not template.references and not template.functions else None
    except ExpressionError:
        return None


def _duration(written: Any) -> Bound:
    value = _constant(written)
    try:
        return parse_duration(value) if value is not None else None
    except ValueError:
        return None


def _count(items: Any) -> Bound:
    value = _constant(items)
    return len(value) if isinstance(value, list) else None


def _rounds(count: Bound, at_once: int) -> Bound:
    """How often so many follow each other when some run at once."""
    return None if count is None else -(-count // at_once)


def _batches(iteration: Iteration) -> Bound:
    """How often a step runs for its items: once for each, or for each batch of them."""
    return _rounds(_count(iteration.items), iteration.batch_size or 1)
