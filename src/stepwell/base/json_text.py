"""JSON as others write it: what is doubtful in it is refused."""

from __future__ import annotations

import json
from typing import Any, Final, NoReturn

_LONGEST_INTEGER: Final = 20
"""The sign and the digits of what 64 bits hold."""


def strict_json(text: str) -> Any:
    """The value of a JSON text. Keys that stand twice in an object, and `NaN` and the like, are refused.

    Raises:
        json.JSONDecodeError: it is not JSON. ValueError: it is, and is doubtful. RecursionError: it is nested too deep.
    """
    return json.loads(text, parse_int=_integer, parse_constant=_refuse_constant, object_pairs_hook=_object)


def _integer(text: str) -> int:
    """An integer; one of thousands of digits takes long, and Python refuses it in words of its own."""
    if len(text) > _LONGEST_INTEGER:
        raise ValueError(f"an integer of {len(text):,} characters has more than 64 bits")
    return int(text)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"JSON has no {name}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; the same key twice is a mistake, and which of the two would count is a guess."""
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands twice in an object")
    return made
