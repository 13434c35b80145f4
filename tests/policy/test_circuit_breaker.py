"""The arithmetic of circuit breakers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.base.durations import MINUTE, SECOND
from stepwell.base.errors import ErrorInfo
from stepwell.policy.circuit_breaker import CIRCUIT_TRANSITIONS, Cause, Circuit, CircuitState, succeeded
from stepwell.policy.limits import CircuitBreaker

POLICY = CircuitBreaker(threshold=3, open_for=5 * MINUTE, window=MINUTE, half_open_calls=2)


def call(state: CircuitState, now: int, success: bool | None, name: str = "one") -> bool:
    """A call that takes no time; whether it was made."""
    made = state.enter(name, now)
    state.leave(name, success, now)
    return made


def circuit(state: CircuitState) -> Circuit:
    return state.circuit


def opened(policy: CircuitBreaker = POLICY, at: int = 0) -> CircuitState:
    """A circuit that opened at this instant."""
    state = CircuitState(policy)
    for _ in range(policy.threshold):
        call(state, at, success=False)
    assert circuit(state) is Circuit.OPEN
    return state


def half_open() -> CircuitState:
    """A circuit whose rest is over, at that instant."""
    state = opened()
    state.look(5 * MINUTE)
    assert circuit(state) is Circuit.HALF_OPEN
    return state


def test_so_many_failures_open_it_and_one_less_does_not() -> None:
    state = CircuitState(POLICY)
    assert call(state, 0, success=False)
    assert call(state, 1, success=False)
    assert circuit(state) is Circuit.CLOSED
    assert call(state, 2, success=False)
    assert circuit(state) is Circuit.OPEN
    assert (state.opened_at, state.next_try_at()) == (2, 2 + 5 * MINUTE)
    assert len(state.failures) == 3


def test_failures_count_for_the_window_only() -> None:
    state = CircuitState(POLICY)
    call(state, 0, success=False)
    call(state, 10 * SECOND, success=False)
    call(state, MINUTE, success=False)  # the first is a window old now
    assert circuit(state) is Circuit.CLOSED
    assert len(state.failures) == 2
    call(state, MINUTE + 10 * SECOND - 1, success=False)
    assert circuit(state) is Circuit.OPEN


def test_a_success_does_not_forgive_failures() -> None:
    state = CircuitState(POLICY)
    for at, success in enumerate([False, True, False, True, False]):
        call(state, at, success=success)
    assert circuit(state) is Circuit.OPEN


def test_what_says_nothing_neither_counts_nor_resets() -> None:
    state = CircuitState(POLICY)
    for at, success in enumerate([False, None, False, None, None]):
        call(state, at, success=success)
    assert circuit(state) is Circuit.CLOSED
    assert len(state.failures) == 2
    call(state, 9, success=False)
    assert circuit(state) is Circuit.OPEN


def test_open_it_lets_nobody_through_until_its_rest_is_over() -> None:
    state = opened()
    assert not state.enter("early", 5 * MINUTE - 1)
    assert state.enter("trial", 5 * MINUTE)
    assert circuit(state) is Circuit.HALF_OPEN
    assert state.next_try_at() is None


def test_half_open_it_lets_so_many_through_at_once() -> None:
    state = half_open()
    assert [state.enter(name, 5 * MINUTE) for name in "abc"] == [True, True, False]
    assert state.running == 2


def test_the_first_trial_that_succeeds_closes_it() -> None:
    state = half_open()
    assert call(state, 5 * MINUTE, success=True)
    assert circuit(state) is Circuit.CLOSED
    assert state.opened_at is None
    assert not state.failures


def test_a_trial_that_fails_opens_it_again_for_as_long() -> None:
    state = half_open()
    assert call(state, 6 * MINUTE, success=False)
    assert circuit(state) is Circuit.OPEN
    assert (state.opened_at, state.next_try_at()) == (6 * MINUTE, 11 * MINUTE)
    assert len(state.failures) == 1


def test_a_trial_that_says_nothing_makes_room_for_the_next() -> None:
    state = half_open()
    for name in "abcd":
        assert state.enter(name, 5 * MINUTE)
        state.leave(name, None, 5 * MINUTE)
    assert circuit(state) is Circuit.HALF_OPEN


def test_what_a_call_from_before_says_comes_too_late() -> None:
    state = CircuitState(POLICY)
    for name in ("slow", "slower"):
        assert state.enter(name, 0)
    for at in range(3):
        call(state, at, success=False)
    state.look(6 * MINUTE)
    state.leave("slow", success=True, now=6 * MINUTE)
    assert circuit(state) is Circuit.HALF_OPEN
    call(state, 6 * MINUTE, success=True)
    assert circuit(state) is Circuit.CLOSED
    state.leave("slower", success=False, now=6 * MINUTE)
    assert not state.failures
    assert state.running == 0


def test_a_second_trial_that_fails_after_the_first_closed_it_does_not_count() -> None:
    state = half_open()
    assert state.enter("a", 5 * MINUTE)
    assert state.enter("b", 5 * MINUTE)
    state.leave("a", success=True, now=5 * MINUTE)
    state.leave("b", success=False, now=5 * MINUTE)
    assert circuit(state) is Circuit.CLOSED
    assert not state.failures


def test_trials_that_have_not_ended_take_no_room_when_it_is_half_open_again() -> None:
    state = half_open()
    for name in "ab":
        assert state.enter(name, 5 * MINUTE)
    state.leave("a", success=False, now=5 * MINUTE)
    assert [state.enter(name, 10 * MINUTE) for name in "cde"] == [True, True, False]


def test_an_end_that_is_told_twice_counts_once() -> None:
    state = CircuitState(POLICY)
    state.enter("a", 0)
    for _ in range(5):
        state.leave("a", success=False, now=0)
    assert len(state.failures) == 1


def test_new_numbers_hold_from_then_on() -> None:
    state = opened()
    state.policy = CircuitBreaker(open_for=SECOND)
    assert state.enter("a", SECOND)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (None, True),
        (ErrorInfo("connection_error", "", retryable=True), False),
        (ErrorInfo("http_error", "", details={"status": 503}, retryable=True), False),
        (ErrorInfo("timeout", ""), False),
        (ErrorInfo("validation_error", ""), None),
        (ErrorInfo("http_error", "", details={"status": 404}), None),
    ],
)
def test_what_an_outcome_says(error: ErrorInfo | None, says: bool | None) -> None:
    assert succeeded(error) is says


# ── Whatever happens ─────────────────────────────────────────────────────────────────────────────────────────────────

MOVES = st.tuples(st.integers(0, 40 * SECOND), st.sampled_from(["enter", "succeed", "fail", "say nothing"]))
POLICIES = st.builds(
    CircuitBreaker,
    threshold=st.integers(1, 4),
    open_for=st.integers(1, 100 * SECOND),
    window=st.integers(1, 100 * SECOND),
    half_open_calls=st.integers(1, 3),
)


@settings(max_examples=300)
@given(POLICIES, st.lists(MOVES, max_size=60), st.data())
def test_only_legal_moves_happen_and_limits_are_kept(
    policy: CircuitBreaker, moves: list[tuple[int, str]], data: st.DataObject
) -> None:
    state = CircuitState(policy)
    now, made = 0, 0
    out: list[str] = []
    trials: set[str] = set()
    failed_at: list[int] = []
    for after, move in moves:
        now += after
        state.look(now)
        before, opened_at = state.circuit, state.opened_at
        if move == "enter":
            name = f"call {made}"
            entered = state.enter(name, now)
            made += entered
            if entered:
                out.append(name)
            match before:
                case Circuit.CLOSED:
                    assert entered
                case Circuit.HALF_OPEN:
                    assert entered == (len(trials) < policy.half_open_calls)
                    trials |= {name} if entered else set()
                case Circuit.OPEN:
                    assert not entered
                    assert opened_at is not None
                    assert now < opened_at + policy.open_for
        elif out:
            name = out.pop(data.draw(st.integers(0, len(out) - 1)))
            state.leave(name, {"succeed": True, "fail": False}.get(move), now)
            failed_at += [now] if move == "fail" else []
            trials.discard(name)
        after_move = state.circuit
        if after_move is not before:
            assert after_move in {to for (source, _), to in CIRCUIT_TRANSITIONS.items() if source is before}
            trials.clear()
        if before is Circuit.CLOSED and after_move is Circuit.OPEN:
            assert sum(at > now - policy.window for at in failed_at) >= policy.threshold
        assert state.running == len(out)


def test_every_legal_move_is_one_that_a_state_and_a_cause_lead_to() -> None:
    assert {source for source, _ in CIRCUIT_TRANSITIONS} == set(Circuit)
    assert {cause for _, cause in CIRCUIT_TRANSITIONS} == set(Cause)
