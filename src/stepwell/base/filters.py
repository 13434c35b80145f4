"""Filters: which data satisfies which conditions, as data themselves.

A filter is a map from a dotted path to what must stand there: a plain value for equality, or a map of `~` operators.
All entries must hold; `~and` and `~or` hold lists of further filters. A missing field matches nothing but the negative
operators and `~isnull: true`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from stepwell.base.patterns import compiled
from stepwell.base.values import unsealed

MISSING: Final = object()
"""What is found where there is nothing."""


def matches(filter_: Any, data: Any) -> bool:
    """Whether data satisfies a filter. None and an empty map match everything."""
    if not filter_:
        return True
    return _matches(unsealed(filter_), data)


def _matches(filter_: Mapping[str, Any], data: Any) -> bool:
    for path, wanted in filter_.items():
        combine = COMBINATIONS.get(path)
        if combine is None:
            holds = _holds(wanted, _resolve(data, path))
        else:
            holds = combine(_matches(each, data) for each in wanted)
        if not holds:
            return False
    return True


def filter_problem(filter_: Any) -> str | None:
    """What is wrong with a filter's form, or None: it must be a map, its operators known, their values fitting."""
    if filter_ is None:
        return None
    if not isinstance(filter_, Mapping):
        return f"a filter is a map from a path in the event's data to a value, not {type(filter_).__name__}"
    for path, wanted in filter_.items():
        if not isinstance(path, str):
            return f"a filter's keys are paths in the event's data, and {path!r} is not text"
        if path in COMBINATIONS:
            problem = _combination_problem(path, wanted)
            if problem is not None:
                return problem
            continue
        for name in operators_of(wanted):
            problem = operator_problem(name, unsealed(wanted[name]))
            if problem is not None:
                return f"{path}: {problem}"
    return None


def _combination_problem(name: str, wanted: Any) -> str | None:
    if not isinstance(wanted, list) or not wanted:
        return f"{name} takes a list of filters"
    problems = (filter_problem(each if each is not None else "null") for each in wanted)
    return next((f"{name}: {problem}" for problem in problems if problem is not None), None)


def operator_problem(name: str, wanted: Any) -> str | None:
    """What is wrong with an operator and its value, or None."""
    if name not in OPERATORS:
        return f"unknown operator {name!r}; known: {', '.join(sorted(OPERATORS))}"
    if name in ("~in", "~nin") and not isinstance(wanted, list):
        return f"{name} takes a list"
    if name in ("~isnull", "~isempty") and not isinstance(wanted, bool):
        return f"{name} takes true or false"
    if name in ("~regex", "~nregex") and not (isinstance(wanted, str) and compiled(wanted) is not None):
        return f"{name} takes a regular expression"
    return None


def operators_of(wanted: Any) -> list[str]:
    """The operators that an entry of a filter holds; none when it asks for equality."""
    if isinstance(wanted, Mapping) and wanted and all(isinstance(key, str) and key.startswith("~") for key in wanted):
        return list(wanted)
    return []


def _holds(wanted: Any, found: Any) -> bool:
    names = operators_of(wanted)
    if not names:
        return found is not MISSING and _equal(found, wanted)
    return all(name in OPERATORS and OPERATORS[name](found, wanted[name]) for name in names)


def is_position(text: str) -> bool:
    """Whether a part of a path is the position of an item in a list."""
    return text.isascii() and text.isdigit() and len(text) < 10


def _resolve(data: Any, path: str) -> Any:
    """What stands at the dotted path; list positions are numbers (`items.0.id`)."""
    if isinstance(data, Mapping) and path in data:
        return data[path]
    head, dot, rest = path.partition(".")
    while True:
        inner = _member(data, head)
        if inner is not MISSING:
            found = _resolve(inner, rest) if dot else inner
            if found is not MISSING or not dot:
                return found
        if not dot:
            return MISSING
        more, dot, rest = rest.partition(".")
        head = f"{head}.{more}"


def _member(data: Any, name: str) -> Any:
    if isinstance(data, Mapping):
        return data.get(name, MISSING)
    if isinstance(data, list) and is_position(name) and int(name) < len(data):
        return data[int(name)]
    return MISSING


def _equal(left: Any, right: Any) -> bool:
    """JSON equality: true is not 1, and 1 is 1.0."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(_equal(left[key], right[key]) for key in left)
    return bool(left == right)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def holds(found: Any, wanted: Any) -> bool:
        numbers = _is_number(found) and _is_number(wanted)
        return (numbers or (isinstance(found, str) and isinstance(wanted, str))) and compare(found, wanted)

    return holds


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _text(check: Callable[[str, str], bool]) -> Callable[[Any, Any], bool]:
    return lambda found, wanted: isinstance(found, str) and isinstance(wanted, str) and check(found, wanted)


def _contains(found: Any, wanted: Any) -> bool:
    if isinstance(found, str):
        return isinstance(wanted, str) and wanted in found
    return isinstance(found, list) and any(_equal(item, wanted) for item in found)


def _in(found: Any, wanted: Any) -> bool:
    return found is not MISSING and isinstance(wanted, list) and any(_equal(found, item) for item in wanted)


def _regex(found: str, wanted: str) -> bool:
    pattern = compiled(wanted)
    return pattern is not None and pattern.search(found) is not None


def _is_null(found: Any, wanted: Any) -> bool:
    return (found is MISSING or found is None) is bool(wanted)


def _is_empty(found: Any, wanted: Any) -> bool:
    return found is not MISSING and (found is None or found in ("", [], {})) is bool(wanted)


def _not(check: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    return lambda found, wanted: not check(found, wanted)


def _eq(found: Any, wanted: Any) -> bool:
    return found is not MISSING and _equal(found, wanted)


_starts = _text(lambda found, wanted: found.startswith(wanted))
_ends = _text(lambda found, wanted: found.endswith(wanted))

COMBINATIONS: Final[Mapping[str, Callable[[Iterable[bool]], bool]]] = {"~and": all, "~or": any}
"""In the place of a path: how the filters in the list behind it are combined."""

OPERATORS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "~eq": _eq,
    "~neq": _not(_eq),
    "~gt": _ordered(lambda found, wanted: found > wanted),
    "~gte": _ordered(lambda found, wanted: found >= wanted),
    "~lt": _ordered(lambda found, wanted: found < wanted),
    "~lte": _ordered(lambda found, wanted: found <= wanted),
    "~in": _in,
    "~nin": _not(_in),
    "~regex": _text(_regex),
    "~nregex": _not(_text(_regex)),
    "~starts": _starts,
    "~nstarts": _not(_starts),
    "~ends": _ends,
    "~nends": _not(_ends),
    "~contains": _contains,
    "~ncontains": _not(_contains),
    "~isnull": _is_null,
    "~isempty": _is_empty,
}
"""The operators of an event filter; each takes (what was found, what the filter says)."""
