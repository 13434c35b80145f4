"""When schedules are due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim, CronSimError
from hypothesis import given
from hypothesis import strategies as st

from stepwell.base.durations import DAY, HOUR, MINUTE, SECOND
from stepwell.base.instants import from_rfc3339, to_rfc3339
from stepwell.definition.cron import WORDS, cron_problem, parse_cron
from stepwell.triggers.schedules import (
    LAST,
    MOST_CAUGHT_UP,
    ON_TIME,
    BadSchedule,
    jittered,
    next_due,
    times,
    timing_of,
    what_is_due,
)

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Tehran",
         "Pacific/Apia", "Africa/Casablanca", "Europe/London", "Asia/Kolkata")  # fmt: skip
CRONS = ("30 2 * * *", "0 0 * * *", "0 1,2,3 * * *", "*/20 * * * *", "15 * * * *", "0 3 * * sun", "0 */6 * * *",
         "30 2 L * *", "59 23 31 12 *", "0 9 * * mon-fri", "10,40 30 1-3 * * *")  # fmt: skip
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

instants = st.integers(from_rfc3339("2010-01-01T00:00:00Z"), from_rfc3339("2035-01-01T00:00:00Z"))


def due(cron: str, zone: str, after: str, count: int) -> list[str]:
    found = islice(times(timing_of({"cron": cron, "timezone": zone}), from_rfc3339(after)), count)
    return [to_rfc3339(each) for each in found]


def local(instant: int, zone: str) -> datetime:
    return (EPOCH + timedelta(microseconds=instant)).astimezone(ZoneInfo(zone))


# Daylight saving


def test_a_time_that_spring_leaves_out_is_due_after_the_gap_once() -> None:
    assert due("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 2) == [
        "2026-03-29T01:00:00Z",
        "2026-03-30T00:30:00Z",
    ]
    assert due("0,30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 2) == [
        "2026-03-29T01:00:00Z",
        "2026-03-30T00:00:00Z",
    ]


def test_a_time_that_comes_twice_in_autumn_is_due_once() -> None:
    assert due("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2) == [
        "2026-10-25T00:30:00Z",
        "2026-10-26T01:30:00Z",
    ]
    assert due("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", 1) == ["2026-10-26T01:30:00Z"]


def test_what_recurs_within_an_hour_goes_by_the_hours_that_pass() -> None:
    through = due("*/30 * * * *", "Europe/Berlin", "2026-10-24T23:59:00Z", 6)
    assert through == [f"2026-10-25T{hour:02}:{minute:02}:00Z" for hour in (0, 1, 2) for minute in (0, 30)]


def test_seconds_keep_what_daylight_saving_means() -> None:
    assert due("15 30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2) == [
        "2026-10-25T00:30:15Z",
        "2026-10-26T01:30:15Z",
    ]


@given(st.sampled_from(CRONS), st.sampled_from(ZONES), instants)
def test_times_rise_whatever_the_clocks_do_and_no_instant_between_is_left_out(cron: str, zone: str, at: int) -> None:
    timing = timing_of({"cron": cron, "timezone": zone})
    found = list(islice(times(timing, at), 30))
    assert found == sorted(set(found))
    assert found[0] > at
    for earlier, later in pairwise(found):
        between = earlier + (later - earlier) // 2
        assert next_due(timing, earlier) == later == next_due(timing, between) == next_due(timing, later - 1)


@given(st.sampled_from(ZONES), instants, st.integers(0, 23), st.integers(0, 59))
def test_a_daily_time_is_due_once_on_every_day(zone: str, at: int, hour: int, minute: int) -> None:
    timing = timing_of({"cron": f"{minute} {hour} * * *", "timezone": zone})
    found = [local(each, zone) for each in islice(times(timing, at), 200)]
    days = [each.date() for each in found]
    assert len(set(days)) == len(days)
    for seen in found:
        wanted = seen.replace(hour=hour, minute=minute, fold=0)
        exists = wanted.astimezone(UTC).astimezone(ZoneInfo(zone)) == wanted
        if exists and seen.date() == wanted.date():
            assert (seen.hour, seen.minute, seen.fold) == (hour, minute, 0)
        assert seen.replace(tzinfo=None) - wanted.replace(tzinfo=None) < timedelta(days=1)


# Intervals and single times


@given(st.integers(1, 100_000), instants, instants)
def test_intervals_are_counted_from_their_anchor(seconds: int, anchor: int, at: int) -> None:
    timing = timing_of({"every": seconds, "anchor": to_rfc3339(anchor)})
    found = next_due(timing, at)
    assert found is not None
    assert at < found <= at + seconds * SECOND
    assert (found - anchor) % (seconds * SECOND) == 0
    assert next_due(timing, found) == found + seconds * SECOND


def test_a_single_time_is_meant_in_its_zone_and_comes_once() -> None:
    timing = timing_of({"at": "2026-07-01T10:00:00", "timezone": "Europe/Berlin"})
    instant = from_rfc3339("2026-07-01T08:00:00Z")
    assert (next_due(timing, instant - 1), next_due(timing, instant)) == (instant, None)
    assert timing_of({"at": "2026-07-01T10:00:00+05:00", "timezone": "Europe/Berlin"}).at == from_rfc3339(
        "2026-07-01T05:00:00Z"
    )


def test_nothing_is_due_after_the_last_time() -> None:
    for settings in ({"cron": "* * * * *"}, {"every": "1d"}, {"cron": "0 0 29 2 *"}):
        assert next_due(timing_of(settings), LAST) is None
        assert list(times(timing_of(settings), LAST - MINUTE // 2)) in ([], [LAST])


@given(st.integers(-(2**63), 2**63))
def test_every_instant_can_be_asked_about(at: int) -> None:
    for settings in ({"cron": "0 9 * * *", "timezone": "Asia/Tehran"}, {"every": "1d"}, {"at": "2026-01-01T00:00:00Z"}):
        found = next_due(timing_of(settings), at)
        assert found is None or found > at


@given(instants, st.integers(0, 3600), st.text(max_size=20))
def test_jitter_is_derived_and_bounded(at: int, seconds: int, key: str) -> None:
    timing = timing_of({"every": "1h", "jitter": seconds})
    assert at <= jittered(timing, key, at) <= at + seconds * SECOND
    assert jittered(timing, key, at) == jittered(timing, key, at)


# Missed times


@given(
    st.sampled_from(({"cron": "*/10 * * * *"}, {"every": "7m"}, {"cron": "0 9 * * *", "timezone": "Europe/Berlin"})),
    st.sampled_from(("skip", "one", "all")),
    instants,
    st.integers(0, 20 * DAY),
    st.integers(0, 60),
)
def test_every_time_that_came_is_fired_or_counted_as_missed(
    settings: dict[str, Any], catch_up: str, at: int, later: int, jitter: int
) -> None:
    timing = timing_of({**settings, "catch_up": catch_up, "jitter": jitter})
    first = next_due(timing, at)
    assert first is not None
    now = jittered(timing, "k", first) + later
    found = what_is_due(timing, "k", first, now)
    came = [each for each in [first, *times(timing, first, now)] if jittered(timing, "k", each) <= now]
    if len(came) < 2 * MOST_CAUGHT_UP:
        assert len(found.fire) + found.missed == len(came)
    assert list(found.fire) == came[len(came) - len(found.fire) :]
    assert found.next == next_due(timing, came[-1])
    is_late = now - jittered(timing, "k", came[-1]) > ON_TIME
    expected = {"skip": 0 if is_late else 1, "one": 1, "all": min(len(came), MOST_CAUGHT_UP)}[catch_up]
    assert len(found.fire) == expected or len(came) >= MOST_CAUGHT_UP


@pytest.mark.parametrize("settings", [{"cron": "* * * * * *"}, {"cron": "* * * * *"}, {"every": "1s"}])
def test_years_without_a_look_are_not_counted_through(settings: dict[str, Any]) -> None:
    timing = timing_of({**settings, "catch_up": "all"})
    now = from_rfc3339("2026-11-20T10:00:00Z")
    found = what_is_due(timing, "k", now - 20 * 365 * DAY, now)
    assert len(found.fire) == MOST_CAUGHT_UP
    assert found.fire[-1] == now
    assert list(found.fire) == list(islice(times(timing, found.fire[0] - 1), MOST_CAUGHT_UP))
    assert found.missed > 0


# What is written


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({}, None),
        ({"cron": "* * * * *", "every": 1}, None),
        ({"cron": "* * * *"}, "cron"),
        ({"cron": "60 * * * *"}, "cron"),
        ({"every": "soon"}, "every"),
        ({"every": 0}, "every"),
        ({"at": "tomorrow"}, "at"),
        ({"at": "9999-12-31T23:59:59-14:00"}, "at"),
        ({"every": 60, "anchor": "0001-01-01T00:00:00+14:00"}, "anchor"),
        ({"every": 60, "timezone": "Mars/Olympus"}, "timezone"),
        ({"every": 60, "timezone": "../../etc/passwd"}, "timezone"),
        ({"every": 60, "anchor": "x"}, "anchor"),
        ({"every": 60, "jitter": "x"}, "jitter"),
        ({"every": 60, "catch_up": "never"}, "catch_up"),
        ({"every": 60, "overlap": "queue"}, "overlap"),
    ],
)
def test_a_schedule_that_is_none_says_which_setting_is_wrong(settings: dict[str, Any], field: str | None) -> None:
    with pytest.raises(BadSchedule) as refused:
        timing_of(settings)
    assert (refused.value.code, refused.value.field) == ("bad-schedule", field)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("* * *", "it has 3 fields"),
        ("", "it has 0 fields"),
        ("61 * * * *", "its minute says '61' where a value from 0 to 59 is expected"),
        ("0 0 * * funday", "its weekday says 'FUNDAY' where a value from 0 to 7 is expected"),
        ("0 9-5 * * *", "its hour '9-5' ends before it begins"),
        ("*/0 * * * *", "its minute says '0' where a step from 1 to 60 is expected"),
        ("0 0 * * mon#6", "its weekday says '6' where the number after # from 1 to 5 is expected"),
        ("0 0 30 2 *", "no month that it names has a day 30"),
        ("@reboot", "it has 1 fields"),
    ],
)
def test_a_cron_expression_that_is_none_says_why(text: str, problem: str) -> None:
    assert cron_problem(text) == problem


_atom = st.sampled_from(["*", "0", "7", "5", "31", "59", "60", "mon", "SUN", "jan", "dec", "L", "LW", "5L", "mon#2",
                         "1-5", "5-1", "*/5", "*/0", "1-20/3", "5/10", "?", "-", "", "1,2", "fri-sat"])  # fmt: skip
_field = st.lists(_atom, min_size=1, max_size=2).map(",".join)


@given(st.lists(_field, min_size=4, max_size=6).map(" ".join))
def test_what_is_accepted_is_what_the_library_runs(text: str) -> None:
    try:
        CronSim(text.replace("?", "*"), datetime(2026, 1, 1, tzinfo=UTC))
    except (CronSimError, ValueError, AssertionError, TypeError):
        return  # it may run more than is accepted here, but never less
    if cron_problem(text) is None:
        assert next_due(timing_of({"cron": text}), from_rfc3339("2026-01-01T00:00:00Z")) is not None


@given(st.lists(_field, min_size=4, max_size=6).map(" ".join))
def test_what_is_accepted_is_never_refused_later(text: str) -> None:
    if cron_problem(text) is None:
        next_due(timing_of({"cron": text}), from_rfc3339("2026-01-01T00:00:00Z"))


def test_words_stand_for_expressions() -> None:
    for word, fields in WORDS.items():
        assert parse_cron(word) == parse_cron(fields)
    assert due("@Weekly", "UTC", "2026-11-20T00:00:00Z", 1) == ["2026-11-22T00:00:00Z"]
    assert parse_cron("0 12 ? * MON").fields == "0 12 * * MON"
    assert due("0 0 L * *", "UTC", "2026-02-10T00:00:00Z", 1) == ["2026-02-28T00:00:00Z"]
    assert due("0 8 * * fri#3", "UTC", "2026-11-01T00:00:00Z", 1) == ["2026-11-20T08:00:00Z"]
    assert to_rfc3339(from_rfc3339("2026-11-01T00:00:00Z") + HOUR) == "2026-11-01T01:00:00Z"
