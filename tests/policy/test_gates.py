"""Which gates stand before a step, and under which names they are shared."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.definition.model import Step
from stepwell.policy.gates import Gates, Named, for_value, gates_of
from stepwell.policy.limits import Bulkhead, CircuitBreaker, Policy, RateLimit

BREAKER = CircuitBreaker(threshold=2)
BULKHEAD = Bulkhead(max_concurrent=3)
RATE = RateLimit(limit=1, per=5)


def found(declared: dict[str, Policy] | None = None, configured: dict[str, Policy] | None = None, **on: Any) -> Any:
    return gates_of("orders", Step(name="charge", **on), declared or {}, configured or {})


def test_a_step_without_policies_has_no_gates() -> None:
    assert found({"p": BREAKER}, {"q": BULKHEAD}) is None


def test_a_policy_written_in_the_step_is_named_after_workflow_and_step() -> None:
    gates = found(circuit_breaker=BREAKER, bulkhead=BULKHEAD, rate_limit=RATE)
    assert gates == Gates(
        circuit_breaker=Named("orders/charge", BREAKER),
        bulkhead=Named("orders/charge", BULKHEAD),
        rate_limit=Named("orders/charge", RATE),
    )


def test_a_declared_policy_is_named_after_workflow_and_policy() -> None:
    assert found({"p": BREAKER}, circuit_breaker="p") == Gates(circuit_breaker=Named("orders/p", BREAKER))


def test_a_configured_policy_has_its_plain_name() -> None:
    assert found(configured={"p": RATE}, rate_limit="p") == Gates(rate_limit=Named("p", RATE))


def test_a_declared_policy_goes_before_a_configured_one() -> None:
    assert found({"p": BULKHEAD}, {"p": Bulkhead(max_concurrent=9)}, bulkhead="p") == Gates(
        bulkhead=Named("orders/p", BULKHEAD)
    )


def test_a_step_does_not_share_its_own_policy_with_a_declared_one_of_its_name() -> None:
    gates = found({"charge": CircuitBreaker()}, circuit_breaker=BREAKER)
    assert gates == Gates(circuit_breaker=Named("orders/charge/inline", BREAKER))


@pytest.mark.parametrize(
    ("configured", "says"),
    [({}, "no such policy"), ({"p": BREAKER}, "of another kind")],
)
def test_a_name_that_stands_for_nothing_is_a_problem_of_this_step(configured: dict[str, Policy], says: str) -> None:
    gates = found(configured=configured, bulkhead="p", rate_limit=RATE)
    assert gates.bulkhead is None
    assert gates.rate_limit == Named("orders/charge", RATE)
    assert "'charge'" in gates.problem
    assert "the bulkhead 'p'" in gates.problem
    assert says in gates.problem


def test_a_rate_limit_with_a_key_has_a_name_for_each_value_of_it() -> None:
    gates = found(rate_limit=RateLimit(limit=1, per=5, key="{{ input.x }}"), bulkhead=BULKHEAD)
    assert for_value(gates, "acme") == Gates(
        bulkhead=Named("orders/charge", BULKHEAD), rate_limit=Named("orders/charge:acme", RATE, is_one_of_many=True)
    )
