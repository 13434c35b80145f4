"""The arithmetic of bulkheads."""

from __future__ import annotations

from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.base.durations import SECOND
from stepwell.policy.bulkhead import BulkheadState
from stepwell.policy.limits import Bulkhead


def test_ten_run_a_hundred_wait_and_the_next_is_rejected() -> None:
    state = BulkheadState(Bulkhead(max_concurrent=10, max_queue_size=100))
    places = [state.enter(str(number), 0) for number in range(111)]
    assert places == ["running"] * 10 + ["waiting"] * 100 + ["rejected"]
    assert (state.running, state.waiting) == (10, 100)


def test_a_free_place_goes_to_who_has_waited_longest() -> None:
    state = BulkheadState(Bulkhead(max_concurrent=1, max_queue_size=3))
    for name in "abcd":
        state.enter(name, 0)
    state.leave("c")  # gives up waiting
    state.leave("a")
    assert state.admit() == ["b"]
    state.leave("b")
    assert state.admit() == ["d"]


def test_nobody_overtakes_those_who_wait() -> None:
    state = BulkheadState(Bulkhead(max_concurrent=1, max_queue_size=2))
    state.enter("a", 0)
    state.enter("b", 0)
    state.leave("a")
    assert state.enter("c", 0) == "waiting"
    assert state.admit() == ["b"]


def test_who_has_waited_too_long_leaves_the_line() -> None:
    state = BulkheadState(Bulkhead(max_concurrent=1, max_queue_size=9, timeout=30 * SECOND))
    for at, name in enumerate("abcd"):
        state.enter(name, at * SECOND)
    assert state.next_expiry() == 31 * SECOND
    assert state.expire(31 * SECOND - 1) == []
    assert state.expire(32 * SECOND) == ["b", "c"]
    assert state.waiting == 1
    assert state.next_expiry() == 33 * SECOND


def test_without_a_timeout_waiting_has_no_end() -> None:
    state = BulkheadState(Bulkhead(max_concurrent=1, max_queue_size=9))
    state.enter("a", 0)
    state.enter("b", 0)
    assert state.next_expiry() is None
    assert state.expire(10**15) == []


def test_without_a_line_the_next_is_rejected_at_once() -> None:
    state = BulkheadState(Bulkhead(max_concurrent=1))
    assert [state.enter(name, 0) for name in "ab"] == ["running", "rejected"]


def test_more_places_let_more_in_and_fewer_stop_nobody() -> None:
    state = BulkheadState(Bulkhead(max_concurrent=2, max_queue_size=9))
    for name in "abcdef":
        state.enter(name, 0)
    state.policy = Bulkhead(max_concurrent=4, max_queue_size=9)
    assert state.admit() == ["c", "d"]
    state.policy = Bulkhead(max_concurrent=1, max_queue_size=9)
    assert state.running == 4
    for name in "abc":
        state.leave(name)
        assert state.admit() == []
    state.leave("d")
    assert state.admit() == ["e"]


MOVES = st.tuples(st.integers(0, 3), st.sampled_from(["enter", "enter", "end", "give up"]), st.integers(0, 10**6))


@settings(max_examples=300)
@given(st.integers(1, 3), st.integers(0, 4), st.one_of(st.none(), st.integers(1, 10)), st.lists(MOVES, max_size=80))
def test_limits_hold_and_the_line_keeps_its_order_whatever_happens(
    most: int, longest: int, timeout: int | None, moves: list[tuple[int, str, int]]
) -> None:
    """Held against the obvious model: a set and a queue."""
    state = BulkheadState(Bulkhead(max_concurrent=most, max_queue_size=longest, timeout=timeout))
    running: list[str] = []
    line: deque[tuple[str, int]] = deque()
    now = 0

    def settle() -> None:
        due = [name for name, since in line if timeout is not None and since + timeout <= now]
        assert state.expire(now) == due
        for name in due:
            assert line.popleft()[0] == name
        free = most - len(running)
        admitted = [line.popleft()[0] for _ in range(min(free, len(line)))]
        assert state.admit() == admitted
        running.extend(admitted)

    for number, (after, move, choice) in enumerate(moves):
        now += after
        settle()
        if move == "enter":
            expected = "running" if len(running) < most else "waiting" if len(line) < longest else "rejected"
            assert state.enter(str(number), now) == expected
            if expected == "running":
                running.append(str(number))
            elif expected == "waiting":
                line.append((str(number), now))
        elif move == "end" and running:
            state.leave(running.pop(choice % len(running)))
        elif move == "give up" and line:
            leaving = line[choice % len(line)]
            line.remove(leaving)
            state.leave(leaving[0])
        settle()
        assert (state.running, state.waiting) == (len(running), len(line))
        assert state.running <= most
        assert state.waiting <= longest
