"""What an action reference such as `ops.build` or `core.echo` runs, as a native step.

A reference is, in this order: a registered task; an action that is built in (`core.*`); a step type (`stepwell.http`,
with the settings of that type as input); a registered workflow, which is run as a sub-workflow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from stepwell.definition.context import Known
from stepwell.definition.findings import Findings
from stepwell.definition.model import BLOCK_TYPES, Path
from stepwell.dialects.graphs.schemas import schema_of
from stepwell.dialects.origin import Taken

NATIVE_PACK: Final = "stepwell"
"""`stepwell.TYPE` is the step type: a native one without steps of its own, a plug-in's, or a task."""

RESPONSE: Final[Mapping[str, str]] = {
    "status_code": "{{ response_status }}",
    "headers": "{{ response_headers }}",
    "body": "{{ response }}",
}
"""The output of `core.http`."""

SAID: Final[Mapping[str, Any]] = {
    "message": "{{ response }}",
    "stdout": "{{ response }}",
    "stderr": "",
    "return_code": 0,
    "succeeded": True,
    "failed": False,
}
"""The output of `core.echo`."""

UNKNOWN: Final[Mapping[str, Any]] = {"type": "transform", "config": {"value": None}}
"""Stands for an action that is not known, so that what is said beside it can be checked all the same."""

Input = Mapping[str, Any]
"""The input of an action: native values, perhaps `Taken`."""


def action_step(reference: str, given: Input, known: Known, findings: Findings, path: Path) -> dict[str, Any] | None:
    """The native `type`, `config` and perhaps `output` of the action; None when there is none, which is recorded.

    Args:
        reference: the name of the action, which stands at `path`.
        given: its input.
        known: without tasks in it nothing is refused: a reference that is no workflow is taken for a task.
    """
    if reference in (known.tasks or ()) or reference in (known.step_types or ()):
        return {"type": Taken(reference, path), "config": dict(given)}
    pack, _, name = reference.partition(".")
    if pack == "core" and name in _CORE:
        return _built_in(name, given, findings, path)
    if pack == NATIVE_PACK and name not in BLOCK_TYPES:
        return {"type": Taken(name, path), "config": dict(given)}
    if reference in (known.workflows or ()):
        return workflow_step(reference, given, path)
    if known.tasks is None:
        return {"type": Taken(reference, path), "config": dict(given)}
    names = [*known.tasks, *(known.step_types or ()), *(known.workflows or ()), *core_actions()]
    message = f"there is no action {reference!r}: neither a task nor a workflow of that name is registered"
    findings.add("unknown-action", message, path, hint=findings.hint_for(reference, names))
    return None


def workflow_step(reference: str, given: Input, path: Path) -> dict[str, Any]:
    """The native step that runs a workflow."""
    return {"type": "workflow", "config": {"name": Taken(reference, path), "input": dict(given)}}


def core_actions() -> Iterable[str]:
    """The actions that are built in."""
    return [f"core.{name}" for name in _CORE]


def plain(value: Any) -> Any:
    """A value without the mark of where it was taken from."""
    while isinstance(value, Taken):
        value = value.value
    return value


def _built_in(name: str, given: Input, findings: Findings, path: Path) -> dict[str, Any]:
    takes, make = _CORE[name]
    for key, value in given.items():
        if takes and key not in takes:
            place = value.path if isinstance(value, Taken) else path
            message = f"`core.{name}` takes no `{key}`"
            findings.add("unknown-key", message, place, hint=findings.hint_for(key, takes), key=True)
    return make({key: value for key, value in given.items() if key in takes and plain(value) is not None})


def _noop(given: Input) -> dict[str, Any]:
    return {"type": "noop"}


def _echo(given: Input) -> dict[str, Any]:
    return {"type": "transform", "config": {"value": given.get("message", "")}, "output": dict(SAID)}


def _sleep(given: Input) -> dict[str, Any]:
    return {"type": "wait", "config": {"for": _first(given, "seconds", "duration", "delay", or_else=0)}}


def _pause(given: Input) -> dict[str, Any]:
    lasts = _first(given, "max_pause", "seconds")
    if lasts is not None:
        return {"type": "wait", "config": {"for": lasts}}
    return {"type": "approval", "config": {"prompt": _first(given, "prompt", "message", or_else="Go on?")}}


def _ask(given: Input) -> dict[str, Any]:
    config = {
        "prompt": given.get("prompt", "An answer is needed."),
        "response_schema": _schema(_first(given, "response_schema", "schema")),
        "assigned_to": _first(given, "assigned_to", "users"),
        "timeout": _first(given, "timeout", "timeout_seconds", or_else=_minutes(given.get("ttl"))),
    }
    config = {key: value for key, value in config.items() if plain(value) is not None}
    return {"type": "approval", "config": config | ({"default": given["default"]} if "default" in given else {})}


def _http(given: Input) -> dict[str, Any]:
    renamed = {
        "url": given.get("url"),
        "method": given.get("method"),
        "headers": given.get("headers"),
        "query": _first(given, "query_params", "params", "query"),
        "body": _first(given, "json_body", "json", "body"),
        "form": given.get("form"),
        "timeout": given.get("timeout"),
        "expect_status": given.get("expect_status"),
    }
    config = {key: value for key, value in renamed.items() if plain(value) is not None}
    return {"type": "http", "config": config, "output": dict(RESPONSE)}


def _first(given: Input, *names: str, or_else: Any = None) -> Any:
    return next((given[name] for name in names if name in given), or_else)


def _minutes(value: Any) -> Any:
    minutes = plain(value)
    is_number = isinstance(minutes, (int, float)) and not isinstance(minutes, bool)
    return f"{minutes}m" if is_number and minutes > 0 else None


def _schema(value: Any) -> Any:
    """A schema of an answer; parameters one by one are one too."""
    if isinstance(value, Taken):
        return Taken(_schema(value.value), value.path)
    return schema_of(value) if isinstance(value, dict) else value


_ASK: Final = frozenset(
    {"prompt", "response_schema", "assigned_to", "timeout", "timeout_seconds", "default"}
    | {"schema", "users", "ttl", "route", "roles", "tag"}
)
_HTTP: Final = frozenset(
    {"url", "method", "headers", "query_params", "params", "query", "json_body", "json", "body", "form", "timeout"}
    | {"expect_status"}
)
_CORE: Final[Mapping[str, tuple[frozenset[str], Callable[[Input], dict[str, Any]]]]] = {
    "noop": (frozenset(), _noop),
    "echo": (frozenset({"message"}), _echo),
    "sleep": (frozenset({"seconds", "duration", "delay"}), _sleep),
    "pause": (frozenset({"max_pause", "seconds", "prompt", "message"}), _pause),
    "ask": (_ASK, _ask),
    "inquiry": (_ASK, _ask),
    "http": (_HTTP, _http),
    "http_request": (_HTTP, _http),
}
"""By name: the input that a built-in action takes (none said: whatever is given means nothing), and its native step."""
