"""The arithmetic that stores count with."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stepwell.store.tallying import place_of_part


@given(values=st.lists(st.integers(0, 400), min_size=1, max_size=200), hundredths=st.integers(1, 100))
def test_the_value_at_the_place_is_the_least_that_so_large_a_part_does_not_exceed(
    values: list[int], hundredths: int
) -> None:
    found = sorted(values)[place_of_part(hundredths / 100, len(values))]
    assert sum(value <= found for value in values) * 100 >= hundredths * len(values)
    assert sum(value < found for value in values) * 100 < hundredths * len(values)
