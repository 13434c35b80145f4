"""Parameters written one by one, `{name: {type, required, default, ...}}`, as the JSON Schema that they mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_SCHEMA_KEYS: Final = frozenset({"$schema", "$ref", "$id", "allOf", "anyOf", "oneOf"})

_OBJECT_KEYS: Final = frozenset({"properties", "required", "additionalProperties", "title", "description"})


def is_schema(written: Mapping[str, Any]) -> bool:
    """Whether a mapping is a JSON Schema already, and not parameters by name."""
    if isinstance(written.get("type"), str) or not _SCHEMA_KEYS.isdisjoint(written):
        return True
    return "properties" in written and written.keys() <= _OBJECT_KEYS


def schema_of(written: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON Schema of an object with these parameters; a schema is left as it is.

    `required: true` of a parameter is in the list of those that are required; what else is said of it is its schema.
    """
    if is_schema(written):
        return dict(written)
    required = [name for name, said in written.items() if isinstance(said, Mapping) and said.get("required") is True]
    properties = {name: _property(said) for name, said in written.items()}
    return {"type": "object", "properties": properties, **({"required": required} if required else {})}


def _property(said: Any) -> Any:
    """The schema of one parameter. Those inside an object may be written in the same way."""
    if not isinstance(said, Mapping):
        return {} if said is None else said
    schema = {key: value for key, value in said.items() if key != "required" or not isinstance(value, bool)}
    inner = schema.get("properties")
    if isinstance(inner, Mapping) and "required" not in schema:
        made = schema_of(inner)
        schema["properties"] = made["properties"]
        if "required" in made:
            schema["required"] = made["required"]
    if isinstance(schema.get("items"), Mapping):
        schema["items"] = _property(schema["items"])
    return schema
