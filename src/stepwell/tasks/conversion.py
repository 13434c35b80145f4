"""Turning a JSON value into what a parameter's annotation asks for.

Strict where JSON itself has the type: `"5"` is no integer, `1` is no text, `true` is no number. What JSON cannot write
is read from its usual notation: dates, times, durations, `UUID`, `Decimal`, enums, sets, tuples, dataclasses, pydantic
models. Values are copied, so that a function may change what it is given.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any, Final, TypeAlias, Union, get_args, get_origin

import msgspec

Conversion: TypeAlias = Callable[[Any], Any]
"""Returns the converted value, or raises `Unfit`."""


class Unfit(ValueError):
    """A value is not what the annotation asks for; `problems` holds (path inside the value, message) pairs."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(message for _, message in problems))
        self.problems = problems


_NAMES: Final[dict[type, str]] = {
    str: "text",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    dict: "an object",
    list: "a list",
    type(None): "null",
}
_SCALARS: Final = frozenset({str, int, float, bool, type(None)})


def copied(value: Any) -> Any:
    """A copy of a JSON value; what cannot change is not copied."""
    return value if type(value) in _SCALARS else msgspec.to_builtins(value)


def conversion_to(annotation: Any) -> Conversion:
    """How to convert to an annotated type. A type that pydantic does not know is not checked."""
    if annotation is Any or annotation is object:
        return copied
    choices = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    choices = tuple(type(None) if choice is None else choice for choice in choices)
    if all(choice in _NAMES for choice in choices if isinstance(choice, type)) and all(
        isinstance(choice, type) for choice in choices
    ):
        return _conversion_to_json_types(choices)
    return _conversion_by_pydantic(annotation)


def _conversion_to_json_types(choices: tuple[type, ...]) -> Conversion:
    expected = " or ".join(_NAMES[choice] for choice in choices)
    widen = float in choices and int not in choices

    def convert(value: Any) -> Any:
        kind = type(value)
        if kind in choices:
            return copied(value)
        if widen and kind is int:
            return float(value)
        raise Unfit([("", f"must be {expected}, not {_NAMES.get(kind, kind.__name__)}")])

    return convert


def _conversion_by_pydantic(annotation: Any) -> Conversion:
    from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError

    try:
        adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    except (PydanticSchemaGenerationError, PydanticUserError):
        return copied

    def convert(value: Any) -> Any:
        try:
            return adapter.validate_json(msgspec.json.encode(value), strict=True)
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False, include_input=False)
        raise Unfit([("".join(f".{part}" for part in item["loc"]), _message(item["msg"])) for item in found])

    return convert


def _message(text: str) -> str:
    return text.replace("Input should be", "must be")
