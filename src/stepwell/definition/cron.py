"""Cron expressions: what they may say, and what is wrong with one.

Five fields, or six with the second before them:

    0 9 * * mon-fri        */15 * * * *        0 0 L * *        0 12 * * 5#2        30 0 9 * * *

When both the day of the month and the weekday are restricted, a day counts that satisfies either, as in Debian's cron;
when one of them begins with a star, it must satisfy both.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

WORDS: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
EXPECTED: Final = "five fields: minute hour day month weekday, such as `0 9 * * mon-fri`; or @daily and the like"


class _Field(NamedTuple):
    name: str
    least: int
    most: int
    words: tuple[str, ...] = ()


_MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_FIELDS: Final = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("weekday", 0, 7, _DAYS),
)
_LONGEST_MONTHS: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_NUMBER: Final = re.compile(r"[0-9]{1,4}", re.ASCII)
_MOST_TERMS: Final = 100


class Cron(NamedTuple):
    """A cron expression that is right.

    Attributes:
        seconds: in rising order.
        fields: minute, hour, day, month and weekday, in capitals.
    """

    seconds: tuple[int, ...]
    fields: str


def parse_cron(text: str) -> Cron:
    """Read a cron expression.

    Raises:
        ValueError: with a message that says which field is wrong, and how.
    """
    fields = WORDS.get(text.strip().lower(), text).upper().split()
    if len(fields) == 5:
        fields.insert(0, "0")
    if len(fields) != 6:
        raise ValueError(f"it has {len(fields)} fields")
    fields = [*fields[:3], fields[3].replace("?", "*"), fields[4], fields[5].replace("?", "*")]
    values = [_values(field, text) for field, text in zip(_FIELDS, fields, strict=True)]
    _check_days(fields, values)
    return Cron(tuple(sorted(values[0])), " ".join(fields[1:]))


def cron_problem(text: str) -> str | None:
    """What is wrong with a cron expression, or None."""
    try:
        parse_cron(text)
    except ValueError as error:
        return str(error)
    return None


def _values(field: _Field, text: str) -> set[int]:
    """The numbers that a field names, as far as they are plain ones."""
    terms = text.split(",")
    if len(terms) > _MOST_TERMS:
        raise ValueError(f"its {field.name} lists more than {_MOST_TERMS} values")
    return {value for term in terms for value in _term(field, term)}


def _term(field: _Field, term: str) -> set[int]:
    special = _special(field, term)
    if special is not None:
        return special
    range_, slash, step = term.partition("/")
    every = _number(field, step, 1, field.most + 1, "a step") if slash else 1
    first, dash, last = range_.partition("-")
    if range_ == "*":
        start, end = field.least, field.most
    else:
        start = _value(field, first)
        end = _value(field, last) if dash else field.most if slash else start
    if end < start:
        raise ValueError(f"its {field.name} {term!r} ends before it begins")
    return set(range(start, end + 1, every))


def _special(field: _Field, term: str) -> set[int] | None:
    """What is said with letters: the last day, the last weekday of the month, the last or the n-th of a weekday."""
    if field.name == "day" and term in ("L", "LW"):
        return set()
    if field.name == "weekday" and term.endswith("L") and len(term) > 1:
        _number(field, term[:-1], 0, 7, "a weekday")
        return set()
    if field.name == "weekday" and "#" in term:
        day, _, number = term.partition("#")
        _value(field, day)
        _number(field, number, 1, 5, "the number after #")
        return set()
    return None


def _value(field: _Field, text: str) -> int:
    if text in field.words:
        return field.words.index(text) + field.least
    return _number(field, text, field.least, field.most, "a value")


def _number(field: _Field, text: str, least: int, most: int, what: str) -> int:
    if not _NUMBER.fullmatch(text) or not least <= int(text) <= most:
        raise ValueError(f"its {field.name} says {text[:20]!r} where {what} from {least} to {most} is expected")
    return int(text)


def _check_days(fields: list[str], values: list[set[int]]) -> None:
    """Refuse a day that no month of those named has: it would never come."""
    both_count = fields[3].startswith("*") or fields[5].startswith("*")
    days, months = values[3], values[4]
    if both_count and days and "L" not in fields[3] and min(days) > max(_LONGEST_MONTHS[each - 1] for each in months):
        raise ValueError(f"no month that it names has a day {min(days)}")
