"""Durations: every notation, exactly."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.base.durations import (
    DAY,
    HOUR,
    LONGEST,
    MILLISECOND,
    MINUTE,
    SECOND,
    WEEK,
    format_duration,
    parse_duration,
)


@pytest.mark.parametrize(
    ("written", "micros"),
    [
        (90, 90 * SECOND), (0, 0), (1.5, 1_500_000), (0.25, 250_000),
        ("90", 90 * SECOND), ("1.5", 1_500_000), ("0", 0), (" 5s ", 5 * SECOND),
        ("1us", 1), ("500ms", 500 * MILLISECOND), ("30s", 30 * SECOND), ("5m", 5 * MINUTE), ("2h", 2 * HOUR),
        ("7d", 7 * DAY), ("2w", 2 * WEEK), ("1h30m", 90 * MINUTE), ("1d2h3m4s5ms6us", 93_784_005_006),
        ("1.5s", 1_500_000), ("0.5h", 30 * MINUTE), ("1.25ms", 1_250), ("1h0.5s", HOUR + 500_000),
        ("PT5M", 5 * MINUTE), ("P1DT2H", DAY + 2 * HOUR), ("P2W", 2 * WEEK), ("PT0.5S", 500_000), ("PT0S", 0),
        ("P1D", DAY), ("36500d", LONGEST), ("0.0000005", 1), ("0.0000004", 0), ("0.3s", 300_000),
        (0.1 + 0.2, 300_000), (5e-05, 50), (1e-9, 0), ("0.30000000000000004s", 300_000),
    ],
)  # fmt: skip
def test_a_duration_is_read_exactly(written: Any, micros: int) -> None:
    assert parse_duration(written) == micros


@pytest.mark.parametrize(
    "written",
    [
        "", " ", "s", "5 s", "5x", "-5s", -5, -0.5, "1m1h", "1h1h", "1ms1s", "5s5", "P", "PT", "P1DT", "P1Y",
        "P1M", "PT5",
        "pt5m", "5M", "1e3", 1e30, float("nan"), float("inf"), True, False, None, [], {}, b"5s", "1_000", "٣s",
        "３", "５m",
        "1,5s", "+5s", "0x10", "5s\n5s", "1h 30m",
    ],
)  # fmt: skip
def test_anything_else_is_refused_saying_what_was_seen_and_what_is_expected(written: Any) -> None:
    with pytest.raises(ValueError, match="is not a duration; expected a duration such as 30s") as caught:
        parse_duration(written)
    assert repr(written) in str(caught.value)


@pytest.mark.parametrize("written", ["36501d", "999999999w", 10**14, "P999999999W"])
def test_more_than_a_hundred_years_is_a_mistake(written: Any) -> None:
    with pytest.raises(ValueError, match="longer than 100 years"):
        parse_duration(written)


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "0s"), (1, "1us"), (999, "999us"), (1_000, "1ms"), (1_500, "1.5ms"), (250_000, "250ms"), (SECOND, "1s"),
        (1_500_000, "1.5s"), (1_000_001, "1.000001s"), (90 * SECOND, "1m30s"), (HOUR + 30 * MINUTE, "1h30m"),
        (DAY, "1d"), (8 * DAY + SECOND, "8d1s"), (-90 * SECOND, "-1m30s"),
    ],
)  # fmt: skip
def test_a_duration_is_shown_as_people_write_it(micros: int, text: str) -> None:
    assert format_duration(micros) == text


@given(micros=st.integers(0, LONGEST) | st.integers(0, 2_000_000))
def test_what_is_shown_is_read_back_exactly(micros: int) -> None:
    assert parse_duration(format_duration(micros)) == micros


@given(st.text(max_size=12) | st.from_regex(r"[0-9.PTDHMSwdhmsu]{0,10}", fullmatch=True))
def test_no_text_does_anything_but_parse_or_be_refused(text: str) -> None:
    try:
        micros = parse_duration(text)
    except ValueError:
        return
    assert 0 <= micros <= LONGEST


@given(seconds=st.integers(0, 10**9) | st.floats(0.0001, 10**6))
def test_a_number_is_seconds(seconds: float) -> None:
    assert abs(parse_duration(seconds) - seconds * SECOND) <= 1
