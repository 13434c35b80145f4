"""Steps as a native document writes them."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from stepwell.definition.blocks import ITEM_NAMES
from stepwell.definition.model import (
    Bulkhead,
    Cache,
    CircuitBreaker,
    Dependency,
    Edge,
    FailureAction,
    Iteration,
    RateLimit,
    Repetition,
    Step,
)
from stepwell.dialects.native import policies
from stepwell.dialects.native.parts import duration, given

_ON = {"failure": "on_failure", "timeout": "on_timeout", "complete": "on_complete"}


def steps(written: Iterable[Step]) -> list[dict[str, Any]]:
    """A list of steps."""
    return [step(each) for each in written]


def step(written: Step) -> dict[str, Any]:
    """One step, those in its blocks included."""
    return {
        "name": written.name,
        "type": written.type,
        **given(
            description=written.description,
            depends_on=[_dependency(each) for each in written.depends_on],
            join=written.join,
            when=written.when,
            config=settings(written),
            output=written.output,
            publish=dict(written.publish),
            for_each=_iteration(written.for_each),
            repeat=_repetition(written.repeat),
            retry=policies.retry(written.retry),
            timeout=duration(written.timeout),
            delay=duration(written.delay or None),
            **edges(written.edges),
        ),
        **_actions(written),
        **_limits(written),
    }


def settings(written: Step) -> dict[str, Any]:
    """The settings of a step with the steps of its blocks in their places."""
    config: dict[str, Any] = deepcopy(dict(written.config))
    for name, nested in written.blocks:
        _put(config, name, steps(nested))
    return config


def edges(written: Iterable[Edge]) -> dict[str, Any]:
    """The keys that say the edges of a step."""
    found: dict[str, list[Any]] = {}
    for edge in written:
        if edge.decision is not None:
            found.setdefault("decision", []).append(_branch(edge))
        elif edge.on in _ON and edge == Edge(to=edge.to, on=edge.on, path=edge.path) and edge.to:
            found.setdefault(_ON[edge.on], []).extend(edge.to)
        else:
            found.setdefault("next", []).append(_next(edge))
    return found


def _put(config: dict[str, Any], name: str, nested: list[dict[str, Any]]) -> None:
    """Put steps back where they stood: at `then`, `cases.0`, `states.open.on_enter` and the like."""
    kind, _, rest = name.partition(".")
    if kind == "cases":
        config["cases"][int(rest)]["steps"] = nested
    elif kind != "states":
        config[name] = nested
    elif rest.endswith(".on_enter"):
        config["states"][rest.removesuffix(".on_enter")]["on_enter"] = nested
    else:
        state, _, transition = rest.rpartition(".transitions.")
        config["states"][state]["transitions"][int(transition)]["actions"] = nested


def _dependency(dependency: Dependency) -> Any:
    return dependency.step if dependency.on == "satisfied" else {"step": dependency.step, "on": dependency.on}


def _branch(edge: Edge) -> dict[str, Any]:
    to = list(edge.to) if len(edge.to) != 1 else edge.to[0]
    return {"default": True, "next": to} if edge.when is None else {"when": edge.when, "next": to}


def _next(edge: Edge) -> dict[str, Any]:
    when = edge.when
    if when is None and edge.on in _OUTCOMES:
        when = _OUTCOMES[edge.on]
    return given(
        when=when,
        to=list(edge.to),
        publish=dict(edge.publish),
        delay=duration(edge.delay or None),
        handles=None if edge.handles else False,
        ends=edge.ends or None,
    )


_OUTCOMES = {"failure": "{{ failed() }}", "timeout": "{{ timed_out() }}"}


def _iteration(iteration: Iteration | None) -> dict[str, Any] | None:
    if iteration is None:
        return None
    names = (iteration.as_name, iteration.index_name)
    return {
        "items": iteration.items,
        **given(
            **{key: name for key, name, usual in zip(("as", "index"), names, ITEM_NAMES, strict=True) if name != usual},
            batch_size=iteration.batch_size,
            concurrency=iteration.concurrency,
            when=iteration.when,
            on_error=iteration.on_error if iteration.on_error != "fail" else None,
        ),
    }


def _repetition(repetition: Repetition | None) -> dict[str, Any] | None:
    if repetition is None:
        return None
    return given(
        **{"until" if repetition.until else "while": repetition.condition},
        max_iterations=repetition.max_iterations,
        delay=duration(repetition.delay or None),
    )


def _actions(written: Step) -> dict[str, Any]:
    return given(
        on_failure=_action(written.on_failure),
        on_timeout=_action(written.on_timeout),
        compensate=policies.body(written.compensate) if written.compensate is not None else None,
    )


def _action(action: FailureAction | None) -> dict[str, Any] | None:
    if action is None:
        return None
    return {
        "action": action.action,
        **given(
            message=action.message,
            max_attempts=action.max_attempts,
            compensation_workflow=action.compensation_workflow,
            notify=action.notify,
        ),
        **({"fallback": policies.fallback(action.fallback)} if action.fallback is not None else {}),
    }


def _limits(written: Step) -> dict[str, Any]:
    return given(
        circuit_breaker=_policy(written.circuit_breaker),
        bulkhead=_policy(written.bulkhead),
        rate_limit=_policy(written.rate_limit),
        queue={"name": written.queue, "labels": dict(written.labels)} if written.labels else written.queue,
        resources=written.resources,
        cache=_cache(written.cache),
        checkpoint=written.checkpoint,
        max_visits=written.max_visits,
        mutex=policies.mutex(written.mutex),
        cancels=list(written.cancels),
        milestone=policies.milestone(written.milestone),
        parallel=written.parallel,
    )


def _policy(policy: CircuitBreaker | Bulkhead | RateLimit | str | None) -> Any:
    match policy:
        case CircuitBreaker():
            return policies.breaker(policy)
        case Bulkhead():
            return policies.bulkhead(policy)
        case RateLimit():
            return policies.rate_limit(policy)
        case _:
            return policy


def _cache(cache: Cache | None) -> dict[str, Any] | None:
    return given(key=cache.key, ttl=duration(cache.ttl)) if cache is not None else None
