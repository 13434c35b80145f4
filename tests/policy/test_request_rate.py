"""How much each of many callers may ask for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stepwell.base.durations import SECOND
from stepwell.policy.request_rate import RequestRates


def test_the_limit_is_allowed_at_once_and_no_more() -> None:
    rates = RequestRates(5, 10 * SECOND)
    taken = [rates.take("a", 0) for _ in range(6)]
    assert [each.allowed for each in taken] == [True] * 5 + [False]
    assert [each.remaining for each in taken] == [4, 3, 2, 1, 0, 0]
    assert taken[-1].wait == 2 * SECOND


def test_who_has_waited_may_go_on_and_who_has_not_may_not() -> None:
    rates = RequestRates(5, 10 * SECOND)
    for _ in range(5):
        rates.take("a", 0)
    assert not rates.take("a", 2 * SECOND - 1).allowed
    assert rates.take("a", 2 * SECOND).allowed
    assert not rates.take("a", 2 * SECOND).allowed


def test_one_does_not_use_up_what_another_has() -> None:
    rates = RequestRates(1, SECOND)
    assert rates.take("a", 0).allowed
    assert rates.take("b", 0).allowed


def test_what_is_refused_is_not_counted() -> None:
    rates = RequestRates(1, SECOND)
    rates.take("a", 0)
    for _ in range(100):
        rates.take("a", 1)
    assert rates.take("a", SECOND).allowed


def test_looking_counts_nothing() -> None:
    rates = RequestRates(1, SECOND)
    assert rates.look("a", 0).allowed
    assert rates.look("a", 0).allowed
    assert rates.take("a", 0).allowed
    assert not rates.look("a", 0).allowed


def test_the_one_not_seen_for_longest_is_forgotten_first() -> None:
    rates = RequestRates(1, SECOND, most=2)
    for caller in ("a", "b", "c"):
        rates.take(caller, 0)
    assert rates.look("a", 0).allowed
    assert not rates.look("b", 0).allowed
    assert not rates.look("c", 0).allowed


@given(st.integers(1, 50), st.integers(1, 60), st.lists(st.integers(0, 3 * SECOND), max_size=200))
def test_within_any_period_never_more_than_twice_the_limit_and_a_period_apart_always_the_limit(
    limit: int, seconds: int, gaps: list[int]
) -> None:
    per = seconds * SECOND
    rates, now, allowed = RequestRates(limit, per), 0, []
    for gap in gaps:
        now += gap
        if rates.take("a", now).allowed:
            allowed.append(now)
    for start in allowed:
        assert sum(start <= each < start + per for each in allowed) <= 2 * limit
    assert all(rates.take("a", now + 2 * per).allowed for _ in range(limit))
