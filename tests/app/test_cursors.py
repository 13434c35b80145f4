"""Cursors that are opaque, and refused when they are none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.app.cursors import cursor_of, page_of, place_in
from stepwell.base.errors import UsageError


@given(st.text(), st.integers(0, 2**53))
def test_a_cursor_says_its_place(name: str, number: int) -> None:
    assert place_in(cursor_of(name.encode(errors="replace").decode(), number), str, int)[1] == number


@given(st.text())
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        place_in(text + "!", int)
    assert refused.value.code == "invalid-cursor"


@pytest.mark.parametrize("cursor", ["", "WzFd", cursor_of("a"), cursor_of(1, 2), cursor_of(1)[:-1] + "="])
def test_a_cursor_of_another_list_is_refused(cursor: str) -> None:
    with pytest.raises(UsageError):
        place_in(cursor, str, str)


@pytest.mark.parametrize("number", [-(2**63) - 1, 2**63, 2**70])
def test_a_number_that_no_store_has_is_refused(number: int) -> None:
    with pytest.raises(UsageError):
        place_in(cursor_of(number), int)


def test_pages_of_a_list_are_all_of_it() -> None:
    items, seen, after = list(range(7)), [], 0
    while True:
        page = page_of(items, 3, str, after)
        seen += page["items"]
        if page["next"] is None:
            break
        (after,) = place_in(page["next"], int)
    assert seen == [str(item) for item in items]
