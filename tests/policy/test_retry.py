"""The arithmetic of retries."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.base.durations import LONGEST, SECOND
from stepwell.policy.retry import Backoff, RetryPolicy


def delays(policy: RetryPolicy, count: int = 5) -> list[float]:
    """The waits after the first tries, in seconds."""
    return [policy.delay_after(attempt, b"seed", "step") / SECOND for attempt in range(1, count + 1)]


def test_constant_waits_the_same_each_time() -> None:
    assert delays(RetryPolicy(backoff="constant", initial_delay=3 * SECOND)) == [3, 3, 3, 3, 3]


def test_linear_waits_longer_by_the_same_each_time() -> None:
    assert delays(RetryPolicy(backoff="linear", initial_delay=3 * SECOND)) == [3, 6, 9, 12, 15]


def test_exponential_multiplies_each_time() -> None:
    assert delays(RetryPolicy(backoff="exponential", initial_delay=SECOND)) == [1, 2, 4, 8, 16]
    assert delays(RetryPolicy(backoff="exponential", initial_delay=2 * SECOND, multiplier=1.5), 3) == [2, 3, 4.5]


@pytest.mark.parametrize("backoff", ["constant", "linear", "exponential"])
def test_every_wait_is_capped(backoff: Backoff) -> None:
    policy = RetryPolicy(backoff=backoff, initial_delay=4 * SECOND, max_delay=10 * SECOND, jitter=1.0)
    assert all(delay <= 10 for delay in delays(policy, 50))


def test_the_cap_may_be_below_the_first_wait() -> None:
    assert delays(RetryPolicy(initial_delay=9 * SECOND, max_delay=SECOND), 2) == [1, 1]


@pytest.mark.parametrize("multiplier", [2, 2.0, 10.0])
def test_the_millionth_wait_is_computed_at_once_and_bounded(multiplier: float) -> None:
    policy = RetryPolicy(multiplier=multiplier)
    assert policy.delay_after(1_000_000, b"", "step") == LONGEST


def test_no_delay_stays_none() -> None:
    assert delays(RetryPolicy(initial_delay=0, jitter=1.0)) == [0, 0, 0, 0, 0]


def test_jitter_depends_on_the_seed_the_step_and_the_attempt_and_on_nothing_else() -> None:
    policy = RetryPolicy(backoff="constant", jitter=0.5)
    drawn = {
        policy.delay_after(attempt, seed, identity)
        for attempt in (1, 2)
        for seed in (b"a", b"b")
        for identity in ("x", "y")
    }
    assert len(drawn) == 8
    assert policy.delay_after(1, b"a", "x") == RetryPolicy(backoff="constant", jitter=0.5).delay_after(1, b"a", "x")


def test_jitter_uses_the_whole_range() -> None:
    policy = RetryPolicy(backoff="constant", initial_delay=1000, jitter=0.2)
    drawn = [policy.delay_after(attempt, b"seed", "step") for attempt in range(1, 2_000)]
    assert min(drawn) < 810
    assert max(drawn) > 1190
    assert abs(sum(drawn) / len(drawn) - 1000) < 10


@pytest.mark.parametrize(
    ("policy", "error_type", "retryable", "again"),
    [
        (RetryPolicy(), "timeout", True, True),
        (RetryPolicy(), "timeout", False, False),
        (RetryPolicy(retry_on=("timeout",)), "timeout", False, True),
        (RetryPolicy(retry_on=("timeout",)), "http_error", True, False),
        (RetryPolicy(give_up_on=("timeout",)), "timeout", True, False),
        (RetryPolicy(give_up_on=("timeout",)), "http_error", True, True),
        (RetryPolicy(give_up_on=("timeout",)), "http_error", False, False),
        (RetryPolicy(retry_on=("timeout",), give_up_on=("timeout",)), "timeout", True, False),
        (RetryPolicy(retry_on=("timeout",), give_up_on=("http_error",)), "ValueError", True, False),
    ],
)
def test_what_a_policy_says_of_an_error_type_goes_before_what_the_task_says(
    policy: RetryPolicy, error_type: str, retryable: bool, again: bool
) -> None:
    assert policy.tries_again_after(error_type, retryable=retryable) is again


_policies = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 30),
    backoff=st.sampled_from(["constant", "linear", "exponential"]),
    initial_delay=st.integers(0, 10**12),
    max_delay=st.none() | st.integers(0, 10**12),
    multiplier=st.floats(1, 100),
    jitter=st.floats(0, 1),
)


@settings(max_examples=100, deadline=None)
@given(policy=_policies, attempt=st.integers(1, 10**6), seed=st.binary(max_size=64), identity=st.text(max_size=5))
def test_every_wait_is_a_bounded_whole_number(policy: RetryPolicy, attempt: int, seed: bytes, identity: str) -> None:
    delay = policy.delay_after(attempt, seed, identity)
    assert isinstance(delay, int)
    assert 0 <= delay <= (policy.max_delay if policy.max_delay is not None else LONGEST)


@settings(max_examples=100, deadline=None)
@given(policy=_policies, seed=st.binary(max_size=8))
def test_the_longest_total_is_never_exceeded(policy: RetryPolicy, seed: bytes) -> None:
    waited = sum(policy.delay_after(attempt, seed, "step") for attempt in range(1, policy.max_attempts))
    assert waited <= policy.longest_total() + policy.max_attempts  # each is rounded


@pytest.mark.parametrize(
    ("policy", "seconds"),
    [
        (RetryPolicy(max_attempts=1), 0),
        (RetryPolicy(max_attempts=3), 3),
        (RetryPolicy(max_attempts=3, jitter=0.5), 4.5),
        (RetryPolicy(max_attempts=4, backoff="constant", jitter=1.0, max_delay=SECOND), 3),
        (RetryPolicy(max_attempts=10**6, backoff="constant"), 999),
    ],
)
def test_the_longest_total_adds_up_every_wait_with_its_jitter_and_its_cap(policy: RetryPolicy, seconds: float) -> None:
    assert policy.longest_total() == seconds * SECOND
