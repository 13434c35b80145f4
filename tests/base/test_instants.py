"""Instants, and how people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.base.instants import from_rfc3339, to_rfc3339


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-11-20T10:00:00Z", 1_795_168_800_000_000),
        ("2026-11-20T10:00:00.123456Z", 1_795_168_800_123_456),
        ("1969-12-31T23:59:59.999999Z", -1),
    ],
)
def test_an_instant_is_written_in_utc(text: str, instant: int) -> None:
    assert to_rfc3339(instant) == text
    assert from_rfc3339(text) == instant


@pytest.mark.parametrize(
    ("text", "same_as"),
    [
        ("2026-11-20T11:30:00+01:30", "2026-11-20T10:00:00Z"),
        ("2026-11-20T10:00:00", "2026-11-20T10:00:00Z"),
        ("2026-11-20 10:00", "2026-11-20T10:00:00Z"),
        ("2026-11-20", "2026-11-20T00:00:00Z"),
        ("0001-01-01T00:00:00+23:59", "0001-01-01T00:00:00+23:59"),
    ],
)
def test_other_notations_are_read(text: str, same_as: str) -> None:
    assert from_rfc3339(text) == from_rfc3339(same_as)


@pytest.mark.parametrize("text", ["", "now", "2026-13-01", "2026-11-20T25:00:00Z", "10:00", "99999-01-01"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        from_rfc3339(text)


@given(st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999))
def test_what_is_written_is_read_back_exactly(instant: int) -> None:
    assert from_rfc3339(to_rfc3339(instant)) == instant


@given(st.text(max_size=30))
def test_no_text_raises_anything_but_a_value_error(text: str) -> None:
    try:
        from_rfc3339(text)
    except ValueError:
        return
