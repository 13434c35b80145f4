"""Workflows made at random: steps of every kind that runs, edges, joins, conditions, actions, retries, bounds."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from stepwell.definition.model import (
    Action,
    Dependency,
    DependencyOn,
    Edge,
    EdgeOn,
    ErrorStrategy,
    FailureAction,
    Join,
    Step,
    WorkflowDefinition,
)
from stepwell.policy.retry import RetryPolicy
from tests.decider.story import SECOND, step, workflow

_PREDICATES: tuple[DependencyOn, ...] = (
    "satisfied", "satisfied", "satisfied", "satisfied", "complete", "complete", "success", "failure", "timeout",
    "skipped",
)  # fmt: skip
_OUTCOMES: tuple[EdgeOn, ...] = ("success", "success", "failure", "timeout", "complete")
_JOINS: tuple[Join | None, ...] = (None, None, None, "all", "sync", "any")
_TYPES = (*["python"] * 7, "wait", "wait_for_event", "wait_for_event", "noop", "set", "fail")
_ACTIONS: tuple[Action | None, ...] = (
    None, None, "continue", "continue", "skip", "terminate", "compensate", "retry",
)  # fmt: skip
_CONDITIONS = (*[None] * 8, True, False, "{{ vars.n > 2 }}", "{{ input.flag }}", "{{ vars.nothing }}")


def _name(position: int) -> str:
    return f"s{position}"


def _maybe(draw: st.DrawFn, strategy: st.SearchStrategy[Any]) -> Any:
    return draw(strategy) if draw(st.booleans()) else None


@st.composite
def _dependencies(draw: st.DrawFn, position: int) -> tuple[Dependency, ...]:
    count = draw(st.integers(0, min(position, 3)))
    sources = [draw(st.integers(0, position - 1)) for _ in range(count)]
    return tuple(Dependency(step=_name(source), on=draw(st.sampled_from(_PREDICATES))) for source in sources)


@st.composite
def _edges(draw: st.DrawFn, position: int, count: int) -> tuple[Edge, ...]:
    if position + 1 >= count or draw(st.integers(0, 3)):
        return ()
    target = draw(st.integers(position + 1, count - 1))
    return (Edge(to=(_name(target),), on=draw(st.sampled_from(_OUTCOMES))),)


@st.composite
def _action(draw: st.DrawFn) -> FailureAction | None:
    action = draw(st.sampled_from(_ACTIONS))
    return FailureAction(action=action, max_attempts=2 if action == "retry" else None) if action is not None else None


_RETRY = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 3),
    initial_delay=st.sampled_from([0, SECOND, 3 * SECOND]),
    jitter=st.sampled_from([0.0, 0.5]),
    when=st.sampled_from([None, None, "{{ attempt < 2 }}", "{{ timed_out() }}"]),
)


def _config(draw: st.DrawFn, kind: str, position: int) -> dict[str, Any]:
    other = _name(draw(st.integers(0, position)))
    match kind:
        case "wait":
            return {"for": draw(st.integers(0, 4))}
        case "wait_for_event":
            filter_ = draw(st.sampled_from([None, {"n": "{{ vars.n }}"}, "{{ event.data.n > 1 }}"]))
            return {"event_type": "go", "filter": filter_, "timeout": draw(st.integers(0, 5))}
        case "set":
            return {"n": f"{{{{ vars.n + {position} }}}}"}
        case "fail":
            return {"message": "because"}
        case "noop":
            return {}
        case _:
            reads = [
                "1",
                "vars.n",
                "uuid()",
                f"steps.{other}.output | default(0)",
                f"steps.{other}.status",
                "input.flag",
            ]
            return {"task": "work", "args": {"x": f"{{{{ {draw(st.sampled_from(reads))} }}}}"}}


@st.composite
def _step(draw: st.DrawFn, position: int, count: int) -> Step:
    kind = draw(st.sampled_from(_TYPES))
    leaf = kind == "python"
    dependencies = draw(_dependencies(position))
    return step(
        _name(position),
        *dependencies,
        type=kind,
        edges=draw(_edges(position, count)),
        join=draw(st.sampled_from([*_JOINS, *range(1, len(dependencies) + 1)])),
        when=draw(st.sampled_from(_CONDITIONS)),
        config=_config(draw, kind, position),
        publish=draw(st.sampled_from([(), (), (("n", position),), (("n", "{{ response.n | default(0) }}"),)])),
        retry=_maybe(draw, _RETRY) if leaf else None,
        on_failure=draw(_action()) if leaf or kind == "fail" else None,
        on_timeout=draw(_action()),
    )


@st.composite
def _undoing(draw: st.DrawFn, position: int, count: int) -> Step:
    kind = draw(st.sampled_from(["python", "python", "python", "noop", "wait", "fail"]))
    config = _config(draw, kind, 0)
    if kind == "python":
        config = {"task": "undo", "args": {"x": f"{{{{ steps.{_name(draw(st.integers(0, count - 1)))}.output }}}}"}}
    when = draw(st.sampled_from([None, None, False, "{{ steps.s0.completed }}"]))
    return step(f"u{position}", type=kind, config=config, when=when, retry=_maybe(draw, _RETRY))


@st.composite
def workflows(draw: st.DrawFn) -> WorkflowDefinition:
    """A workflow of up to eight steps and three compensation steps."""
    count = draw(st.integers(1, 8))
    undo = tuple(draw(_undoing(position, count)) for position in range(draw(st.integers(0, 3))))
    return workflow(
        *(draw(_step(position, count)) for position in range(count)),
        undo=undo,
        vars=(("n", 1),),
        failure_mode=draw(st.sampled_from(["fail_fast", "drain"])),
        max_parallel_steps=draw(st.sampled_from([None, None, 1, 2])),
        timeout=draw(st.sampled_from([None, None, 6 * SECOND])),
        deadline=draw(st.sampled_from([None, None, 12 * SECOND])),
        retry=_maybe(draw, _RETRY),
        strict_failures=draw(st.sampled_from([False, False, True])),
        on_error=ErrorStrategy(strategy=draw(st.sampled_from([None, None, "compensate", "terminate", "continue"]))),
        output_values=draw(st.sampled_from([None, {"n": "{{ vars.n }}"}, {"x": "{{ steps.s0.output }}"}])),
    )
