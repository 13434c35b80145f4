"""Policies of the configuration: read, refused when wrong, and in force."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from stepwell import WorkflowEngine, task
from stepwell.app.configuration import configuration_from
from stepwell.app.policies import policies_of, service_gates_of
from stepwell.base.durations import MINUTE, SECOND
from stepwell.base.errors import ConfigurationError
from stepwell.definition.diagnostics import InvalidDefinition
from stepwell.policy.gates import Gates, Named
from stepwell.policy.limits import Bulkhead, CircuitBreaker, RateLimit

MEMORY: dict[str, Any] = {"state_store": {"type": "memory"}}


def document(*steps: dict[str, Any], **config: Any) -> dict[str, Any]:
    return {
        "apiVersion": "workflow/v1",
        "kind": "Workflow",
        "metadata": {"name": "test", "version": "1.0.0"},
        "spec": {"config": config, "steps": list(steps)},
    }


@pytest.fixture
def nobody() -> Iterator[str]:
    """The address of a port on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_policies_are_read_with_defaults_for_what_is_left_out() -> None:
    configuration = configuration_from(
        {
            "policies": {
                "careful": {"circuit_breaker": {"threshold": 2, "open_for": "1m"}},
                "few": {"bulkhead": {"max_concurrent": 3, "max_queue_size": 9, "timeout": "30s"}},
                "slow": {"rate_limit": {"limit": 5, "per": "1s"}},
            }
        }
    )
    assert policies_of(configuration) == {
        "careful": CircuitBreaker(threshold=2, open_for=MINUTE),
        "few": Bulkhead(max_concurrent=3, max_queue_size=9, timeout=30 * SECOND),
        "slow": RateLimit(limit=5, per=SECOND),
    }


def test_a_service_s_policies_are_named_after_it() -> None:
    services = {
        "users": {"url": "http://x", "circuit_breaker": {}, "bulkhead": {"max_concurrent": 2}},
        "plain": {"url": "http://y"},
    }
    assert service_gates_of(configuration_from({"services": services})) == {
        "users": Gates(
            circuit_breaker=Named("service:users", CircuitBreaker()),
            bulkhead=Named("service:users", Bulkhead(max_concurrent=2)),
        )
    }


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"policies": {"p": {}}}, "policies.p: a policy is exactly one of circuit_breaker, bulkhead, rate_limit"),
        (
            {"policies": {"p": {"bulkhead": {"max_concurrent": 1}, "rate_limit": {"limit": 1, "per": 1}}}},
            "policies.p: a policy is exactly one of",
        ),
        ({"policies": {"p": {"circuit_breaker": None}}}, "policies.p: a policy is exactly one of"),
        ({"policies": {"a/b": {"rate_limit": {"limit": 1, "per": 1}}}}, "policies.a/b"),
        ({"policies": {"p": {"circuit_breaker": {"threshold": 0}}}}, "policies.p.circuit_breaker.threshold"),
        ({"policies": {"p": {"circuit_breaker": {"open_for": 0}}}}, "policies.p.circuit_breaker.open_for"),
        ({"policies": {"p": {"circuit_breaker": {"window": "soon"}}}}, "policies.p.circuit_breaker.window"),
        ({"policies": {"p": {"bulkhead": {"max_concurrent": -1}}}}, "policies.p.bulkhead.max_concurrent"),
        ({"policies": {"p": {"bulkhead": {}}}}, "policies.p.bulkhead.max_concurrent"),
        ({"policies": {"p": {"rate_limit": {"limit": 1, "per": -1}}}}, "policies.p.rate_limit.per"),
        ({"policies": {"p": {"circuit_breaker": {"treshold": 1}}}}, "did you mean 'threshold'?"),
        ({"services": {"url": {"url": "u", "bulkhed": {}}}}, "did you mean 'bulkhead'?"),
        ({"services": {"users": {"url": "u", "bulkhead": {"max_concurrent": 0}}}}, "services.users.bulkhead"),
    ],
)
def test_a_wrong_policy_is_refused_with_its_place(values: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        configuration_from(values)
    assert says in str(refused.value)


async def test_a_service_that_is_down_is_not_called_once_its_circuit_is_open(nobody: str) -> None:
    services = {"users": {"url": nobody, "circuit_breaker": {"threshold": 2, "open_for": "1h"}}}
    call = document({"name": "call", "type": "service_call", "config": {"service": "users", "endpoint": "/"}})
    async with WorkflowEngine({**MEMORY, "services": services}) as engine:
        errors = [(await engine.execute_workflow(call))["steps"][0]["error"]["type"] for _ in range(3)]
        assert errors == ["connection_error", "connection_error", "circuit_open"]
        (gate,) = await engine.gates()
        assert (gate.name, gate.kind, gate.state, gate.failures) == ("service:users", "circuit_breaker", "open", 2)
        assert (gate.rejected, gate.calls, gate.error_rate) == (1, 2, 1.0)
        assert gate.latency_mean is not None


async def test_steps_of_several_workflows_share_a_policy_of_the_configuration() -> None:
    calls: list[int] = []

    @task
    def call_home() -> None:
        calls.append(1)
        raise ConnectionError("nobody answers")

    policies = {"careful": {"circuit_breaker": {"threshold": 1}}}
    step = {"name": "call", "type": "call_home", "config": {}, "circuit_breaker": "careful"}
    async with WorkflowEngine({**MEMORY, "policies": policies}, tasks=[call_home]) as engine:
        await engine.execute_workflow(document(step))
        refused = await engine.execute_workflow(document({**step, "name": "other"}))
        assert refused["steps"][0]["error"]["type"] == "circuit_open"
        assert len(calls) == 1
        assert [gate.name for gate in await engine.gates()] == ["careful"]


async def test_a_policy_that_is_neither_declared_nor_configured_is_a_finding() -> None:
    step = {"name": "call", "type": "noop", "circuit_breaker": "carefull"}
    policies: dict[str, Any] = {"careful": {"circuit_breaker": {}}}
    async with WorkflowEngine({**MEMORY, "policies": policies}) as engine:
        with pytest.raises(InvalidDefinition, match="careful"):
            await engine.start_workflow(document(step))
