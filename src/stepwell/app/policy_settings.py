"""Policies that are set while engines run: other numbers for a circuit breaker, a bulkhead or a rate limit, by name.

They are documents, so that they outlast the process; every engine on the store looks at them every few seconds.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec

from stepwell.app.configuration import Configuration
from stepwell.app.lookout import Lookout
from stepwell.app.policies import policies_of, policy_of, service_gates_of
from stepwell.base.clock import Clock
from stepwell.base.durations import format_duration
from stepwell.base.errors import NotFound
from stepwell.base.instants import to_rfc3339
from stepwell.base.suggest import hint_for
from stepwell.engine.engine import Engine
from stepwell.engine.gates import GateState
from stepwell.policy.limits import KINDS, Policy, PolicyKind
from stepwell.ports.ledger import Document, Ledger, Write

KIND: Final = "policy"

_KIND_OF: Final[Mapping[type[Policy], PolicyKind]] = {policy: kind for kind, policy in KINDS.items()}


class SetPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A policy as it is kept: its numbers as the configuration has them, and who set it when."""

    values: dict[str, Any]
    by: str
    at: int


class PolicySettings:
    """The policies of a server: seen and changed."""

    def __init__(self, engine: Engine, ledger: Ledger, configuration: Configuration, clock: Clock) -> None:
        self._engine = engine
        self._ledger = ledger
        self._configuration = configuration
        self._clock = clock
        self.lookout = Lookout(self._look, ledger, KIND, clock)
        self._set: dict[tuple[PolicyKind, str], SetPolicy] = {}

    def list(self) -> list[dict[str, Any]]:
        """Every policy that has a name and is configured, was set, or was used by this engine, in order of name."""
        states = {(state.kind, state.name): state for state in self._engine.gates()}
        known = {**self._configured(), **{key: policy_of(key[0], each.values) for key, each in self._set.items()}}
        names = sorted(states.keys() | known.keys(), key=lambda key: (key[1], key[0]))
        return [self._shown(kind, name, known.get((kind, name)), states.get((kind, name))) for kind, name in names]

    async def set(self, kind: PolicyKind, name: str, values: Mapping[str, Any], by: str) -> dict[str, Any]:
        """Put other numbers in force, here at once and elsewhere within seconds.

        Raises:
            UsageError: (code `invalid-policy`) they are no policy of the kind. NotFound: (code `unknown-policy`).
        """
        policy_of(kind, values)
        self._check_known(kind, name)
        body = msgspec.json.encode(SetPolicy(values=dict(values), by=by, at=self._clock.now()))
        await self._ledger.write([Write(kind=KIND, key=f"{kind}/{name}", body=body)], self._clock.now())
        await self._look()
        return next(each for each in self.list() if (each["kind"], each["name"]) == (kind, name))

    async def clear(self, kind: PolicyKind, name: str) -> None:
        """Have what its definition or the configuration says be in force again.

        Raises:
            NotFound: (code `unknown-policy`) it was not set.
        """
        await self._look()
        if (kind, name) not in self._set:
            set_ = [other for of, other in self._set if of == kind]
            raise NotFound(f"no {kind} {name!r} was set", code="unknown-policy", hint=hint_for(name, set_))
        await self._ledger.write([Write(kind=KIND, key=f"{kind}/{name}", body=None)], self._clock.now())
        await self._look()

    def reset(self, name: str) -> None:
        """Close a circuit breaker of this engine.

        Raises:
            NotFound: (code `unknown-policy`) there is none of that name that was used.
        """
        if not self._engine.reset_circuit(name):
            used = [state.name for state in self._engine.gates() if state.kind == "circuit_breaker"]
            message = f"no circuit breaker {name!r} was used since this engine was opened"
            raise NotFound(message, code="unknown-policy", hint=hint_for(name, used))

    def _check_known(self, kind: PolicyKind, name: str) -> None:
        """A setting for what nobody names would do nothing, and nobody would notice."""
        known = {name for of, name in self._configured() if of == kind}
        known |= {state.name for state in self._engine.gates() if state.kind == kind}
        known |= {name for of, name in self._set if of == kind}
        if name not in known:
            message = f"no {kind} {name!r} is configured, and none was used since this engine was opened"
            raise NotFound(message, code="unknown-policy", hint=hint_for(name, known))

    def _configured(self) -> dict[tuple[PolicyKind, str], Policy]:
        configuration = self._configuration
        found = {(_KIND_OF[type(policy)], name): policy for name, policy in policies_of(configuration).items()}
        for gates in service_gates_of(configuration).values():
            for named in (gates.circuit_breaker, gates.bulkhead):
                if named is not None:
                    found[_KIND_OF[type(named.policy)], named.name] = named.policy
        return found

    def _shown(self, kind: PolicyKind, name: str, known: Policy | None, state: GateState | None) -> dict[str, Any]:
        set_ = self._set.get((kind, name))
        policy = state.policy if state is not None else known
        if set_ is not None:
            policy = policy_of(kind, set_.values)
        return {
            "name": name,
            "kind": kind,
            "policy": _plain(policy),
            "set_by": set_.by if set_ is not None else None,
            "set_at": to_rfc3339(set_.at) if set_ is not None else None,
            **_figures(state),
        }

    async def _look(self) -> None:
        found: dict[tuple[PolicyKind, str], SetPolicy] = {}
        after = ""
        while page := await self._ledger.documents(KIND, after=after):
            found.update(filter(None, map(_read, page)))
            after = page[-1].key
        if found != self._set:
            self._set = found
            policies = {(KINDS[kind], name): policy_of(kind, each.values) for (kind, name), each in found.items()}
            self._engine.set_policies(policies)


@asynccontextmanager
async def open_policy_settings(
    engine: Engine, ledger: Ledger, configuration: Configuration, clock: Clock
) -> AsyncIterator[PolicySettings]:
    """The policies of a server, while it runs."""
    settings = PolicySettings(engine, ledger, configuration, clock)
    await settings.lookout.open()
    try:
        yield settings
    finally:
        await settings.lookout.close()


def _read(document: Document) -> tuple[tuple[PolicyKind, str], SetPolicy] | None:
    written, _, name = document.key.partition("/")
    kind = next((each for each in KINDS if each == written), None)
    if kind is None:
        return None  # of a later version
    return (kind, name), msgspec.json.decode(document.body, type=SetPolicy)


def _plain(policy: Policy | None) -> dict[str, Any] | None:
    """The numbers as the configuration has them."""
    if policy is None:
        return None
    written = msgspec.structs.asdict(policy)
    durations = ("call_timeout", "open_for", "window", "timeout", "per")
    return {
        key: format_duration(value) if key in durations and value is not None else value
        for key, value in written.items()
        if key not in ("fallback", "key")
    }


def _figures(state: GateState | None) -> dict[str, Any]:
    if state is None:
        return {"state": None, "running": 0, "waiting": 0, "rejected": 0, "failures": None, "error_rate": None}
    return {
        "state": state.state,
        "running": state.running,
        "waiting": state.waiting,
        "rejected": state.rejected,
        "failures": state.failures,
        "error_rate": state.error_rate,
        "opened_at": to_rfc3339(state.opened_at) if state.opened_at is not None else None,
        "next_try_at": to_rfc3339(state.next_try_at) if state.next_try_at is not None else None,
    }
