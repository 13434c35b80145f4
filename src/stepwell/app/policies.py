"""The policies of the configuration: those that steps name, and those that stand before every call of a service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from stepwell.app.configuration import BulkheadSection, CircuitBreakerSection, Configuration
from stepwell.app.sections import RateLimitSection
from stepwell.base.errors import UsageError
from stepwell.policy.gates import Gates, Named
from stepwell.policy.limits import Bulkhead, CircuitBreaker, Policy, PolicyKind, RateLimit


def policies_of(configuration: Configuration) -> dict[str, Policy]:
    """What steps may name, by name."""
    policies: dict[str, Policy] = {}
    for name, section in configuration.policies.items():
        if section.circuit_breaker is not None:
            policies[name] = _circuit_breaker(section.circuit_breaker)
        elif section.bulkhead is not None:
            policies[name] = _bulkhead(section.bulkhead)
        elif section.rate_limit is not None:
            policies[name] = _rate_limit(section.rate_limit)
    return policies


def service_gates_of(configuration: Configuration) -> dict[str, Gates]:
    """What stands before every call of a service, by the service's name; services without anything are left out."""
    gates: dict[str, Gates] = {}
    for name, section in configuration.services.items():
        breaker, bulkhead = section.circuit_breaker, section.bulkhead
        if breaker is not None or bulkhead is not None:
            shared = f"service:{name}"
            gates[name] = Gates(
                circuit_breaker=Named(shared, _circuit_breaker(breaker)) if breaker is not None else None,
                bulkhead=Named(shared, _bulkhead(bulkhead)) if bulkhead is not None else None,
            )
    return gates


def policy_of(kind: PolicyKind, values: Mapping[str, Any]) -> Policy:
    """A policy, from its numbers as the configuration has them.

    Raises:
        UsageError: (code `invalid-policy`) naming everything that is wrong.
    """
    try:
        match kind:
            case "circuit_breaker":
                return _circuit_breaker(CircuitBreakerSection.model_validate(values))
            case "bulkhead":
                return _bulkhead(BulkheadSection.model_validate(values))
            case "rate_limit":
                return _rate_limit(RateLimitSection.model_validate(values))
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise UsageError(f"the {kind} is wrong: {problems}", code="invalid-policy") from None


def _circuit_breaker(section: CircuitBreakerSection) -> CircuitBreaker:
    return CircuitBreaker(**section.model_dump())


def _bulkhead(section: BulkheadSection) -> Bulkhead:
    return Bulkhead(**section.model_dump())


def _rate_limit(section: RateLimitSection) -> RateLimit:
    return RateLimit(**section.model_dump())
