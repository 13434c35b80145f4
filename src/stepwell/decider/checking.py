"""Checking values against JSON Schemas, and finding what in them is secret."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import jsonschema_rs

from stepwell.base.values import MASK, Sealed, unsealed

_SECRET_WORDS: Final = frozenset(
    {"password", "passwd", "pwd", "passphrase", "secret", "token", "credential", "credentials"}
)
_SECRET_PAIRS: Final = frozenset({"apikey", "accesskey", "privatekey", "secretkey", "signingkey", "encryptionkey"})
_REPEATED: Final = frozenset({"confirm", "confirmation", "repeat", "repeated", "again", "old", "new", "value"})
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


def names_a_secret(name: str) -> bool:
    """Whether a field of this name holds a secret by its name alone: `password`, `api_key`, `accessToken`, ...

    A stated list, so that it can be predicted: the last word is `password`, `passwd`, `pwd`, `passphrase`, `secret`,
    `token` or `credential(s)`; or one of the first four followed by such as `confirmation`; or the name ends with
    `api key`, `access key`, `private key`, `secret key`, `signing key`, `encryption key`.
    """
    words = [word.lower() for word in _WORD.findall(name)]
    if not words:
        return False
    return (
        words[-1] in _SECRET_WORDS
        or "".join(words[-2:]) in _SECRET_PAIRS
        or words[-1] in _SECRET_PAIRS
        or (len(words) > 1 and words[-1] in _REPEATED and words[-2] in _SECRET_WORDS)
    )


class SchemaCheck:
    """A compiled JSON Schema (2020-12, formats enforced, no remote references)."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.schema = schema
        self._plain = _validator(schema, None)
        self._masking = _validator(schema, MASK)

    def problems(self, value: Any) -> list[tuple[str, str]]:
        """(path, message) of everything wrong with the value; messages show no secret and no whole object."""
        value = unsealed(value)
        if self._plain.is_valid(value):
            return []
        pairs = zip(self._plain.iter_errors(value), self._masking.iter_errors(value), strict=True)
        return [(path_text(plain.instance_path), self._message(plain, hidden)) for plain, hidden in pairs]

    def _message(self, plain: Any, hidden: Any) -> str:
        path = plain.instance_path
        scalar = not isinstance(plain.instance, (dict, list))
        message = plain.message if scalar and not is_secret_path(self.schema, path) else hidden.message
        return str(message) if len(message) <= 300 else f"{message[:300]}..."

    def with_defaults(self, value: Any) -> Any:
        """A copy of the value with the schema's defaults put in where an object lacks a property."""
        return _with_defaults(self.schema, value)

    def sealed(self, value: Any) -> Any:
        """A copy with every secret in it sealed: by `secret: true`, `format: password`, `writeOnly`, or by name."""
        return _sealed(self.schema, value)


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


def is_secret_path(schema: Mapping[str, Any], path: Any) -> bool:
    """Whether the value at this path is secret, or stands inside a secret one."""
    for part in path:
        inner = _schema_of(schema, part)
        if isinstance(part, str) and _is_secret(inner, part):
            return True
        schema = inner
    return False


def _schema_of(schema: Any, part: str | int) -> Mapping[str, Any]:
    if not isinstance(schema, Mapping):
        return {}
    inner = schema.get("items") if isinstance(part, int) else (schema.get("properties") or {}).get(part)
    return inner if isinstance(inner, Mapping) else {}


def _is_secret(schema: Mapping[str, Any], name: str) -> bool:
    if "secret" in schema:
        return schema["secret"] is True
    return schema.get("format") == "password" or schema.get("writeOnly") is True or names_a_secret(name)


def _with_defaults(schema: Any, value: Any) -> Any:
    if not isinstance(schema, Mapping):
        return value
    if isinstance(value, dict):
        filled = {name: _with_defaults(_schema_of(schema, name), item) for name, item in value.items()}
        for name, inner in (schema.get("properties") or {}).items():
            if name not in filled and isinstance(inner, Mapping) and "default" in inner:
                filled[name] = inner["default"]
        return filled
    if isinstance(value, list):
        return [_with_defaults(schema.get("items"), item) for item in value]
    return value


def _sealed(schema: Mapping[str, Any], value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: Sealed(item)
            if item is not None and _is_secret(_schema_of(schema, name), name)
            else _sealed(_schema_of(schema, name), item)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [_sealed(_schema_of(schema, 0), item) for item in value]
    return value
