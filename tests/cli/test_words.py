"""Amounts and times in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from stepwell.base.durations import DAY, HOUR, MILLISECOND, MINUTE, SECOND
from stepwell.base.instants import from_rfc3339
from stepwell.cli import words
from stepwell.cli.options import Setup


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (-5, "0.0 ms"),
        (0, "0.0 ms"),
        (120, "0.1 ms"),
        (MILLISECOND, "1 ms"),
        (12_400, "12 ms"),
        (999_499, "999 ms"),
        (999_500, "1.0 s"),
        (1_250_000, "1.2 s"),
        (59_949_999, "59.9 s"),
        (59_950_000, "0 m 59 s"),
        (MINUTE, "1 m 00 s"),
        (HOUR - 1, "59 m 59 s"),
        (HOUR + 7 * MINUTE, "1 h 07 m"),
        (2 * DAY + 4 * HOUR, "2 d 4 h"),
    ],
)
def test_spans_are_as_exact_as_people_want_them(micros: int, text: str) -> None:
    assert words.took(micros) == text


def test_a_moment_names_its_day_when_it_is_another_one() -> None:
    now = from_rfc3339("2026-11-20T10:00:00Z")
    assert words.moment(now + 5 * MINUTE, now) == "10:05:00"
    assert words.moment(now + DAY, now) == "2026-11-21 10:00"
    assert words.day_or_time("2026-11-20T08:00:00Z", now) == "08:00:00"
    assert words.day_or_time("2026-11-19T08:00:00Z", now) == "2026-11-19"
    assert words.exact_time("2026-11-19T08:00:00.1239Z") == "08:00:00.123"


def test_counts_and_sizes_read_well() -> None:
    assert [words.count(number, "step") for number in (0, 1, 2_000)] == ["0 steps", "1 step", "2,000 steps"]
    assert [words.size(number) for number in (1, 999, 1_000, 20_000_000, 5 * 10**15)] == [
        "1 byte", "999 bytes", "1.0 kB", "20.0 MB", "5000.0 TB",
    ]  # fmt: skip
    assert words.took_between("2026-11-20T10:00:00Z", "2026-11-20T10:00:01.5Z") == "1.5 s"
    assert words.took_between("2026-11-20T10:00:00Z", None) == ""
    assert words.took_ms(1.5 * SECOND / MILLISECOND) == "1.5 s"


def test_a_command_says_how_it_is_called_again() -> None:
    setup = Setup("sqlite:my store.db", Path("c.yaml"), ("tasks.py", "more"))
    assert setup.again() == " --store 'sqlite:my store.db' --config c.yaml --import tasks.py --import more"
    assert setup.same_store() == " --store 'sqlite:my store.db'"
    assert Setup(None, Path("c.yaml")).same_store() == " --config c.yaml"
    assert Setup().again() == Setup().same_store() == ""
