"""The values that flow through a workflow: JSON values, and two kinds of wrapper that keep secrets out of sight.

* `Sealed` holds a value derived from a secret input. It is encrypted when stored and shown as `***`.
* `SecretRef` and `SecretText` stand for secrets that are fetched only where the work is done, and never stored at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

MASK: Final = "***"
MAX_DEPTH: Final = 64
MAX_BYTES: Final = 8 * 1024 * 1024
MIN_INTEGER: Final = -(2**63)
MAX_INTEGER: Final = 2**64 - 1
"""What MessagePack and every other engine's JSON can carry."""


class Sealed:
    """A value derived from a secret. Equal and hashable by its content; never printed."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value: Any = value.value if isinstance(value, Sealed) else value

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sealed) and self.value == other.value

    def __hash__(self) -> int:
        try:
            return hash(("Sealed", self.value))
        except TypeError:  # a list or an object: equal ones must have one hash, so all have the same
            return hash("Sealed")


class SecretRef:
    """A secret of the secret store, by name: `secrets.NAME` before the worker fetches it."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"secrets.{self.name}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretRef) and self.name == other.name

    def __hash__(self) -> int:
        return hash(("SecretRef", self.name))


class SecretText:
    """Text with secrets in it, such as `Bearer {{ secrets.TOKEN }}`: parts are text, `Sealed` text or `SecretRef`."""

    __slots__ = ("parts",)

    def __init__(self, parts: tuple[str | Sealed | SecretRef, ...]) -> None:
        self.parts = parts

    def __repr__(self) -> str:
        return "".join(part if isinstance(part, str) else MASK for part in self.parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretText) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash(("SecretText", self.parts))


SECRETS: Final = (Sealed, SecretRef, SecretText)
"""The wrappers that are shown as `***`."""


def transform_leaves(value: Any, change: Callable[[Any], Any]) -> Any:
    """A copy of `value` with `change` applied to everything in it that is neither a list nor an object."""
    if isinstance(value, dict):
        return {key: transform_leaves(item, change) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [transform_leaves(item, change) for item in value]
    return change(value)


def masked(value: Any) -> Any:
    """`value` as it may be shown: every secret in it replaced by `***`."""
    return transform_leaves(value, lambda leaf: MASK if isinstance(leaf, SECRETS) else leaf)


def unsealed(value: Any) -> Any:
    """`value` with its sealed parts opened: for the task that does the work, never for storing or showing."""
    return transform_leaves(value, lambda leaf: leaf.value if isinstance(leaf, Sealed) else leaf)


def check_json(value: Any, *, what: str = "the value") -> None:
    """Refuse what is not a storable JSON value.

    Objects with text keys, lists, text without lone surrogates, booleans, null, finite numbers, integers of 64 bits;
    at most `MAX_DEPTH` deep and about `MAX_BYTES` large. What is sealed is looked into as well.

    Raises:
        ValueError: naming the path of the first offence.
    """
    _check(value, what, 0, [MAX_BYTES])


def _check(value: Any, path: str, depth: int, budget: list[int]) -> None:
    if value is None or value is True or value is False:
        budget[0] -= 1
    elif isinstance(value, str):
        _check_text(value, path)
        budget[0] -= len(value) + 1
    elif isinstance(value, int):
        if not MIN_INTEGER <= value <= MAX_INTEGER:
            raise ValueError(f"{path} is an integer of more than 64 bits")
        budget[0] -= 8
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{path} is {value}, which JSON cannot hold")
        budget[0] -= 8
    elif isinstance(value, (dict, list, tuple)):
        if depth >= MAX_DEPTH:
            raise ValueError(f"{path} is nested more than {MAX_DEPTH} deep")
        _check_children(value, path, depth, budget)
    elif isinstance(value, Sealed):
        _check(value.value, path, depth, budget)
    elif not isinstance(value, (SecretRef, SecretText)):
        raise ValueError(f"{path} is of type {type(value).__name__}, which is not a JSON value")
    if budget[0] < 0:
        raise ValueError(f"{path} makes the whole larger than {MAX_BYTES // 1024 // 1024} MiB")


def _check_children(
    value: dict[Any, Any] | list[Any] | tuple[Any, ...], path: str, depth: int, budget: list[int]
) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ValueError(f"{path} has the key {key!r}, which is not text")
            _check_text(key, path)
            budget[0] -= len(key) + 1
            _check(item, f"{path}.{key}", depth + 1, budget)
    else:
        for position, item in enumerate(value):
            _check(item, f"{path}[{position}]", depth + 1, budget)


def _check_text(text: str, path: str) -> None:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{path} holds a lone surrogate, which is not Unicode text") from None
