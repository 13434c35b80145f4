"""How amounts, spans of time and instants are written for people."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from stepwell.base.durations import DAY, HOUR, MILLISECOND, MINUTE, SECOND
from stepwell.base.instants import from_rfc3339

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def count(number: int, noun: str, plural: str | None = None) -> str:
    """`1 step`, `2 steps`, `1,000 steps`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def ranges(numbers: Iterable[int]) -> str:
    """Numbers in order, those that follow one another together: `0-3, 7`."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in found)


def took(micros: int) -> str:
    """A span of time, as exact as a person wants it: `12 ms`, `1.2 s`, `2 m 05 s`, `3 h 07 m`, `2 d 4 h`."""
    micros = max(micros, 0)
    if micros < MILLISECOND:
        return f"{micros / MILLISECOND:.1f} ms"
    if micros < SECOND - MILLISECOND // 2:
        return f"{round(micros / MILLISECOND)} ms"
    if micros < MINUTE - SECOND // 20:
        return f"{micros / SECOND:.1f} s"
    if micros < HOUR:
        return f"{micros // MINUTE} m {micros % MINUTE // SECOND:02} s"
    if micros < DAY:
        return f"{micros // HOUR} h {micros % HOUR // MINUTE:02} m"
    return f"{micros // DAY} d {micros % DAY // HOUR} h"


def took_ms(milliseconds: float | None) -> str:
    """The same for milliseconds, as reports have them; empty for None."""
    return took(round(milliseconds * MILLISECOND)) if milliseconds is not None else ""


def time_of_day(instant: int) -> str:
    """`10:05:00`, in the local time zone."""
    return f"{_local(instant):%H:%M:%S}"


def moment(instant: int, now: int) -> str:
    """When something is, seen from `now`: the time of the day, and the day where it is another one."""
    then = _local(instant)
    return f"{then:%H:%M:%S}" if then.date() == _local(now).date() else f"{then:%Y-%m-%d %H:%M}"


def local_time(rfc3339: str | None) -> str:
    """An instant of a report in local time, `2026-11-20 10:00:01`; empty for None."""
    if rfc3339 is None:
        return ""
    return f"{datetime.fromisoformat(rfc3339).astimezone():%Y-%m-%d %H:%M:%S}"


def exact_time(rfc3339: str) -> str:
    """The local time of the day of an instant of a report, to the millisecond: `10:00:01.250`."""
    return f"{datetime.fromisoformat(rfc3339).astimezone():%H:%M:%S.%f}"[:-3]


def day_or_time(rfc3339: str, now: int) -> str:
    """An instant of a report, in short: the local time of the day when that is today's, the day otherwise."""
    then = datetime.fromisoformat(rfc3339).astimezone()
    return f"{then:%H:%M:%S}" if then.date() == _local(now).date() else f"{then:%Y-%m-%d}"


def took_between(start: str, end: str | None) -> str:
    """The time between two instants of a report; empty when the second is None."""
    return took(from_rfc3339(end) - from_rfc3339(start)) if end is not None else ""


def size(number: int) -> str:
    """`512 bytes`, `20.0 kB`, `1.5 MB`."""
    amount, unit = float(number), ""
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1_000:
            break
        amount, unit = amount / 1_000, larger
    return f"{amount:.1f} {unit}" if unit else count(number, "byte")


def _local(instant: int) -> datetime:
    return (_EPOCH + timedelta(microseconds=instant)).astimezone()
