"""`process {rules, data}`: a step that changes fields of its data by rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from stepwell.definition.settings import Operation
from stepwell.ports.work import TaskContext, TaskError, TaskHandler, TaskResult
from stepwell.tasks.settings import merged, read_settings

EVERY: Final = "*"
"""In a path: every entry of a list, or every field of an object."""


class _Rule(msgspec.Struct):
    type: Literal["transform"]
    field: str
    operation: Operation
    if_missing: Literal["ignore", "fail"] | None = None


class _ProcessSettings(msgspec.Struct):
    rules: list[_Rule] | None = None
    data: Any = msgspec.UNSET
    data_from: list[Any] | None = None


class ProcessHandler(TaskHandler):
    """Applies the rules in order; the result is `{processed_data}`. Without rules that is the data itself."""

    async def run(self, config: Any, context: TaskContext) -> TaskResult:
        """Change the data.

        Raises:
            TaskError: (type `validation_error`) there is no data, a field that must be there is not, or its value is of
                another type than the operation takes; (type `invalid_config`) a rule is none.
        """
        settings = read_settings(config, _ProcessSettings, "process")
        data = settings.data if settings.data_from is None else merged(settings.data_from, "process")
        if data is msgspec.UNSET:
            raise _invalid("Invalid process input data: there is no `data`, and no dependency gives any")
        for rule in settings.rules or ():
            data = _applied(rule, data)
        return TaskResult({"processed_data": data})


def _applied(rule: _Rule, data: Any) -> Any:
    def change(value: Any) -> Any:
        try:
            return OPERATIONS[rule.operation](value)
        except (TypeError, ValueError) as error:
            raise _invalid(f"the field {rule.field!r} cannot be changed by {rule.operation}: {error}") from None

    try:
        return _changed(data, rule.field.split("."), change)
    except LookupError:
        if rule.if_missing == "fail":
            raise _invalid(f"there is no field {rule.field!r} to be changed by {rule.operation}") from None
        return data


def _changed(value: Any, path: Sequence[str], change: Callable[[Any], Any]) -> Any:
    """The value with what stands at the path changed. What it was made of stays as it is.

    Raises:
        LookupError: nothing stands there.
    """
    if not path:
        return change(value)
    part, rest = path[0], path[1:]
    if isinstance(value, dict):
        names = list(value) if part == EVERY else [part]
        return {**value, **{name: _changed(value[name], rest, change) for name in names}}
    if isinstance(value, list):
        chosen = range(len(value)) if part == EVERY else [_position(part, value)]
        return [_changed(each, rest, change) if number in chosen else each for number, each in enumerate(value)]
    raise LookupError(part)


def _position(part: str, entries: Sequence[Any]) -> int:
    if not (part.isascii() and part.isdigit()) or int(part) >= len(entries):
        raise LookupError(part)
    return int(part)


def _invalid(message: str) -> TaskError:
    return TaskError("validation_error", message)


def _of_text(change: Callable[[str], str]) -> Callable[[Any], Any]:
    def checked(value: Any) -> str:
        if not isinstance(value, str):
            raise TypeError(f"it takes a text, and this is {_described(value)}")
        return change(value)

    return checked


def _to_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


def _to_number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise TypeError(f"it takes a text or a number, and this is {_described(value)}")
    if not isinstance(value, str):
        return value
    try:
        number: int | float = msgspec.json.decode(value.strip(), type=int | float)
    except msgspec.DecodeError:
        raise ValueError("the text is no number") from None
    return number


def _described(value: Any) -> str:
    kinds = {type(None): "null", bool: "true or false", int: "a number", float: "a number", dict: "an object"}
    return kinds.get(type(value), "a list")


OPERATIONS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "uppercase": _of_text(str.upper),
    "lowercase": _of_text(str.lower),
    "capitalize": _of_text(str.capitalize),
    "title": _of_text(str.title),
    "trim": _of_text(str.strip),
    "reverse": _of_text(lambda text: text[::-1]),
    "to_text": _to_text,
    "to_number": _to_number,
}
"""What can be done with a value, by the name that rules use."""
