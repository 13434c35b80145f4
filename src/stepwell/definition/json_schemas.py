"""JSON Schemas inside a definition: whether they are schemas, and what they say about names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from stepwell.definition.findings import Findings
from stepwell.definition.model import Path

_DIALECT = "https://json-schema.org/draft/2020-12/schema"

_COMPOSING = frozenset({
    "$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "if", "dependentSchemas", "patternProperties",
})  # fmt: skip
"""Keywords through which a schema may say more about properties than `properties` does."""

_TYPES = "array, boolean, integer, null, number, object, string"


@cache
def _meta() -> Any:
    import jsonschema_rs  # most definitions that are checked have no schema

    return jsonschema_rs.validator_for({"$schema": _DIALECT, "$ref": _DIALECT}, offline=True)


def check_schema(schema: dict[str, Any], path: Path, findings: Findings) -> bool:
    """Whether `schema` is a JSON Schema (2020-12) that can be used; why not is recorded."""
    dialect = schema.get("$schema", _DIALECT)
    if dialect not in (_DIALECT, _DIALECT + "#"):
        message = f"the dialect {str(dialect)[:80]!r} is not supported"
        findings.add("bad-schema", message, (*path, "$schema"), hint=f"leave `$schema` out, or write {_DIALECT}")
        return False
    problems = {tuple(error.instance_path): _words(error) for error in _meta().iter_errors(schema)}
    for place, message in problems.items():
        findings.add("bad-schema", f"not a JSON Schema: {message}", (*path, *place))
    if problems:
        return False
    return _compiles(schema, path, findings) and _check_defaults(schema, path, findings)


def _compiles(schema: dict[str, Any], path: Path, findings: Findings) -> bool:
    """What only shows when the schema is put to use: a reference to nothing or to another file, a bad pattern."""
    try:
        _validator(schema)
    except ValueError as error:
        reason = str(getattr(error, "message", error)).splitlines()[0]
        place = tuple(getattr(error, "instance_path", ()))
        hint = "references point into the same schema: `#/$defs/NAME`" if "retriev" in reason else None
        findings.add("bad-schema", f"the JSON Schema cannot be used: {reason[:200]}", (*path, *place), hint=hint)
        return False
    return True


def check_settings(value: Any, schema: Mapping[str, Any], path: Path, findings: Findings) -> None:
    """Check the settings of a step, which stand at `path`, as far as expressions in them allow."""
    for error in _validator(dict(schema)).iter_errors(value):
        if error.schema_path[-1] in _OF_KEYS or not _holds_expression(error.instance):
            place = (*path, *error.instance_path)
            findings.add("wrong-value", f"the setting does not satisfy the plug-in's schema: {_words(error)}", place)


_OF_KEYS = frozenset({"required", "additionalProperties", "minProperties", "maxProperties", "dependentRequired"})
"""Keywords about which keys there are, whatever their values."""


def _holds_expression(value: Any) -> bool:
    if isinstance(value, str):
        return "{{" in value
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(_holds_expression(part) for part in parts)


def check_value(value: Any, schema: dict[str, Any], path: Path, findings: Findings) -> None:
    """Check that a default, which stands at `path`, satisfies the schema that is meant for it."""
    try:
        problems = list(_validator(schema).iter_errors(value))
    except ValueError:  # the schema is none: that is recorded already
        return
    for error in problems:
        message = f"the default does not satisfy the schema: {error.message}"
        findings.add("bad-default", message, (*path, *error.instance_path))


def _check_defaults(schema: dict[str, Any], path: Path, findings: Findings) -> bool:
    """Check that every `default` satisfies the schema it stands in."""
    fine = True
    for place, inner in _subschemas(schema):
        if "default" not in inner or "$ref" in inner:
            continue
        try:
            problems = list(_validator(inner).iter_errors(inner["default"]))
        except ValueError:  # it refers to another part of the whole schema
            continue
        for error in problems:
            fine = False
            findings.add(
                "bad-default", f"the default does not fit its own schema: {error.message}", (*path, *place, "default")
            )
    return fine


def _subschemas(schema: Mapping[str, Any], path: Path = ()) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The schemas of properties and items, however deep."""
    for name, inner in schema.get("properties", {}).items():
        if isinstance(inner, dict):
            yield (*path, "properties", name), inner
            yield from _subschemas(inner, (*path, "properties", name))
    items = schema.get("items")
    if isinstance(items, dict):
        yield (*path, "items"), items
        yield from _subschemas(items, (*path, "items"))


def _validator(schema: dict[str, Any]) -> Any:
    import jsonschema_rs

    return jsonschema_rs.validator_for({"$schema": _DIALECT, **schema}, validate_formats=True, offline=True)


def _words(error: Any) -> str:
    message = str(error.message)
    if error.instance_path and error.instance_path[-1] == "type" and "anyOf" in error.schema_path:
        return f"{message.split(' is not valid')[0]} is not a type; types are {_TYPES}"
    return message if len(message) <= 200 else message[:197] + "..."


def unknown_property(schema: Mapping[str, Any], names: tuple[str | int, ...]) -> tuple[int, list[str], bool] | None:
    """The first of `names`, read one below the other, that `schema` does not have a property for.

    Returns:
        its position, the properties that are there instead, and whether others are refused; None when every name is
        a property, or the schema leaves it open.
    """
    for position, name in enumerate(names):
        if not _COMPOSING.isdisjoint(schema) or not isinstance(name, str):
            return None
        properties = schema.get("properties")
        if not isinstance(properties, dict) or not properties:
            return None
        if name not in properties:
            return position, list(properties), schema.get("additionalProperties") is False
        inner = properties[name]
        if not isinstance(inner, dict):
            return None
        schema = inner
    return None
