"""Checking values against JSON Schemas, and finding what in them is secret."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jsonschema_rs

from stepwell.base.sensitive import names_a_secret
from stepwell.base.values import MASK, SECRETS, Sealed, SecretRef, SecretText, transform_leaves
from stepwell.decider.schema_place import CERTAIN, POSSIBLE, SchemaPlace, schema_place


class SchemaCheck:
    """A compiled JSON Schema (2020-12, formats enforced, no remote references)."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.schema = schema
        self._plain = _validator(schema, None)
        self._masking = _validator(schema, MASK)
        self._certain = schema_place(schema, CERTAIN)
        self._possible = schema_place(schema, POSSIBLE)

    def problems(self, value: Any) -> list[tuple[str, str]]:
        """(path, message) of everything wrong with the value; messages show no secret and no whole object."""
        seen = transform_leaves(value, opened)
        if self._plain.is_valid(seen):
            return []
        pairs = zip(self._plain.iter_errors(seen), self._masking.iter_errors(seen), strict=True)
        return [(path_text(plain.instance_path), self._message(plain, hidden, value)) for plain, hidden in pairs]

    def _message(self, plain: Any, hidden: Any, value: Any) -> str:
        """The message with what was seen, when that is a scalar and no secret; else with a mask in its place."""
        shown = not isinstance(plain.instance, (dict, list)) and not self._is_secret_at(plain.instance_path, value)
        message = str(plain.message if shown else hidden.message)
        return message if len(message) <= 300 else f"{message[:300]}..."

    def _is_secret_at(self, path: Sequence[str | int], value: Any) -> bool:
        """Whether what stands at this path is secret, or stands inside something that is."""
        place = self._possible
        for part in path:
            place = place.at(part)
            if isinstance(value, Sealed) or (isinstance(part, str) and _is_secret(place, part)):
                return True
            value = value[part]
        return isinstance(value, SECRETS)

    def with_defaults(self, value: Any) -> Any:
        """A copy of the value with the schema's defaults put in where an object lacks a property."""
        return _with_defaults(self._certain, value)

    def sealed(self, value: Any) -> Any:
        """A copy with every secret in it sealed: by `secret: true`, `format: password`, `writeOnly`, or by name."""
        return _sealed(self._possible, value)


def _validator(schema: Mapping[str, Any], mask: str | None) -> Any:
    return jsonschema_rs.Draft202012Validator(
        dict(schema), validate_formats=True, mask=mask, offline=True, pattern_options=jsonschema_rs.RegexOptions()
    )


def path_text(path: Any) -> str:
    """`a.b[0].c`; empty for the whole."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text


def opened(leaf: Any) -> Any:
    """The leaf as it can be checked: what is sealed in the clear, a secret that is fetched later as a mask."""
    if isinstance(leaf, Sealed):
        return transform_leaves(leaf.value, opened)
    return MASK if isinstance(leaf, (SecretRef, SecretText)) else leaf


def _is_secret(place: SchemaPlace, name: str) -> bool:
    said = [schema["secret"] is True for schema in place.schemas if "secret" in schema]
    if said:
        return any(said)
    marked = any(schema.get("format") == "password" or schema.get("writeOnly") is True for schema in place.schemas)
    return marked or names_a_secret(name)


def _with_defaults(place: SchemaPlace, value: Any) -> Any:
    if isinstance(value, list):
        return [_with_defaults(place.at(position), item) for position, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    filled = {name: _with_defaults(place.at(name), item) for name, item in value.items()}
    for schema in place.schemas:
        for name, inner in (schema.get("properties") or {}).items():
            if name not in filled and isinstance(inner, Mapping) and "default" in inner:
                filled[name] = inner["default"]
    return filled


def _sealed(place: SchemaPlace, value: Any) -> Any:
    if isinstance(value, list):
        return [_sealed(place.at(position), item) for position, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    return {name: _sealed_property(place.at(name), name, item) for name, item in value.items()}


def _sealed_property(place: SchemaPlace, name: str, item: Any) -> Any:
    return Sealed(item) if item is not None and _is_secret(place, name) else _sealed(place, item)
