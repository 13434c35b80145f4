"""Functions on times and durations. A time is RFC 3339 text, in UTC unless it says otherwise, as `now()` gives it."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from stepwell.base.durations import parse_duration
from stepwell.base.instants import from_rfc3339, to_rfc3339
from stepwell.expression.data import representable
from stepwell.expression.errors import ExpressionError
from stepwell.expression.functions import FunctionSet

TIMES: Final = FunctionSet()
_SECOND: Final = 1_000_000
_LONGEST: Final = 100
_DIRECTIVE: Final = re.compile(r"%(.?)", re.DOTALL)
_DIRECTIVES: Final = "YmdHMSfjy"


@TIMES.define()
def parse_time(value: str | int | float) -> str:
    """A time in any ISO 8601 notation, or in seconds since 1970, as RFC 3339 text in UTC.

    Example: parse_time('2026-01-01T12:00:00+02:00') == '2026-01-01T10:00:00Z'
    """
    return _time(_instant(value))


@TIMES.define()
def timestamp(value: str) -> int | float:
    """The seconds from 1970 to a time. Example: timestamp('1970-01-02T00:00:00Z') == 86400"""
    return _seconds(_instant(value))


@TIMES.define()
def format_time(value: str | int | float, format_: str = "%Y-%m-%d %H:%M:%S") -> str:
    """A time in another notation: %Y %m %d %H %M %S %f %j %y and %% are filled in.

    Example: format_time('2026-01-31T10:00:00Z', '%d.%m.%Y') == '31.01.2026'
    """
    moment = datetime.fromisoformat(parse_time(value))
    return _DIRECTIVE.sub(lambda directive: _filled(moment, directive[1]), format_)


@TIMES.define()
def add_time(value: str, duration_: str | int | float) -> str:
    """A time moved by a duration, back when that begins with a minus sign.

    Example: add_time('2026-01-31T10:00:00Z', '1h30m') == '2026-01-31T11:30:00Z'
    """
    return _time(_instant(value) + _duration(duration_))


@TIMES.define()
def duration(value: str | int | float) -> int | float:
    """The seconds of a duration such as 1h30m, 500ms or PT5M. Example: duration('1h30m') == 5400"""
    return _seconds(_duration(value))


def _instant(value: str | int | float) -> int:
    try:
        return from_rfc3339(value) if isinstance(value, str) else int(value * _SECOND)
    except (ValueError, OverflowError):
        raise _not_a_time() from None


def _time(instant: int) -> str:
    try:
        return to_rfc3339(instant)
    except OverflowError:
        raise _not_a_time() from None


def _not_a_time() -> ExpressionError:
    return ExpressionError(
        "this is not a time",
        code="invalid-argument",
        hint="expected text such as 2026-01-31T10:00:00Z, in the years 1 to 9999",
    )


def _duration(value: str | int | float) -> int:
    negative = value.startswith("-") if isinstance(value, str) else value < 0
    if isinstance(value, str) and len(value) > _LONGEST:
        raise ExpressionError(f"a duration does not have {len(value)} characters", code="invalid-argument")
    try:
        if isinstance(value, str):
            micros = parse_duration(value[1:] if negative else value)
        else:
            micros = parse_duration(abs(value))
    except ValueError as error:
        raise ExpressionError(str(error), code="invalid-argument") from None
    return -micros if negative else micros


def _seconds(micros: int) -> int | float:
    return micros // _SECOND if micros % _SECOND == 0 else representable(micros / _SECOND)


def _filled(moment: datetime, directive: str) -> str:
    if directive == "%":
        return "%"
    if directive == "Y":
        return f"{moment.year:04}"
    if directive not in _DIRECTIVES or not directive:
        raise ExpressionError(
            f"format_time() does not know %{directive}",
            code="invalid-argument",
            hint="it fills in " + " ".join(f"%{known}" for known in _DIRECTIVES) + " and %%",
        )
    return moment.strftime(f"%{directive}")
