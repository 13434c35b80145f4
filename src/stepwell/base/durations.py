"""Durations: `90` (seconds), `500ms`, `1h30m`, `1.5s`, `7d`, and ISO 8601 `PT5M`, `P1DT2H`.

Inside the engine a duration is an integer number of microseconds, and so is an instant (since the Unix epoch, UTC):
integers add up exactly and replay the same on every machine.
"""

from __future__ import annotations

import re
from typing import Final

MICROSECOND: Final = 1
MILLISECOND: Final = 1_000
SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
WEEK: Final = 7 * DAY
LONGEST: Final = 36_500 * DAY
"""A hundred years: more than that is a mistake, and keeps every sum inside 64 bits."""

_UNITS: Final = {"us": MICROSECOND, "ms": MILLISECOND, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": WEEK}
_PART = re.compile(r"(\d{1,15}(?:\.\d{1,20})?)(us|ms|s|m|h|d|w)", re.ASCII)
_NUMBER = re.compile(r"\d{1,15}(?:\.\d{1,20})?", re.ASCII)
_ISO = re.compile(
    r"P(?:(?P<w>\d{1,9})W)?(?:(?P<d>\d{1,9})D)?(?:T(?:(?P<h>\d{1,9})H)?(?:(?P<m>\d{1,9})M)?(?:(?P<s>\d{1,9}(?:\.\d{1,20})?)S)?)?",
    re.ASCII,
)
EXPECTED: Final = "a duration such as 30s, 5m, 1h30m, 500ms, 90 (seconds) or PT5M"


def parse_duration(value: object) -> int:
    """The duration in microseconds.

    Args:
        value: a number of seconds, or text in one of the notations above.

    Raises:
        ValueError: with a message that says what was seen and what is expected.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"{value!r} is not a duration; expected {EXPECTED}")
    amount = _parse_text(value.strip() if isinstance(value, str) else _written(value))
    if amount is None:
        raise ValueError(f"{value!r} is not a duration; expected {EXPECTED}")
    if amount > LONGEST:
        raise ValueError(f"{value!r} is longer than 100 years, the longest duration")
    return amount


def _written(seconds: int | float) -> str:
    return f"{seconds:.9f}" if isinstance(seconds, float) else str(seconds)


def _parse_text(text: str) -> int | None:
    if _NUMBER.fullmatch(text):
        return _scaled(text, SECOND)
    if text.startswith("P"):
        return _parse_iso(text)
    total, position, smallest = 0, 0, WEEK + 1
    for part in _PART.finditer(text):
        unit = _UNITS[part.group(2)]
        amount = _scaled(part.group(1), unit)
        if part.start() != position or unit >= smallest or amount is None:
            return None
        total, position, smallest = total + amount, part.end(), unit
    return total if position == len(text) and position > 0 else None


def _parse_iso(text: str) -> int | None:
    match = _ISO.fullmatch(text)
    if match is None or text.endswith(("P", "T")):
        return None
    parts = [_scaled(amount, _UNITS[unit]) for unit, amount in match.groupdict().items() if amount is not None]
    return sum(part for part in parts if part is not None)


def _scaled(number: str, unit: int) -> int | None:
    """`number` (decimal text) times `unit`, rounded to microseconds, computed without floating point."""
    if not _NUMBER.fullmatch(number):
        return None
    whole, _, fraction = number.partition(".")
    scaled = int(whole) * unit
    if fraction:
        scaled += (int(fraction) * unit + 10 ** len(fraction) // 2) // 10 ** len(fraction)
    return scaled


def format_duration(micros: int) -> str:
    """The shortest exact notation people read: `0s`, `250ms`, `1h30m`, `1.5s`."""
    if micros == 0:
        return "0s"
    if micros < 0:
        return "-" + format_duration(-micros)
    if micros < MILLISECOND:
        return f"{micros}us"
    if micros < SECOND:
        return f"{_decimal(micros, MILLISECOND)}ms"
    text = ""
    for name, unit in (("d", DAY), ("h", HOUR), ("m", MINUTE)):
        count, micros = divmod(micros, unit)
        text += f"{count}{name}" if count else ""
    return text + (f"{_decimal(micros, SECOND)}s" if micros else "")


def _decimal(amount: int, unit: int) -> str:
    whole, rest = divmod(amount, unit)
    digits = len(str(unit)) - 1
    return f"{whole}.{rest:0{digits}d}".rstrip("0") if rest else str(whole)
