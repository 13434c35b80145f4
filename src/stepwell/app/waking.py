"""The event that would wake a waiting step: a command that publishes one."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from stepwell.base.filters import is_position
from stepwell.base.values import MASK, SECRETS, masked
from stepwell.decider.approval import answer_problem
from stepwell.execution.matching import COMBINATIONS, matches

UNKNOWN: Final = "DATA"
"""Stands in a command where the data must be thought of: no example was found, or an expression decides."""


def publish_command(event_type: str, filter_: Any, options: str) -> str:
    """`stepwell event publish ...` with data that satisfies the filter; `***` in it stands for what is secret.

    Args:
        filter_: the rendered filter of the wait; text when it is an expression.
        options: what the command needs to find the same store, with a space before it.
    """
    command = f"stepwell event publish {shlex.quote(event_type)}"
    if filter_:
        data = example_data(filter_) if isinstance(filter_, Mapping) else None
        shown = UNKNOWN if data is None else shlex.quote(json.dumps(data, ensure_ascii=False))
        command += f" -d {shown}"
    return command + options


def example_data(filter_: Mapping[str, Any]) -> dict[str, Any] | None:
    """Data that satisfies the filter, with `***` for secrets; None when none was found."""
    data: dict[str, Any] = {}
    for path, value in _wanted(filter_):
        if not _put(data, path.split("."), value):
            return None
    return masked(data) if _has_secret(filter_) or matches(filter_, data) else None


def example_answer(question: Mapping[str, Any]) -> dict[str, Any]:
    """Who may answer a question, and an answer that can be taken, as far as they can be thought of."""
    people = question.get("assigned_to")
    by = str((people[0] if isinstance(people, list) else people) if people else "NAME")
    response = _example_of(question.get("response_schema") or {"type": "boolean"}, 0)
    return {"by": by, "response": UNKNOWN if answer_problem(dict(question), by, response) else response}


def respond_command(execution: str, step: str, question: Mapping[str, Any], options: str) -> str:
    """`stepwell approval respond ...` with an answer that can be taken."""
    answer = example_answer(question)
    response = answer["response"]
    shown = UNKNOWN if response == UNKNOWN else shlex.quote(json.dumps(response, ensure_ascii=False))
    by = f" --by {shlex.quote(answer['by'])}" if question.get("assigned_to") else ""
    return f"stepwell approval respond {execution} {shlex.quote(step)} --response {shown}{by}{options}"


def _example_of(schema: Any, depth: int) -> Any:
    """A value for a JSON Schema that asks for nothing unusual."""
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return None
    choices, wanted, properties = schema.get("enum"), schema.get("required"), schema.get("properties")
    if isinstance(choices, list) and choices:
        return choices[0]
    named = schema.get("type")
    if named == "object" or isinstance(properties, Mapping):
        known = properties if isinstance(properties, Mapping) else {}
        names = [name for name in wanted if isinstance(name, str)] if isinstance(wanted, list) else []
        return {name: _example_of(known.get(name), depth + 1) for name in names}
    return schema.get("default", schema.get("const", _PLAIN.get(str(named))))


_DEEPEST: Final = 8
_PLAIN: Final[Mapping[str, Any]] = {"boolean": True, "string": "...", "integer": 1, "number": 1, "array": []}


def _wanted(filter_: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """(path, value) for everything that must be there."""
    for path, wanted in filter_.items():
        if path in COMBINATIONS:
            filters = wanted if path == "~and" else wanted[:1]
            for each in filters:
                yield from _wanted(each)
        elif _is_operators(wanted):
            fitting = [value for value in _candidates(wanted) if matches({"x": wanted}, {"x": value})]
            if fitting:
                yield path, fitting[0]
        else:
            yield path, MASK if isinstance(wanted, SECRETS) else wanted


def _is_operators(wanted: Any) -> bool:
    return isinstance(wanted, Mapping) and bool(wanted) and all(str(key).startswith("~") for key in wanted)


def _candidates(operators: Mapping[str, Any]) -> Iterator[Any]:
    for name, wanted in operators.items():
        if isinstance(wanted, SECRETS):
            yield MASK
        elif name in _EXAMPLES:
            yield _EXAMPLES[name](wanted)


def _more(wanted: Any) -> Any:
    return wanted + 1 if isinstance(wanted, (int, float)) else f"{wanted}a"


def _less(wanted: Any) -> Any:
    return wanted - 1 if isinstance(wanted, (int, float)) else ""


_EXAMPLES: Final[Mapping[str, Callable[[Any], Any]]] = {
    "~eq": lambda wanted: wanted,
    "~neq": _more,
    "~gt": _more,
    "~gte": lambda wanted: wanted,
    "~lt": _less,
    "~lte": lambda wanted: wanted,
    "~in": lambda wanted: wanted[0] if wanted else None,
    "~regex": lambda wanted: wanted.strip("^$") if isinstance(wanted, str) else None,
    "~starts": lambda wanted: wanted,
    "~ends": lambda wanted: wanted,
    "~contains": lambda wanted: wanted if isinstance(wanted, str) else [wanted],
    "~isnull": lambda wanted: None if wanted else 1,
    "~isempty": lambda wanted: "" if wanted else 1,
}
"""A value that may satisfy each operator. What is missing here is satisfied by a field that is not there."""


def _put(data: dict[str, Any], path: list[str], value: Any) -> bool:
    """Put the value at the path; a number in it is the position in a list. False when something else stands there."""
    at: Any = data
    for name, following in zip(path, [*path[1:], None], strict=True):
        inner: Any = value if following is None else [] if is_position(following) else {}
        if isinstance(at, list):
            if not is_position(name) or int(name) > len(at):
                return False
            if int(name) == len(at):
                at.append(inner)
            at = at[int(name)]
        elif isinstance(at, dict):
            at = at.setdefault(name, inner)
        else:
            return False
    return bool(at == value)


def _has_secret(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_secret, value.values()))
    return any(map(_has_secret, value)) if isinstance(value, list) else isinstance(value, SECRETS)
