"""The gates that an attempt of a step must pass before it is dispatched, and under which names they are shared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, Protocol, TypeVar

import msgspec

from stepwell.policy.limits import Bulkhead, CircuitBreaker, Policy, RateLimit

P = TypeVar("P", CircuitBreaker, Bulkhead, RateLimit)


class Named(msgspec.Struct, Generic[P], frozen=True):
    """A policy and the name of the state that it governs: who has the same name shares counts, places and starts.

    The name is `{workflow}/{step}` of a policy written in its step, `{workflow}/{policy}` of one declared by the
    workflow, and the plain name of one from the configuration. It names no version and no execution, so all of them
    share it: the service behind it is the same. A rate limit with a key has one for each value: `{name}:{value}`.

    Attributes:
        is_one_of_many: it is that of one value of a key.
    """

    name: str
    policy: P
    is_one_of_many: bool = False


class Gates(msgspec.Struct, frozen=True, kw_only=True):
    """What stands before the attempts of one step.

    Attributes:
        problem: why the gates cannot be set up, a sentence; every attempt is then refused with it.
    """

    circuit_breaker: Named[CircuitBreaker] | None = None
    bulkhead: Named[Bulkhead] | None = None
    rate_limit: Named[RateLimit] | None = None
    problem: str | None = None


def for_value(gates: Gates, value: str) -> Gates:
    """The gates of a step whose rate limit has a key, with the limit that counts this value of it alone."""
    limit = gates.rate_limit
    assert limit is not None, "asked for only where there is a key"
    policy = msgspec.structs.replace(limit.policy, key=None)
    named = Named(f"{limit.name}:{value}", policy, is_one_of_many=True)
    return msgspec.structs.replace(gates, rate_limit=named)


class Limited(Protocol):
    """What is asked of a step: each policy is written there, or is the name of one."""

    @property
    def name(self) -> str: ...
    @property
    def circuit_breaker(self) -> CircuitBreaker | str | None: ...
    @property
    def bulkhead(self) -> Bulkhead | str | None: ...
    @property
    def rate_limit(self) -> RateLimit | str | None: ...


def gates_of(
    workflow: str, step: Limited, declared: Mapping[str, Policy], configured: Mapping[str, Policy]
) -> Gates | None:
    """The gates of a step, or None when it has none.

    Args:
        workflow: the workflow's name.
        declared: the policies that the workflow declares, by name. They go before `configured` ones of the same name.
        configured: the policies of the configuration, by name.

    A name that stands for nothing, or for a policy of another kind, does not raise: the definition was right when it
    was stored, and only this step is to fail when the configuration has lost a name since. `Gates.problem` says so.
    """
    if step.circuit_breaker is None and step.bulkhead is None and step.rate_limit is None:
        return None
    find = _Finder(workflow, step.name, declared, configured)
    breaker = find.one(step.circuit_breaker, CircuitBreaker, "circuit breaker")
    bulkhead = find.one(step.bulkhead, Bulkhead, "bulkhead")
    rate_limit = find.one(step.rate_limit, RateLimit, "rate limit")
    return Gates(circuit_breaker=breaker, bulkhead=bulkhead, rate_limit=rate_limit, problem=find.problem)


class _Finder:
    """Finds the policies of one step, and keeps what was wrong first."""

    def __init__(
        self, workflow: str, step: str, declared: Mapping[str, Policy], configured: Mapping[str, Policy]
    ) -> None:
        self._workflow = workflow
        self._step = step
        self._declared = declared
        self._configured = configured
        self.problem: str | None = None

    def one(self, written: P | str | None, kind: type[P], what: str) -> Named[P] | None:
        if written is None:
            return None
        if not isinstance(written, str):
            return Named(self._own_name(), written)
        name, found = written, self._configured.get(written)
        if written in self._declared:
            name, found = f"{self._workflow}/{written}", self._declared[written]
        if isinstance(found, kind):
            return Named(name, found)
        known = "there is no such policy" if found is None else "the policy of that name is of another kind"
        self.problem = self.problem or (
            f"step {self._step!r} names the {what} {written!r}, but {known}: "
            "declare it in `spec.config.policies` or in the configuration"
        )
        return None

    def _own_name(self) -> str:
        """Of a policy written in the step; a policy that the workflow declares may have the step's name."""
        own = f"{self._workflow}/{self._step}"
        return own if self._step not in self._declared else f"{own}/inline"
