"""Calls balanced over the instances of a service."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.ports.work import TaskError
from stepwell.services.instances import FAILURES, LEFT_OUT_AT_MOST, LEFT_OUT_FOR, Balance, Instances
from tests.virtual_clock import VirtualClock

DOWN = TaskError("connection_error", "refused")


def called(instances: Instances, error: TaskError | None = None) -> str:
    """The instance that one call went to."""
    seen = ""
    with suppress(TaskError), instances.calling() as url:
        seen = url
        if error is not None:
            raise error
    return seen


def fail(instances: Instances, url: str) -> None:
    """Have so many calls of one instance fail that it is left out; those of the others succeed."""
    failed = 0
    while failed < FAILURES:
        with suppress(TaskError), instances.calling() as called:
            if called == url:
                failed += 1
                raise DOWN


@pytest.mark.parametrize("balance", ["round_robin", "least_loaded"])
def test_calls_one_after_the_other_go_round(balance: Balance) -> None:
    instances = Instances(["a", "b", "c"], balance, VirtualClock())
    assert Counter(called(instances) for _ in range(30)) == {"a": 10, "b": 10, "c": 10}


def test_a_call_goes_to_where_the_fewest_are() -> None:
    instances = Instances(["a", "b"], "least_loaded", VirtualClock())
    with instances.calling() as busy:
        assert {called(instances) for _ in range(10)} == {"a", "b"} - {busy}


@given(st.lists(st.booleans(), max_size=60))
def test_loads_never_differ_by_more_than_one(moves: list[bool]) -> None:
    instances = Instances(["a", "b", "c"], "least_loaded", VirtualClock())
    with ExitStack() as stack:
        for _ in moves:
            stack.enter_context(instances.calling())
            loads = [state.running for state in instances.states()]
            assert max(loads) - min(loads) <= 1
    assert [state.running for state in instances.states()] == [0, 0, 0]


async def test_an_instance_that_fails_in_a_row_is_left_out_for_a_while() -> None:
    clock = VirtualClock()
    instances = Instances(["a", "b"], "round_robin", clock)
    fail(instances, "a")
    assert {called(instances) for _ in range(10)} == {"b"}
    assert [state.left_out_until for state in instances.states()] == [clock.now() + LEFT_OUT_FOR, None]
    await clock.advance(LEFT_OUT_FOR)
    assert {called(instances) for _ in range(10)} == {"a", "b"}


def test_it_is_left_out_longer_while_it_goes_on_failing_but_not_for_ever() -> None:
    clock = VirtualClock()
    instances = Instances(["a"], "round_robin", clock)
    lengths = []
    for _ in range(FAILURES + 12):
        called(instances, DOWN)
        until = instances.states()[0].left_out_until
        lengths.append(None if until is None else until - clock.now())
    assert lengths[:5] == [None, None, LEFT_OUT_FOR, 2 * LEFT_OUT_FOR, 4 * LEFT_OUT_FOR]
    assert lengths[-1] == LEFT_OUT_AT_MOST


def test_a_success_ends_the_row() -> None:
    instances = Instances(["a"], "round_robin", VirtualClock())
    for error in (DOWN, DOWN, None, DOWN, DOWN):
        called(instances, error)
    assert instances.states()[0].left_out_until is None


def test_when_all_are_left_out_they_are_called_all_the_same() -> None:
    instances = Instances(["a", "b"], "round_robin", VirtualClock())
    for _ in range(2 * FAILURES):
        called(instances, DOWN)
    assert all(state.left_out_until for state in instances.states())
    assert called(instances) in {"a", "b"}


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (TaskError("timeout", ""), True),
        (TaskError("tls_error", ""), True),
        (TaskError("http_error", "", details={"status": 503}), True),
        (TaskError("http_error", "", details={"status": 404}), False),
        (TaskError("invalid_request", ""), False),
    ],
)
def test_only_what_tells_against_the_instance_counts(error: TaskError, counts: bool) -> None:
    instances = Instances(["a"], "round_robin", VirtualClock())
    called(instances, error)
    assert instances.states()[0].failures == int(counts)


def test_what_is_known_of_instances_that_stay_is_kept() -> None:
    instances = Instances(["a", "b"], "round_robin", VirtualClock())
    fail(instances, "a")
    instances.become(["a", "c"])
    assert {called(instances) for _ in range(4)} == {"c"}
    assert [state.url for state in instances.states()] == ["a", "c"]


def test_without_instances_a_call_fails_and_may_be_tried_again() -> None:
    instances = Instances([], "round_robin", VirtualClock())
    with pytest.raises(TaskError) as raised, instances.calling():
        pass
    assert (raised.value.type, raised.value.retryable) == ("connection_error", True)
