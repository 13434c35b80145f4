"""Steps without a place in the graph: what undoes a step, and what takes its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from stepwell.definition import document as doc
from stepwell.definition.blocks import conditions, without
from stepwell.definition.building_retry import build_retry
from stepwell.definition.context import Context
from stepwell.definition.model import BLOCK_TYPES, Fallback, Path, StepBody
from stepwell.definition.places import CONFIG, FAILURE, UNDO, UNDO_WHEN, WHEN, Place
from stepwell.definition.reading import read, wrong_type
from stepwell.definition.settings_checks import check_secrets, check_type
from stepwell.definition.shapes import Doc
from stepwell.policy.retry import RetryPolicy

DEFAULT_TYPE = "service_call"


@dataclass(frozen=True, slots=True)
class Around:
    """What the steps of a group inherit from where it stands.

    Attributes:
        names: names of items that their expressions see.
        beside: the names of the steps of the group.
        retry: the workflow's own policy, for what a step's policy leaves out.
        config, when: the place of their settings and conditions.
    """

    names: frozenset[str] = frozenset()
    beside: frozenset[str] = frozenset()
    retry: RetryPolicy | None = None
    config: Place = CONFIG
    when: Place = WHEN


def build_undo(written: doc.UndoDoc | None, path: Path, step: str, context: Context, around: Around) -> StepBody | None:
    """`compensate`: a type and its settings, and when it is run."""
    if written is None:
        return None
    body = _body(written, path, step, context, around, UNDO)
    when, when_path = either(written, "when", "condition", path, context)
    context.condition(when, when_path, UNDO_WHEN, step, around.names)
    return msgspec.structs.replace(body, when=when)


def build_fallback(written: Any, path: Path, step: str | None, context: Context, around: Around) -> Fallback | None:
    """`fallback`: the name of a step beside this one; a mapping with `type`, which is a step; or else a value.

    None when nothing is written, or a step that cannot be read.
    """
    if written is None:
        return None
    if isinstance(written, str) and written in around.beside:
        return Fallback(step=written, path=path)
    if not isinstance(written, dict) or "type" not in written:
        context.template(written, path, FAILURE, step, around.names)
        return Fallback(value=written, path=path)
    body = read(doc.StepBodyDoc, written, path, context.findings)
    if body is None:
        return None
    return Fallback(body=_body(body, path, step, context, around, FAILURE), path=path)


def _body(
    written: doc.StepBodyDoc, path: Path, step: str | None, context: Context, around: Around, place: Place
) -> StepBody:
    kind = written.type or DEFAULT_TYPE
    settings, config_path = settings_of(written, path, context)
    if kind in BLOCK_TYPES:
        message = f"a step of type {kind!r} cannot stand in for another or undo it"
        hint = "give its steps a workflow of their own, and run that: `type: workflow`"
        context.findings.add("wrong-value", message, (*path, "type"), hint=hint)
    asked = conditions(kind, settings)
    for where, value, kind_of_place in asked:
        context.condition(value, (*config_path, *where), kind_of_place, step, around.names)
    check_secrets(settings, config_path, context)
    rendered = without(settings, [where for where, _, _ in asked])
    context.template(rendered, config_path, place, step, around.names)
    check_type(kind, written.type is not None, settings, config_path, path, context)
    return StepBody(
        type=kind,
        config=settings,
        retry=build_retry(written.retry, around.retry, (*path, "retry"), context, step, around.names),
        timeout=written.timeout,
        path=path,
    )


def settings_of(written: doc.StepDoc | doc.StepBodyDoc, path: Path, context: Context) -> tuple[dict[str, Any], Path]:
    """The settings of a step, `config` or `with`, and where they stand."""
    config, config_path = either(written, "config", "with", path, context)
    if config is None:
        return {}, (*path, "config")
    if not isinstance(config, dict):
        wrong_type("a mapping", config, config_path, context.findings)
        return {}, config_path
    return config, config_path


def either(written: Doc, first: str, second: str, path: Path, context: Context) -> tuple[Any, Path]:
    """The value of one of two keys that mean the same, and where it stands."""
    one, other = getattr(written, first), getattr(written, "with_" if second == "with" else second)
    if one is not None and other is not None:
        message = f"`{first}` and `{second}` mean the same; only one of them can be given"
        context.findings.add("conflicting-keys", message, (*path, second), key=True)
    return (one, (*path, first)) if one is not None else (other, (*path, second))
