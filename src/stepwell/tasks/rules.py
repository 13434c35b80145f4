"""The built-in rules of validation steps.

A rule is given a value and its parameters, and returns what the value must be when it is not: never the value itself.
A value that is missing or null satisfies every rule but `required` and `not_empty`, so that optional fields can have
rules too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Final, TypeAlias

from stepwell.ports.work import TaskError

Check: TypeAlias = Callable[..., str | None]


@dataclass(frozen=True, slots=True)
class BuiltInRule:
    """A rule and the parameters it knows; all of `required` must be given."""

    check: Check
    required: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    checks_null: bool = False

    def problem(self, name: str, value: Any, parameters: Mapping[str, Any]) -> str | None:
        """What the value must be, or None when it is right.

        Raises:
            TaskError: (type `invalid_config`) a parameter is missing, unknown, or of the wrong type.
        """
        for missing in sorted(self.required - parameters.keys()):
            raise _wrong(name, f"needs {missing!r}")
        for unknown in sorted(parameters.keys() - self.required - self.optional):
            raise _wrong(name, f"does not know {unknown!r}")
        if value is None and not self.checks_null:
            return None
        try:
            return self.check(value, **parameters)
        except (TypeError, ValueError) as error:
            raise _wrong(name, f"cannot be applied: {error}") from None


def _wrong(name: str, reason: str) -> TaskError:
    return TaskError("invalid_config", f"the rule {name!r} {reason}")


def _required(value: Any) -> str | None:
    return "is required" if value is None else None


def _not_empty(value: Any) -> str | None:
    empty = value is None or (isinstance(value, str) and not value.strip()) or value in ([], {})
    return "must not be empty" if empty else None


def _format(name: str, expected: str) -> Check:
    return lambda value: None if isinstance(value, str) and _formats(name).is_valid(value) else f"must be {expected}"


def _url(value: Any) -> str | None:
    fine = isinstance(value, str) and "://" in value and _formats("uri").is_valid(value)
    return None if fine else "must be a URL such as https://host/path"


def _kind(*kinds: type, expected: str) -> Check:
    def check(value: Any) -> str | None:
        is_number_by_accident = isinstance(value, bool) and bool not in kinds
        return None if isinstance(value, kinds) and not is_number_by_accident else f"must be {expected}"

    return check


def _regex(value: Any, pattern: str) -> str | None:
    """The pattern may match anywhere in the text: anchor it with `^` and `$`."""
    expression = _compiled(pattern)
    return None if isinstance(value, str) and expression.search(value) else "does not have the right form"


def _min(value: Any, value_: float) -> str | None:
    return None if _is_number(value) and value >= value_ else f"must be at least {value_}"


def _max(value: Any, value_: float) -> str | None:
    return None if _is_number(value) and value <= value_ else f"must be at most {value_}"


def _length(value: Any, min: int = 0, max: int | None = None) -> str | None:  # noqa: A002 - the parameter's name
    if not isinstance(value, (str, list, dict)):
        return "must be text, a list or an object"
    unit = "characters" if isinstance(value, str) else "entries"
    if len(value) < min:
        return f"must have at least {min} {unit}"
    if max is not None and len(value) > max:
        return f"must have at most {max} {unit}"
    return None


def _min_length(value: Any, value_: int) -> str | None:
    return _length(value, min=value_)


def _max_length(value: Any, value_: int) -> str | None:
    return _length(value, max=value_)


def _one_of(value: Any, values: list[Any]) -> str | None:
    known = any(type(item) is type(value) and item == value for item in values)
    return None if known else "must be one of the allowed values"


def _equals(value: Any, value_: Any) -> str | None:
    return None if value == value_ else "must have the required value"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _with_limit(check: Check) -> BuiltInRule:
    """A rule with one parameter, which is called `value` in the document."""
    return BuiltInRule(lambda found, value: check(found, value), frozenset({"value"}))


@cache
def _formats(name: str) -> Any:
    import jsonschema_rs  # here and below: a command that only checks definitions knows the rules and runs none

    return jsonschema_rs.Draft202012Validator({"type": "string", "format": name}, validate_formats=True)


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error:
        raise ValueError("its pattern is not a regular expression (RE2)") from None


_PATTERN: Final = BuiltInRule(_regex, frozenset({"pattern"}))

BUILT_IN: Final[Mapping[str, BuiltInRule]] = {
    "required": BuiltInRule(_required, checks_null=True),
    "not_empty": BuiltInRule(_not_empty, checks_null=True),
    "email": BuiltInRule(_format("email", "an e-mail address")),
    "uuid": BuiltInRule(_format("uuid", "a UUID")),
    "url": BuiltInRule(_url),
    "date": BuiltInRule(_format("date", "a date such as 2026-12-31")),
    "date_time": BuiltInRule(_format("date-time", "a time such as 2026-12-31T23:59:59Z")),
    "regex": _PATTERN,
    "pattern": _PATTERN,
    "min": _with_limit(_min),
    "max": _with_limit(_max),
    "length": BuiltInRule(_length, optional=frozenset({"min", "max"})),
    "min_length": _with_limit(_min_length),
    "max_length": _with_limit(_max_length),
    "one_of": BuiltInRule(_one_of, frozenset({"values"})),
    "equals": _with_limit(_equals),
    "text": BuiltInRule(_kind(str, expected="text")),
    "integer": BuiltInRule(_kind(int, expected="an integer")),
    "number": BuiltInRule(_kind(int, float, expected="a number")),
    "boolean": BuiltInRule(_kind(bool, expected="true or false")),
    "list": BuiltInRule(_kind(list, expected="a list")),
    "object": BuiltInRule(_kind(dict, expected="an object")),
}
"""Every built-in rule by name."""
