"""Steps as tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any, Final

from stepwell.base.durations import SECOND, format_duration
from stepwell.definition.model import CONTROL_TYPES, FailureAction, Iteration, Repetition, Step
from stepwell.dialects.dialect import Writing
from stepwell.dialects.graphs.actions import RESPONSE, SAID
from stepwell.dialects.graphs.commands import failing_step
from stepwell.dialects.graphs.results import shape_of
from stepwell.dialects.task_graph.saying import Saying
from stepwell.dialects.task_graph.tasks import RESERVED_NAMES, is_reference
from stepwell.dialects.task_graph.writing_edges import Ways
from stepwell.dialects.task_graph.writing_retry import written_retry
from stepwell.policy.retry import RetryPolicy

_UNSAID: Final[Mapping[str, str]] = {
    "compensate": "what undoes {}",
    "circuit_breaker": "the circuit breaker of {}",
    "bulkhead": "the bulkhead of {}",
    "rate_limit": "the rate limit of {}",
    "queue": "the queue of {}",
    "resources": "what {} needs of the machine",
    "cache": "the cache of {}",
    "checkpoint": "the checkpoint of {}",
    "mutex": "the lock that {} holds",
    "cancels": "what {} cancels",
    "milestone": "between which steps {} may start",
}
"""What no task can say."""


class Tasks:
    """Writes steps as tasks.

    Args:
        retry: the policy of steps that have none of their own.
    """

    def __init__(self, saying: Saying, writing: Writing, retry: RetryPolicy | None) -> None:
        self._saying = saying
        self._writing = writing
        self._retry = retry

    def listed(self, steps: Iterable[Step]) -> list[dict[str, Any]]:
        """The tasks of a group; steps that only fail the workflow on behalf of another one are said by that."""
        group = tuple(steps)
        fails = fails_in(group)
        by_task = {task: failing for failing, task in fails.items()}
        return [self._task(step, by_task.get(step.name)) for step in group if step.name not in fails]

    def _task(self, step: Step, fails: str | None) -> dict[str, Any]:
        self._note_unsaid(step)
        said = self._saying
        policy = step.retry or (self._retry if step.type not in CONTROL_TYPES else None)
        retry, again = written_retry(policy, step, said, self._writing)
        task: dict[str, Any] = {"name": step.name, **self._work(step), "description": step.description or None}
        if step.when is not None:
            task["when"] = said.condition(step.when, (*step.path, "when"), step)
        task |= self._items(step)
        if step.output is not None and shape_of(step.type, step.output) is None:
            task["output"] = said.template(step.output, (*step.path, "output"), step)
        if step.publish:
            path = (*step.path, "publish")
            task["publish"] = [{name: said.template(value, path, step, "publish")} for name, value in step.publish]
        task |= {
            "repeat": self._repeat(step.repeat, step),
            "retry": retry,
            "timeout": seconds(step.timeout),
            "delay": seconds(step.delay or None),
            "join": self._join(step),
            "max_visits": step.max_visits,
            "depends_on": [
                each.step if each.on == "satisfied" else {"step": each.step, "on": each.on} for each in step.depends_on
            ]
            or None,
            **Ways(step, fails, again, said, self._writing).keys(),
        }
        return {key: value for key, value in task.items() if value is not None}

    def _note_unsaid(self, step: Step) -> None:
        lost = self._writing.lost
        for name, what in _UNSAID.items():
            if getattr(step, name):
                lost(step.path, what.format(f"{step.name!r}"))
        for key in ("on_failure", "on_timeout"):
            if _acts(getattr(step, key)):
                lost((*step.path, key), f"the action `{key}` of {step.name!r}")
        if step.name in RESERVED_NAMES:
            lost(step.path, f"the name {step.name!r}, which means something else there")

    def _join(self, step: Step) -> Any:
        if step.join in ("sync", "each"):
            if step.join == "each" or step.depends_on:
                self._writing.lost((*step.path, "join"), f"`join: {step.join}` of {step.name!r}")
            return None
        return 1 if step.join == "any" else step.join

    # What it does

    def _work(self, step: Step) -> dict[str, Any]:
        """Its action and input."""
        match step.type:
            case "noop":
                return {"action": "core.noop"}
            case "parallel_group" if not step.config:
                return {"type": "parallel", "tasks": self.listed(step.blocks[0][1])}
            case "conditional" | "loop" | "state_machine" | "dynamic" | "parallel_group":
                self._writing.lost(step.path, f"{step.name!r}, a step of type {step.type}")
                return {"action": "core.noop"}
        config = self._saying.template(deepcopy(dict(step.config)), (*step.path, "config"), step)
        return _action(step, config)

    # Again, and for every item

    def _items(self, step: Step) -> dict[str, Any]:
        each = step.for_each
        if each is None:
            return {}
        if each.on_error == "continue":
            self._writing.lost((*step.path, "for_each"), f"that items of {step.name!r} may fail")
        items = self._saying.template(each.items, (*step.path, "for_each", "items"))
        said: dict[str, Any] = {"with_items": items}
        if each.when is not None:
            when = self._saying.condition(each.when, (*step.path, "for_each", "when"), step)
            said["with_items"] = {"items": items, "when": when}
        if each.batch_size is not None:
            said["batch_size"] = each.batch_size
        if each.concurrency != Iteration(items=None).concurrency:
            said["concurrency"] = each.concurrency
        return said

    def _repeat(self, repetition: Repetition | None, step: Step) -> dict[str, Any] | None:
        if repetition is None:
            return None
        condition = self._saying.condition(repetition.condition, (*step.path, "repeat"), step, "edge")
        said = {"until" if repetition.until else "while": condition, "max_iterations": repetition.max_iterations}
        return {**said, "delay": seconds(repetition.delay)} if repetition.delay else said


def seconds(micros: int | None) -> Any:
    """A duration: a number of seconds when it is a whole one."""
    if micros is None:
        return None
    return micros // SECOND if micros % SECOND == 0 else format_duration(micros)


def fails_in(group: tuple[Step, ...]) -> dict[str, str]:
    """The steps of a group that only fail the workflow, each with the task on whose behalf it does."""
    return {failing: step.name for step in group if (failing := _fails_for(step, group)) is not None}


def _fails_for(step: Step, group: tuple[Step, ...]) -> str | None:
    """The step that fails the workflow on behalf of this one, as reading it makes it."""
    name = failing_step(step.name, ())
    made = next((other for other in group if other.name == name and other.type == "fail"), None)
    if made is None or set(made.config) != {"message"} or made.edges or made.depends_on or made.when is not None:
        return None
    is_named_elsewhere = any(name in edge.to for other in group if other is not step for edge in other.edges)
    return name if not is_named_elsewhere and any(name in edge.to for edge in step.edges) else None


def _acts(action: FailureAction | None) -> bool:
    return action is not None and (action.action != "terminate" or action.message is not None or bool(action.notify))


def _action(step: Step, config: dict[str, Any]) -> dict[str, Any]:
    """The action that does what the step does."""
    match step.type:
        case "transform" if step.output == SAID:
            return _with_input("core.echo", {"message": config["value"]})
        case "wait" if set(config) == {"for"}:
            return _with_input("core.sleep", {"seconds": config["for"]})
        case "approval":
            return _with_input("core.ask", config)
        case "http" if step.output == RESPONSE:
            return _with_input("core.http", {_HTTP.get(key, key): value for key, value in config.items()})
        case "workflow" if set(config) <= {"name", "input"} and is_reference(str(config.get("name"))):
            return {"type": "workflow", **_with_input(config["name"], config.get("input") or {})}
        case kind:
            return _with_input(kind if is_reference(kind) else f"stepwell.{kind}", config)


_HTTP: Final = {"query": "query_params"}


def _with_input(action: str, given: Any) -> dict[str, Any]:
    return {"action": action, "input": given} if given else {"action": action}
