"""Making a JSON value of whatever a task returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set, ValuesView
from typing import Any, Final

import msgspec

from stepwell.base.values import Sealed, check_json, transform_leaves

_SCALARS: Final = frozenset({str, int, float, bool, type(None)})
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class _HoldsSealed(Exception):
    """A value is sealed already, which msgspec cannot carry."""


class _Foreign(TypeError):
    """A value is of a type that has no JSON form."""

    def __init__(self, value: object) -> None:
        self.kind = type(value).__name__
        super().__init__(f"is of type {self.kind}, which is not a JSON value")


def normalised(value: Any, what: str = "the result") -> Any:
    """A copy of `value` made of JSON values only; what the task keeps and changes later does not change it.

    Converted: dataclasses, msgspec and pydantic models, named tuples, tuples, sets, deques, ranges, mappings, enums,
    and (to text) dates, times, durations, `Decimal`, `UUID`. `Sealed` values stay.

    Raises:
        ValueError: it cannot be stored, with the path of the first offence: another type, NaN, an integer of more than
            64 bits, a key that is not text, too deep, too large.
    """
    if value is None:
        return None
    if type(value) not in _SCALARS:
        value = _plain(value, what)
    check_json(value, what=what)
    return value


def _plain(value: Any, what: str) -> Any:
    try:
        # The way through bytes turns the tuples that `to_builtins` keeps into lists.
        return _decode(_encode(_converted(value)))
    except _HoldsSealed:
        return transform_leaves(value, lambda leaf: leaf if isinstance(leaf, Sealed) else _plain(leaf, what))
    except RecursionError:
        raise ValueError(f"{what} is nested too deep, or contains itself") from None
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
        raise ValueError(_offence(value, what) or f"{what} cannot be stored: {error}") from None


def _converted(value: Any) -> Any:
    return msgspec.to_builtins(value, builtin_types=(bytes, bytearray), enc_hook=_simpler)


def _simpler(value: Any) -> Any:
    """A value msgspec does not know, in terms of what it knows."""
    if isinstance(value, Sealed):
        raise _HoldsSealed
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, (int, float)):
        return int(value) if isinstance(value, int) else float(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (Sequence, Set, ValuesView)):
        return list(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    raise _Foreign(value)


def _offence(value: Any, path: str) -> str | None:
    """Where in a value that could not be converted the reason lies, as a sentence."""
    if isinstance(value, Mapping):
        inner = (_offence(item, f"{path}.{key}") for key, item in value.items())
    elif isinstance(value, (list, tuple)):
        inner = (_offence(item, f"{path}[{position}]") for position, item in enumerate(value))
    else:
        return _leaf_offence(value, path)
    return next((found for found in inner if found is not None), None)


def _leaf_offence(value: Any, path: str) -> str | None:
    try:
        plain = _converted(value)
        if plain is not value:
            plain = _decode(_encode(plain))
        check_json(plain, what=path)
    except _Foreign as error:
        verb = "is" if error.kind == type(value).__name__ else "holds something"
        return f"{path} {verb} of type {error.kind}, which is not a JSON value"
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        return str(error)
    return None
