"""What a definition makes use of: types of steps, tasks, services, secrets, and what belongs to others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

import msgspec

from stepwell.base.namespaces import namespace_of
from stepwell.definition.model import CONTROL_TYPES, LEAF_TYPES, Path, WorkflowDefinition
from stepwell.expression.template import compile_condition, compile_template

Kind = Literal["steps", "tasks", "services", "secrets", "channels", "workflows", "events"]


class Use(NamedTuple):
    """One use of something.

    Attributes:
        name: None when only a run knows it, for it is an expression.
        path: where it stands in the document.
    """

    kind: Kind
    name: str | None
    path: Path


_NAMESPACED: Final = frozenset({"workflows", "events"})
"""What belongs to a namespace by its name: a definition may use that of its own."""

_PLAIN: Final = frozenset({"source", "spans", "digest", "path", "description", "name", "input_schema", "output_schema"})
"""Fields of the model that use nothing."""


def uses_of(definition: WorkflowDefinition) -> Iterator[Use]:
    """Everything that the definition uses, in the order in which it stands there; some of it more than once.

    Whatever part of the model holds a type and settings counts, wherever it is: a step, what undoes it, a fallback.
    """
    own = namespace_of(definition.name)
    for use in _in(definition, ()):
        if use.kind not in _NAMESPACED or use.name is None or namespace_of(use.name) != own:
            yield use


def uses_of_settings(settings: Mapping[str, Any]) -> Iterator[Use]:
    """What a step uses, whatever its type, when these settings are put over its own. They are taken as they stand, so
    that a text in them names no secret."""
    for type_ in ("python", "workflow", "emit_event", "ai", "service_call"):
        yield from (use for use in _in_body(type_, settings, ()) if use.kind != "steps")
    yield from (use for use in _in(settings, ()) if use.kind != "secrets")


def _in(value: Any, path: Path) -> Iterator[Use]:
    match value:
        case msgspec.Struct():
            yield from _in_part(value, getattr(value, "path", ()) or path)
        case Mapping():
            for key, item in value.items():
                if key in ("channels", "channel"):
                    yield from _named("channels", item, (*path, key))
                yield from _in(item, (*path, key))
        case tuple() | list():
            for position, item in enumerate(value):
                yield from _in(item, (*path, position))
        case str():
            yield from _secrets_in(value, path)


def _in_part(part: msgspec.Struct, path: Path) -> Iterator[Use]:
    type_, config = getattr(part, "type", None), getattr(part, "config", None)
    if isinstance(type_, str) and isinstance(config, Mapping):
        yield from _in_body(type_, config, path)
    other = getattr(part, "compensation_workflow", None)
    if isinstance(other, str):
        yield from _named("workflows", other, (*path, "compensation_workflow"))
    for field in part.__struct_fields__:
        if field not in _PLAIN:
            yield from _in(getattr(part, field), (*path, field))


def _in_body(type_: str, config: Mapping[str, Any], path: Path) -> Iterator[Use]:
    where = (*path, "config")
    if type_ not in LEAF_TYPES | CONTROL_TYPES:
        yield Use("tasks", type_, (*path, "type"))
        return
    yield Use("steps", type_, (*path, "type"))
    match type_:
        case "python":
            yield from _named("tasks", config.get("task"), (*where, "task"))
        case "workflow":
            yield from _named("workflows", config.get("name"), (*where, "name"))
        case "emit_event":
            yield from _named("events", config.get("type"), (*where, "type"))
        case "ai":
            yield from _named("tasks", config.get("tools") or (), (*where, "tools"))
        case "service_call" | "validation":
            yield from _services_in(config, where)


def _services_in(config: Any, path: Path) -> Iterator[Use]:
    """The services that settings name, at any depth: each validation rule may have its own."""
    if isinstance(config, Mapping):
        for key, item in config.items():
            if key == "service":
                yield from _named("services", item, (*path, key))
            elif key not in ("payload", "data", "headers", "query"):
                yield from _services_in(item, (*path, key))
    elif isinstance(config, (list, tuple)):
        for position, item in enumerate(config):
            yield from _services_in(item, (*path, position))


def _named(kind: Kind, names: Any, path: Path) -> Iterator[Use]:
    """One name or several; what is an expression is not known."""
    match names:
        case str() if "{{" in names:
            yield Use(kind, None, path)
        case str():
            yield Use(kind, names, path)
        case list() | tuple():
            for position, name in enumerate(names):
                yield from _named(kind, name, (*path, position))
        case None:
            return
        case _:
            yield Use(kind, None, path)


def _secrets_in(text: str, path: Path) -> Iterator[Use]:
    if "secrets" not in text:
        return
    compiled = compile_template(text, problems=[]) if "{{" in text else compile_condition(text, problems=[])
    for reference in compiled.references:
        if reference.path[0] == "secrets" and len(reference.path) > 1:
            yield Use("secrets", str(reference.path[1]), path)
