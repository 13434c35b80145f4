"""The arithmetic of rate limits."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.base.durations import MILLISECOND, SECOND
from stepwell.policy.limits import RateLimit
from stepwell.policy.rate_limit import RateLimitState


def starts_at(state: RateLimitState, arrivals: list[int]) -> list[int]:
    """When calls that come at these instants, and start as soon as they may, start."""
    starts: list[int] = []
    pending = sorted(arrivals)
    now = 0

    def start(calls: list[str]) -> None:
        for call in calls:
            state.start(call, now)
            starts.append(now)

    while pending or state.waiting:
        next_at = state.next_at()
        now = max(now, min([*pending[:1], *([next_at] if next_at is not None else [])]))
        start(state.admit(now))
        while pending and pending[0] <= now:
            call = f"call {len(pending)}"
            pending.pop(0)
            if state.enter(call, now):
                start([call])
    return starts


def test_so_many_start_at_once_and_the_next_when_the_first_is_as_old_as_the_window() -> None:
    state = RateLimitState(RateLimit(limit=5, per=SECOND))
    assert starts_at(state, [0] * 12) == [0] * 5 + [SECOND] * 5 + [2 * SECOND] * 2


def test_the_window_slides() -> None:
    state = RateLimitState(RateLimit(limit=2, per=SECOND))
    arrivals = [0, 600 * MILLISECOND, 700 * MILLISECOND, 800 * MILLISECOND]
    assert starts_at(state, arrivals) == [0, 600 * MILLISECOND, SECOND, 1_600 * MILLISECOND]


def test_a_permit_that_is_not_used_keeps_the_next_waiting_and_one_given_back_does_not() -> None:
    state = RateLimitState(RateLimit(limit=1, per=SECOND))
    assert state.enter("a", 0)
    assert not state.enter("b", 0)
    assert state.next_at() is None
    assert state.admit(10 * SECOND) == []
    state.leave("a")
    assert state.admit(10 * SECOND) == ["b"]


def test_a_permit_counts_until_the_window_after_its_use_is_over() -> None:
    state = RateLimitState(RateLimit(limit=1, per=SECOND))
    state.enter("a", 0)
    state.enter("b", 0)
    state.start("a", 10 * SECOND)
    assert state.next_at() == 11 * SECOND
    assert state.admit(11 * SECOND - 1) == []
    assert state.admit(11 * SECOND) == ["b"]


def test_who_gives_up_waiting_leaves_his_turn_to_the_next() -> None:
    state = RateLimitState(RateLimit(limit=1, per=SECOND))
    for name in "abc":
        state.enter(name, 0)
    state.start("a", 0)
    state.leave("b")
    assert state.admit(SECOND) == ["c"]


def test_nobody_overtakes_those_who_wait() -> None:
    state = RateLimitState(RateLimit(limit=1, per=SECOND))
    state.enter("a", 0)
    state.start("a", 0)
    state.enter("b", 0)
    assert not state.enter("c", 5 * SECOND)
    assert state.admit(5 * SECOND) == ["b"]


def test_a_higher_limit_holds_from_then_on() -> None:
    state = RateLimitState(RateLimit(limit=1, per=SECOND))
    for name in "abcd":
        state.enter(name, 0)
    state.start("a", 0)
    state.policy = RateLimit(limit=3, per=SECOND)
    assert state.admit(0) == ["b", "c"]


@settings(max_examples=300)
@given(st.integers(1, 4), st.integers(1, 20), st.lists(st.integers(0, 100), max_size=40))
def test_starts_come_as_early_as_the_limit_allows_and_in_order(limit: int, per: int, arrivals: list[int]) -> None:
    """Held against the obvious model: each starts when it comes, or `per` after the one `limit` before it."""
    expected: list[int] = []
    for position, arrival in enumerate(sorted(arrivals)):
        earliest = expected[position - limit] + per if position >= limit else 0
        expected.append(max(arrival, earliest, *expected[-1:]))
    assert starts_at(RateLimitState(RateLimit(limit=limit, per=per)), arrivals) == expected


MOVES = st.tuples(st.integers(0, 5), st.sampled_from(["enter", "enter", "start", "give back"]), st.integers(0, 10**6))


@settings(max_examples=300)
@given(st.integers(1, 4), st.integers(1, 12), st.lists(MOVES, max_size=80))
def test_no_window_holds_more_starts_than_the_limit_however_late_permits_are_used(
    limit: int, per: int, moves: list[tuple[int, str, int]]
) -> None:
    state = RateLimitState(RateLimit(limit=limit, per=per))
    now = 0
    permits: list[str] = []
    line: list[str] = []
    starts: list[int] = []

    def admit() -> None:
        admitted = state.admit(now)
        assert admitted == line[: len(admitted)], "out of turn"
        permits.extend(admitted)
        del line[: len(admitted)]

    for number, (after, move, choice) in enumerate(moves):
        now += after
        admit()
        if move == "enter":
            (permits if state.enter(str(number), now) else line).append(str(number))
        elif move == "start" and permits:
            state.start(permits.pop(choice % len(permits)), now)
            starts.append(now)
        elif move == "give back" and permits + line:
            leaving = (permits + line)[choice % len(permits + line)]
            state.leave(leaving)
            (permits if leaving in permits else line).remove(leaving)
        admit()
        assert state.waiting == len(line)
        within = sum(at > now - per for at in starts)
        assert within <= limit
        assert not line or within + len(permits) >= limit, "somebody waits for nothing"
        if line:
            next_at = state.next_at()
            assert (next_at is None) == (len(permits) >= limit)
            assert next_at is None or now < next_at <= now + per
