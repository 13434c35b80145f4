"""Attempts at the gates before the dispatcher: who passes, who waits, who is refused, and what is seen of it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.base.durations import MINUTE, SECOND
from stepwell.base.errors import ErrorInfo
from stepwell.base.values import Sealed
from stepwell.engine.gatekeeper import MANY
from stepwell.execution.work import Report
from stepwell.policy.gates import Gates, for_value
from stepwell.policy.limits import Bulkhead, CircuitBreaker, RateLimit
from tests.engine.gatehouse import DOWN, Gatehouse, gates

BREAKER = CircuitBreaker(threshold=5, open_for=300 * SECOND, window=MINUTE)
FIVE_A_SECOND = RateLimit(limit=5, per=SECOND)


async def a_house_with_an_open_circuit(policy: CircuitBreaker = BREAKER) -> Gatehouse:
    house = Gatehouse()
    for number in range(policy.threshold):
        house.come(f"f{number}", gates(policy))
        await house.fail(f"f{number}")
    return house


# ── Circuit breaker ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_after_five_failures_the_sixth_call_fails_fast_and_is_not_made() -> None:
    house = await a_house_with_an_open_circuit()
    await house.clock.advance(SECOND)
    house.come("sixth", gates(BREAKER))
    await house.clock.settle()
    assert house.at_work() == []
    error = house.refused["sixth"]
    assert error.type == "circuit_open"
    assert not error.retryable
    assert error.message == (
        "the circuit breaker 'orders/charge' has been open since 2026-09-21T14:13:20Z, after 5 failures within 1m: "
        "the call was not made; it lets a call through again at 2026-09-21T14:18:20Z"
    )
    assert error.details == {
        "policy": "orders/charge",
        "opened_at": "2026-09-21T14:13:20Z",
        "failures": 5,
        "next_try_at": "2026-09-21T14:18:20Z",
    }


async def test_a_trial_that_succeeds_closes_it_and_one_that_fails_opens_it_again() -> None:
    house = await a_house_with_an_open_circuit()
    await house.clock.advance(300 * SECOND)
    house.come("trial", gates(BREAKER))
    house.come("beside", gates(BREAKER))
    await house.clock.settle()
    assert house.at_work() == ["trial"]
    assert "a call is being tried" in house.refused["beside"].message
    await house.fail("trial")
    assert house.state("circuit_breaker").state == "open"
    await house.clock.advance(300 * SECOND)
    house.come("better", gates(BREAKER))
    await house.end("better")
    assert house.state("circuit_breaker").state == "closed"
    house.come("next", gates(BREAKER))
    assert house.at_work() == ["next"]


async def test_errors_of_the_caller_do_not_open_it() -> None:
    house = Gatehouse()
    for number in range(20):
        house.come(f"f{number}", gates(BREAKER))
        await house.end(f"f{number}", ErrorInfo("validation_error", "no"))
    house.come("next", gates(BREAKER))
    assert house.at_work() == ["next"]
    assert house.state("circuit_breaker").failures == 0


async def test_a_trial_that_is_stopped_makes_room_for_the_next() -> None:
    house = await a_house_with_an_open_circuit()
    await house.clock.advance(300 * SECOND)
    trial = house.come("trial", gates(BREAKER))
    house.keeper.stop(trial)
    house.come("next", gates(BREAKER))
    await house.clock.settle()
    assert house.at_work() == ["trial", "next"]  # stopping the work itself is the dispatcher's
    assert house.refused == {}


@pytest.mark.parametrize(
    ("of_the_step", "of_the_call", "effective"),
    [(None, 60, 60), (10, 60, 10), (90, 60, 60), (90, None, 90), (None, None, None)],
)
async def test_the_smaller_timeout_bounds_the_attempt(of_the_step: Any, of_the_call: Any, effective: Any) -> None:
    house = Gatehouse()
    id_ = house.come("a", gates(CircuitBreaker(call_timeout=of_the_call)), timeout=of_the_step)
    assert house.out[id_].timeout == effective
    assert house.out[id_].id == id_


async def test_opening_and_closing_are_logged_without_what_was_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "stepwell"):
        house = await a_house_with_an_open_circuit()
        await house.clock.advance(300 * SECOND)
        house.come("trial", gates(BREAKER))
        await house.end("trial")
    assert [record.getMessage() for record in caplog.records] == [
        "circuit breaker orders/charge opened after 5 failures within 1m; it lets a call through again after 5m",
        "circuit breaker orders/charge closed: a call succeeded",
    ]


async def test_error_rate_and_latency_are_seen() -> None:
    house = Gatehouse()
    for number in range(10):
        house.come(f"s{number}", gates(BREAKER))
        await house.clock.advance(SECOND)
        await house.end(f"s{number}", DOWN if number < 2 else None, took=(number + 1) * 100_000)
    state = house.state("circuit_breaker")
    assert (state.state, state.failures, state.calls, state.error_rate) == ("closed", 2, 10, 0.2)
    assert (state.latency_mean, state.latency_p95) == (550_000, SECOND)


async def test_latency_is_never_longer_than_since_dispatching_whatever_the_worker_s_clock_says() -> None:
    house = Gatehouse()
    house.come("a", gates(BREAKER))
    await house.clock.advance(SECOND)
    await house.end("a", took=100 * SECOND)
    house.come("b", gates(BREAKER))
    await house.end("b", took=-100 * SECOND)
    assert house.state("circuit_breaker").latency_mean == SECOND // 2


# ── Bulkhead ─────────────────────────────────────────────────────────────────────────────────────────────────────────

TEN_HUNDRED = Bulkhead(max_concurrent=10, max_queue_size=100, timeout=30 * SECOND)


async def test_of_111_calls_ten_run_a_hundred_wait_and_one_is_rejected_at_once() -> None:
    house = Gatehouse()
    for number in range(111):
        house.come(f"c{number}", gates(TEN_HUNDRED))
    await house.clock.settle()
    state = house.state("bulkhead")
    assert (state.running, state.waiting, state.rejected) == (10, 100, 1)
    assert house.at_work() == [f"c{number}" for number in range(10)]
    assert list(house.refused) == ["c110"]
    error = house.refused["c110"]
    assert (error.type, error.retryable) == ("bulkhead_full", False)
    assert error.message == (
        "the bulkhead 'orders/charge' is full: 10 calls run and 100 wait, which is all that it allows"
    )
    assert error.details == {"policy": "orders/charge", "max_concurrent": 10, "max_queue_size": 100}


async def test_free_places_go_to_those_who_have_waited_longest() -> None:
    house = Gatehouse()
    for name in "abcdef":
        house.come(name, gates(Bulkhead(max_concurrent=2, max_queue_size=9)))
    await house.end("b")
    await house.end("a", DOWN)
    await house.end("c")
    assert house.at_work() == ["d", "e"]


async def test_who_waits_too_long_is_refused_and_nobody_else() -> None:
    house = Gatehouse()
    for number in range(12):
        house.come(f"c{number}", gates(TEN_HUNDRED))
    await house.clock.advance(10 * SECOND)
    house.come("later", gates(TEN_HUNDRED))
    await house.clock.advance(20 * SECOND - 1)
    assert house.refused == {}
    await house.clock.advance(1)
    assert list(house.refused) == ["c10", "c11"]
    error = house.refused["c10"]
    assert (error.type, error.retryable) == ("bulkhead_timeout", False)
    assert error.message == (
        "no place came free in the bulkhead 'orders/charge' within 30s; it lets 10 calls run at once"
    )
    assert error.details == {"policy": "orders/charge", "timeout": "30s"}
    await house.end("c0")
    assert house.at_work()[-1] == "later"
    assert house.state("bulkhead").rejected == 2


async def test_who_has_waited_too_long_keeps_nobody_out_of_the_line() -> None:
    house = Gatehouse()
    for name in "abc":
        house.come(name, gates(Bulkhead(max_concurrent=1, max_queue_size=2, timeout=SECOND)))
    house.clock.set(house.opened_at + SECOND)  # and no timer has fired yet
    house.come("d", gates(Bulkhead(max_concurrent=1, max_queue_size=2, timeout=SECOND)))
    await asyncio.sleep(0)
    assert {step: error.type for step, error in house.refused.items()} == {
        "b": "bulkhead_timeout",
        "c": "bulkhead_timeout",
    }
    assert house.state("bulkhead").waiting == 1


async def test_a_call_whose_turn_comes_when_the_circuit_is_open_is_not_made() -> None:
    both = gates(BREAKER, Bulkhead(max_concurrent=5, max_queue_size=9))
    house = Gatehouse()
    for number in range(10):
        house.come(f"c{number}", both)
    await house.fail("c0", "c1", "c2", "c3")
    assert house.at_work() == ["c4", "c5", "c6", "c7", "c8"]
    assert house.refused == {}
    await house.fail("c4")
    assert house.at_work() == ["c5", "c6", "c7", "c8"]
    assert house.refused["c9"].type == "circuit_open"
    assert house.state("bulkhead").running == 4


async def test_a_circuit_that_opens_turns_a_long_line_back() -> None:
    both = gates(CircuitBreaker(threshold=1), Bulkhead(max_concurrent=1, max_queue_size=5_000))
    house = Gatehouse()
    for number in range(5_001):
        house.come(f"c{number}", both)
    await house.fail("c0")
    assert len(house.refused) == 5_000
    assert list(house.refused)[:2] == ["c1", "c2"]
    assert (house.state("bulkhead").running, house.state("bulkhead").waiting) == (0, 0)
    assert house.keeper.passages == {}


async def test_a_call_that_comes_to_an_open_circuit_takes_nobody_s_turn() -> None:
    house = await a_house_with_an_open_circuit()
    everything = gates(BREAKER, Bulkhead(max_concurrent=1), RateLimit(limit=1, per=3_600 * SECOND))
    for name in "abc":
        house.come(name, everything)
    await house.clock.settle()
    assert {error.type for error in house.refused.values()} == {"circuit_open"}
    assert house.state("rate_limit").waiting == 0
    await house.clock.advance(300 * SECOND)
    house.come("trial", everything)
    assert house.at_work() == ["trial"]


# ── Rate limit ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_five_a_second_spaces_starts_and_drops_none() -> None:
    house = Gatehouse()
    for number in range(12):
        house.come(f"c{number}", gates(FIVE_A_SECOND))
    state = house.state("rate_limit")
    assert (state.waiting, state.next_try_at) == (7, house.opened_at + SECOND)
    await house.clock.advance(10 * SECOND)
    assert house.seconds() == [0] * 5 + [1] * 5 + [2] * 2
    assert house.at_work() == [f"c{number}" for number in range(12)]


def of_value(value: str, per: int = SECOND) -> Gates:
    return for_value(gates(RateLimit(limit=1, per=per)), value)


async def test_starts_are_counted_for_each_value_of_a_key() -> None:
    house = Gatehouse()
    for name, value in (("a", "x"), ("b", "y"), ("c", "x")):
        house.come(name, of_value(value))
    assert house.at_work() == ["a", "b"]
    assert house.state("rate_limit", "orders/charge:x").waiting == 1
    await house.clock.advance(SECOND)
    assert house.at_work() == ["a", "b", "c"]


async def test_gates_of_values_that_are_needed_no_more_are_forgotten() -> None:
    house = Gatehouse()
    house.come("plain", gates(RateLimit(limit=1, per=SECOND)))
    for name in ("first", "waits"):
        house.come(name, of_value("kept", MINUTE))
    for number in range(MANY - 1):
        house.come(f"c{number}", of_value(f"v{number}"))
    assert len(house.keeper.states()) == MANY + 1
    await house.clock.advance(SECOND)
    house.come("last", of_value("last"))
    names = [state.name for state in house.keeper.states()]
    assert names == ["orders/charge", "orders/charge:kept", "orders/charge:last"]
    assert house.state("rate_limit", "orders/charge:kept").waiting == 1


async def test_gates_of_values_that_count_are_kept_however_many_there_are() -> None:
    house = Gatehouse()
    for number in range(2 * MANY):
        house.come(f"c{number}", of_value(f"v{number}"))
    house.come("again", of_value("v0"))
    assert len(house.keeper.states()) == 2 * MANY
    assert "again" not in house.at_work()


async def test_who_waits_for_the_rate_takes_no_place_in_the_bulkhead() -> None:
    shared = Bulkhead(max_concurrent=2)
    slow = Gates(bulkhead=gates(shared).bulkhead, rate_limit=gates(RateLimit(limit=1, per=MINUTE)).rate_limit)
    house = Gatehouse()
    for number in range(10):
        house.come(f"slow{number}", slow)
    house.come("other", gates(shared))
    assert house.at_work() == ["slow0", "other"]
    assert house.refused == {}


async def test_starts_are_spaced_even_when_many_places_come_free_at_once() -> None:
    both = gates(RateLimit(limit=2, per=SECOND), Bulkhead(max_concurrent=8, max_queue_size=20))
    house = Gatehouse()
    for number in range(8):
        house.come(f"busy{number}", gates(Bulkhead(max_concurrent=8, max_queue_size=20)))
    for number in range(6):
        house.come(f"c{number}", both)
    await house.clock.advance(5 * SECOND)
    assert house.state("bulkhead").waiting == 2
    house.starts.clear()
    for number in range(8):
        await house.end(f"busy{number}")
    await house.clock.advance(5 * SECOND)
    assert house.seconds() == [5, 5, 6, 6, 7, 7]
    assert house.at_work() == [f"c{number}" for number in range(6)]


async def test_a_permit_that_is_given_back_lets_the_next_come_to_the_bulkhead() -> None:
    both = gates(RateLimit(limit=1, per=SECOND), Bulkhead(max_concurrent=1, max_queue_size=9))
    house = Gatehouse()
    house.come("busy", gates(Bulkhead(max_concurrent=1, max_queue_size=9)))
    first = house.come("first", both)
    house.come("second", both)
    assert (house.state("bulkhead").waiting, house.state("rate_limit").waiting) == (1, 1)
    house.keeper.stop(first)
    assert (house.state("bulkhead").waiting, house.state("rate_limit").waiting) == (1, 0)


# ── Names, versions, services ────────────────────────────────────────────────────────────────────────────────────────


async def test_the_same_name_shares_and_another_does_not() -> None:
    one = Bulkhead(max_concurrent=1)
    house = Gatehouse()
    for name, gate in (("a", "p"), ("b", "p"), ("c", "q")):
        house.come(name, gates(one, name=gate))
    await house.clock.settle()
    assert house.at_work() == ["a", "c"]
    assert list(house.refused) == ["b"]


async def test_of_several_versions_the_newest_one_s_numbers_hold() -> None:
    house = Gatehouse()
    for number in range(4):
        house.come(f"c{number}", gates(Bulkhead(max_concurrent=1, max_queue_size=9)), version="1.9.0")
    assert house.at_work() == ["c0"]
    house.come("new", gates(Bulkhead(max_concurrent=3, max_queue_size=9)), version="1.10.0")
    assert house.at_work() == ["c0", "c1", "c2"]
    house.come("old", gates(Bulkhead(max_concurrent=9, max_queue_size=9)), version="1.9.1")
    assert house.at_work() == ["c0", "c1", "c2"]


async def test_new_numbers_hold_for_every_kind_of_gate() -> None:
    house = await a_house_with_an_open_circuit()
    slow = RateLimit(limit=1, per=3_600 * SECOND)
    for name in ("a", "b", "c"):
        house.come(name, gates(slow))
    house.come("quick", gates(RateLimit(limit=2, per=SECOND)), version="2.0.0")
    assert house.at_work() == ["a", "b"]
    await house.clock.advance(SECOND)
    assert house.at_work() == ["a", "b", "c", "quick"]
    house.come("trial", gates(CircuitBreaker(open_for=SECOND)), version="2.0.0")
    assert house.at_work()[-1] == "trial"


@pytest.mark.parametrize("service", ["users", Sealed("users")])
async def test_a_service_s_own_gates_stand_before_every_call_of_it(service: Any) -> None:
    house = Gatehouse({"users": gates(Bulkhead(max_concurrent=2), name="service:users")})
    calls: dict[str, Any] = {"type": "service_call", "config": {"service": service}}
    house.come("a", None, **calls)
    house.come("b", gates(BREAKER), **calls)
    house.come("c", None, **calls)
    house.come("other service", None, type="service_call", config={"service": "other"})
    house.come("other type", None, type="http", config={"service": "users"})
    await house.clock.settle()
    assert house.at_work() == ["a", "b", "other service", "other type"]
    assert "'service:users'" in house.refused["c"].message
    assert house.state("bulkhead", "service:users").running == 2


async def test_a_step_s_breaker_and_its_service_s_both_count() -> None:
    house = Gatehouse({"users": gates(CircuitBreaker(threshold=2), name="service:users")})
    calls: dict[str, Any] = {"type": "service_call", "config": {"service": "users"}}
    for name in "ab":
        house.come(name, gates(CircuitBreaker(threshold=9)), **calls)
        await house.fail(name)
    house.come("c", gates(CircuitBreaker(threshold=9)), **calls)
    await house.clock.settle()
    assert house.refused["c"].details is not None
    assert house.refused["c"].details["policy"] == "service:users"
    assert house.state("circuit_breaker").failures == 2
    assert house.state("circuit_breaker").running == 0


async def test_a_policy_that_is_not_there_fails_the_attempt() -> None:
    house = Gatehouse()
    house.come("a", Gates(problem="step 'a' names the bulkhead 'p', but there is no such policy"))
    await house.clock.settle()
    assert house.at_work() == []
    assert house.refused["a"] == ErrorInfo(
        "invalid_config", "step 'a' names the bulkhead 'p', but there is no such policy"
    )


# ── Stopping, repetitions, the end ───────────────────────────────────────────────────────────────────────────────────


async def test_an_attempt_that_is_stopped_while_it_waits_is_gone_from_the_line() -> None:
    house = Gatehouse()
    both = gates(RateLimit(limit=3, per=SECOND), Bulkhead(max_concurrent=1, max_queue_size=9))
    ids = [house.come(name, both) for name in "abcdef"]
    house.keeper.stop(ids[1])  # waits for a place
    house.keeper.stop(ids[4])  # waits for the rate
    await house.clock.advance(SECOND)
    for _ in range(4):
        assert len(house.at_work()) == 1
        await house.end(house.at_work()[0])
        await house.clock.advance(SECOND)
    assert house.starts
    assert house.keeper.passages == {}
    assert house.refused == {}
    assert len(house.starts) == 4


async def test_an_attempt_that_is_stopped_at_work_frees_its_place() -> None:
    house = Gatehouse()
    first, _ = (house.come(name, gates(Bulkhead(max_concurrent=1, max_queue_size=9))) for name in "ab")
    house.keeper.stop(first)
    assert house.at_work() == ["a", "b"]
    await house.end("a")  # a report that comes nevertheless
    assert house.state("bulkhead").running == 1


async def test_a_repeated_dispatch_is_the_same_attempt() -> None:
    house = Gatehouse()
    for _ in range(3):
        house.come("a", gates(Bulkhead(max_concurrent=2)))
    assert house.at_work() == ["a"]
    assert house.state("bulkhead").running == 1


async def test_a_result_for_an_attempt_that_waits_takes_it_out_of_the_line_and_does_not_count() -> None:
    both = gates(BREAKER, Bulkhead(max_concurrent=1, max_queue_size=9))
    house = Gatehouse()
    for name in "abc":
        house.come(name, both)
    house.out["x/b/1"] = house.out["x/a/1"]
    await house.fail("b")  # somebody did it before a crash
    await house.end("a")
    assert house.at_work() == ["c"]
    assert house.state("circuit_breaker").failures == 0


async def test_a_dispatcher_that_answers_at_once_works_off_a_long_line() -> None:
    one = gates(Bulkhead(max_concurrent=1, max_queue_size=5_000))
    house = Gatehouse()
    for number in range(5_001):
        house.come(f"c{number}", one)
    house.on_dispatch = lambda step: house.keeper.ended(Report(execution="x", step=step, attempt=1, started_at=0))
    await house.end("c0")
    assert len(house.starts) == 5_001
    assert house.keeper.passages == {}


async def test_an_attempt_that_is_stopped_just_after_it_was_let_in_is_not_made() -> None:
    house = Gatehouse()
    for name in "abc":
        house.come(name, gates(Bulkhead(max_concurrent=1, max_queue_size=9)))
    house.on_dispatch = lambda step: house.keeper.stop("x/c/1") if step == "b" else None
    house.come("d", gates(Bulkhead(max_concurrent=9, max_queue_size=9)))  # room for b and c
    assert house.at_work() == ["a", "b", "d"]


async def test_after_closing_nobody_is_let_through_or_refused() -> None:
    house = Gatehouse()
    house.come("a", gates(Bulkhead(max_concurrent=1, max_queue_size=1, timeout=SECOND)))
    house.come("b", gates(Bulkhead(max_concurrent=1, max_queue_size=1, timeout=SECOND)))
    house.come("c", gates(Bulkhead(max_concurrent=1, max_queue_size=1, timeout=SECOND)))
    house.come("d", gates(RateLimit(limit=1, per=SECOND)))
    house.come("e", gates(RateLimit(limit=1, per=SECOND)))
    house.keeper.close()
    await house.end("a")
    await house.clock.advance(10 * SECOND)
    assert house.at_work() == ["d"]
    assert house.refused == {}
    assert house.clock.armed == 0


# ── Whatever happens ─────────────────────────────────────────────────────────────────────────────────────────────────

POLICIES = st.tuples(
    st.one_of(
        st.none(),
        st.builds(RateLimit, limit=st.integers(1, 3), per=st.integers(1, 4).map(lambda seconds: seconds * SECOND)),
    ),
    st.one_of(
        st.none(),
        st.builds(
            Bulkhead,
            max_concurrent=st.integers(1, 3),
            max_queue_size=st.integers(0, 4),
            timeout=st.one_of(st.none(), st.integers(1, 8).map(lambda seconds: seconds * SECOND)),
        ),
    ),
    st.one_of(
        st.none(),
        st.builds(
            CircuitBreaker,
            threshold=st.integers(1, 3),
            open_for=st.integers(1, 5).map(lambda seconds: seconds * SECOND),
            window=st.just(5 * SECOND),
        ),
    ),
)
MOVES = st.sampled_from(["come", "come", "come", "succeed", "fail", "stop", "wait", "wait"])


@settings(max_examples=150, deadline=None)
@given(POLICIES, st.lists(st.tuples(MOVES, st.integers(0, 10**6)), max_size=60))
def test_limits_are_never_exceeded_and_everybody_is_answered_in_turn(
    policies: tuple[RateLimit | None, Bulkhead | None, CircuitBreaker | None], moves: list[tuple[str, int]]
) -> None:
    rate, bulkhead, breaker = policies
    standing = gates(*[policy for policy in policies if policy is not None])

    async def whole() -> None:
        house = Gatehouse()
        came: list[str] = []
        ended: set[str] = set()
        started: list[str] = []

        def check() -> None:
            started.extend(step for step in house.at_work() if step not in started)
            assert started == sorted(started), "out of turn"
            if rate is not None:
                for at in house.starts:
                    assert sum(at <= other < at + rate.per for other in house.starts) <= rate.limit
            if bulkhead is not None:
                assert len(house.out) <= bulkhead.max_concurrent
                waiting = [state.waiting for state in house.keeper.states() if state.kind == "bulkhead"]
                assert sum(waiting) <= bulkhead.max_queue_size

        async def end(step: str, error: ErrorInfo | None) -> None:
            ended.add(step)
            await house.end(step, error)

        for move, choice in moves:
            step = house.at_work()[choice % len(house.out)] if house.out else None
            if move == "come":
                came.append(f"c{len(came):03}")
                house.come(came[-1], standing)
            elif move == "wait":
                await house.clock.advance((choice % 3 + 1) * SECOND // 2)
            elif move == "stop" and came:
                stopped = came[choice % len(came)]
                house.out.pop(f"x/{stopped}/1", None)
                ended.add(stopped)
                house.keeper.stop(f"x/{stopped}/1")
            elif step is not None and move in ("succeed", "fail"):
                await end(step, DOWN if move == "fail" else None)
            await house.clock.settle()
            check()
        for _ in range(200):
            for step in house.at_work():
                await end(step, None)
            check()
            if not house.keeper.passages:
                break
            await house.clock.advance(SECOND)
        assert house.keeper.passages == {}, "somebody waits for ever"
        assert set(came) == ended | set(house.refused)
        if bulkhead is None and breaker is None:
            assert house.refused == {}

    asyncio.run(whole())
