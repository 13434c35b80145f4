"""When schedules are due. Pure arithmetic: no clock is read.

A time that daylight saving leaves out in spring is due at the first minute after the gap; one that comes twice in the
autumn is due the first time. What recurs within an hour (`*/15 * * * *`), or every hour, goes by the hours that pass.
All instants and durations are integers of microseconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final, Literal, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from cronsim import CronSim

from stepwell.base.derive import derived_bytes
from stepwell.base.durations import MINUTE, SECOND, parse_duration
from stepwell.base.errors import UsageError
from stepwell.base.instants import from_rfc3339
from stepwell.definition.cron import EXPECTED, parse_cron

CatchUp = Literal["skip", "one", "all"]
Overlap = Literal["allow", "skip"]

ON_TIME: Final = MINUTE
"""A time that is found due no later than this was not missed."""

MOST_CAUGHT_UP: Final = 1_000
"""So many missed times, the newest, are made up for at most."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
FIRST: Final = from_rfc3339("1900-01-01T00:00:00Z")
LAST: Final = from_rfc3339("2500-01-01T00:00:00Z")
"""No time is due that is not later than the one, or that is later than the other."""


class BadSchedule(UsageError):
    """A schedule that cannot be one. `field` is the setting that is wrong, or None."""

    code = "bad-schedule"

    def __init__(self, message: str, field: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.field = field


class Timing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When something is due; exactly one of `cron`, `every`, `at`.

    Attributes:
        cron: an expression that `parse_cron` reads.
        every: an interval; times are its multiples, counted from `anchor`.
        at: one instant.
        timezone: in which `cron` is meant.
        anchor: an instant; the Unix epoch unless said otherwise.
        jitter: up to how much later than its time something happens.
        catch_up: what becomes of missed times: nothing, the newest is made up for, or all of them.
        overlap: whether it may be due while what was started by it before still runs.
    """

    cron: str | None = None
    every: int | None = None
    at: int | None = None
    timezone: str = "UTC"
    anchor: int = 0
    jitter: int = 0
    catch_up: CatchUp = "one"
    overlap: Overlap = "allow"


class Due(NamedTuple):
    """What is to be made of the times that have come.

    Attributes:
        fire: in order.
        missed: how many are not made up for, as far as they were counted, from the instant `since` on.
        next: the next time after all of them; None when there is none.
    """

    fire: tuple[int, ...]
    missed: int
    next: int | None


def timing_of(settings: Mapping[str, Any]) -> Timing:
    """The timing that settings say as a trigger writes them.

    Raises:
        BadSchedule: naming the setting that is wrong.
    """
    given = [key for key in ("cron", "every", "at") if settings.get(key) is not None]
    if len(given) != 1:
        raise BadSchedule("a schedule is exactly one of `cron`, `every`, `at`")
    zone = _zone_name(settings.get("timezone"))
    anchor = settings.get("anchor")
    return Timing(
        cron=_cron(settings["cron"]) if given == ["cron"] else None,
        every=_interval(settings["every"]) if given == ["every"] else None,
        at=_instant(settings["at"], zone, "at") if given == ["at"] else None,
        timezone=zone,
        anchor=_instant(anchor, zone, "anchor") if anchor is not None else 0,
        jitter=_duration(settings.get("jitter") or 0, "jitter"),
        catch_up=_one_of(settings.get("catch_up"), ("one", "skip", "all"), "catch_up"),
        overlap=_one_of(settings.get("overlap"), ("allow", "skip"), "overlap"),
    )


def next_due(timing: Timing, after: int) -> int | None:
    """The first time later than `after`; None when there is none."""
    if after >= LAST:
        return None
    after = max(after, FIRST)
    if timing.at is not None:
        return timing.at if timing.at > after else None
    if timing.every is not None:
        due = timing.anchor + ((after - timing.anchor) // timing.every + 1) * timing.every
        return due if due <= LAST else None
    return next(_cron_times(timing, after), None)


def times(timing: Timing, after: int, until: int | None = None) -> Iterator[int]:
    """The times later than `after`, and not later than `until`, in order."""
    if timing.cron is not None:
        for due in _cron_times(timing, after):
            if until is not None and due > until:
                return
            yield due
        return
    due_next = next_due(timing, after)
    while due_next is not None and (until is None or due_next <= until):
        yield due_next
        due_next = next_due(timing, due_next)


def jittered(timing: Timing, key: str, due: int) -> int:
    """When what is due at `due` happens: the same on every node and after every restart."""
    if not timing.jitter:
        return due
    return due + int.from_bytes(derived_bytes(b"jitter", key, due, size=8)) % (timing.jitter + 1)


def what_is_due(timing: Timing, key: str, first: int, now: int) -> Due:
    """What to make of the times that have come: `first`, which has not been dealt with yet, and those after it.

    The newest of them counts as missed when it is found more than `ON_TIME` late; those before it do in any case.
    """
    newest: deque[int] = deque(maxlen=MOST_CAUGHT_UP if timing.catch_up == "all" else 1)
    come, due = 0, _begin(timing, first, now)
    later = times(timing, due)
    upcoming: int | None = due
    while upcoming is not None and jittered(timing, key, upcoming) <= now:
        come += 1
        newest.append(upcoming)
        upcoming = next(later, None)
    if newest and timing.catch_up == "skip" and now - jittered(timing, key, newest[-1]) > ON_TIME:
        newest.clear()
    return Due(tuple(newest), come - len(newest), upcoming)


def _begin(timing: Timing, first: int, now: int) -> int:
    """`first`; when more times have come since than could be made up for, one of the newest: a schedule of every second
    that nobody looked at for a year is not counted through."""
    come = sum(1 for _ in islice(times(timing, first, now), 2 * MOST_CAUGHT_UP))
    if come < 2 * MOST_CAUGHT_UP:
        return first
    if timing.every is not None:
        recent = next_due(timing, now - timing.jitter - timing.every * (MOST_CAUGHT_UP + 1))
        return first if recent is None else max(first, recent)
    return _nth_before(timing, now - timing.jitter, MOST_CAUGHT_UP)


def _nth_before(timing: Timing, instant: int, count: int) -> int:
    """A time of a cron expression with at least `count` others between it and the instant."""
    cron = parse_cron(timing.cron or "")
    backwards = CronSim(cron.fields, _moment(instant, timing.timezone), reverse=True)
    minutes = -(-count // len(cron.seconds)) + 2
    return _micros(next(islice(backwards, minutes, None))) + cron.seconds[0] * SECOND


def _cron_times(timing: Timing, after: int) -> Iterator[int]:
    """The times of a cron expression later than `after`."""
    if after >= LAST:
        return
    after = max(after, FIRST)
    cron = parse_cron(timing.cron or "")
    minute = after - after % MINUTE
    for moment in CronSim(cron.fields, _moment(minute - SECOND, timing.timezone)):
        for second in cron.seconds:
            due = _micros(moment) + second * SECOND
            if due > LAST:
                return
            if due > after:
                yield due
                after = due


def _moment(instant: int, zone: str) -> datetime:
    return (_EPOCH + timedelta(microseconds=instant)).astimezone(UTC if zone == "UTC" else ZoneInfo(zone))


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


# Reading settings


def _cron(written: Any) -> str:
    try:
        parse_cron(str(written))
    except ValueError as error:
        message = f"{str(written)[:60]!r} is not a cron expression: {error}"
        raise BadSchedule(message, "cron", f"expected {EXPECTED}") from None
    return str(written)


def _interval(written: Any) -> int:
    interval = _duration(written, "every")
    if interval < SECOND:
        raise BadSchedule(f"every {written!r} is too often; the shortest interval is 1s", "every")
    return interval


def _duration(written: Any, field: str) -> int:
    try:
        return parse_duration(written)
    except ValueError as error:
        raise BadSchedule(f"{field}: {error}", field) from None


def _instant(written: Any, zone: str, field: str) -> int:
    """An instant; one without an offset is meant in the zone."""
    try:
        moment = datetime.fromisoformat(str(written))
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=ZoneInfo(zone))
        instant = _micros(moment)
    except (ValueError, OverflowError):
        message = f"{field}: {str(written)[:60]!r} is not a time"
        raise BadSchedule(message, field, "write it as 2026-11-20T10:00:00Z") from None
    if not FIRST < instant <= LAST:
        raise BadSchedule(f"{field}: {str(written)[:60]!r} is not between 1900 and 2500", field)
    return instant


def _zone_name(written: Any) -> str:
    name = "UTC" if written is None else str(written)
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        message = f"there is no timezone {name[:60]!r}"
        raise BadSchedule(message, "timezone", "a name such as Europe/Berlin, or UTC") from None
    return name


def _one_of(written: Any, allowed: tuple[Any, ...], field: str) -> Any:
    """The word, the first one when there is none."""
    if written is None:
        return allowed[0]
    if written not in allowed:
        raise BadSchedule(f"{field}: {str(written)[:60]!r} is none of {', '.join(allowed)}", field)
    return written
