"""Between the engine and the dispatcher: attempts pass the gates of their step on the way out and on the way back.

The order is rate limit, bulkhead, circuit breaker:

* Who waits for the rate limit takes no place in a bulkhead that others could use, nor does its time there run.
* The circuit breaker comes last, because what it says must hold at the moment of the call: a call that has waited in a
  bulkhead asks it when its turn comes. It is also asked at the door, so that a call which would fail anyway fails fast
  and takes nobody's turn.

Everything here is in memory. An attempt that waits at a gate is recorded as scheduled, so after a crash it comes to the
gates again. Counts and circuits start anew: what they say about the moments before a crash is stale, and a circuit that
should still be open opens again after a few calls. The limits are those of one engine.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from stepwell.base.clock import Clock
from stepwell.base.errors import ErrorInfo
from stepwell.base.semantic_version import precedence
from stepwell.base.values import Sealed
from stepwell.engine.gates import CircuitBreakerGate, Gate, GateState, Keeper, Outcome, RateLimitGate, new_gate
from stepwell.execution.work import Assignment, Report
from stepwell.policy.circuit_breaker import succeeded
from stepwell.policy.gates import Gates, Named
from stepwell.policy.limits import Bulkhead, CircuitBreaker, Policy, RateLimit

ANY_VERSION: Final = "0.0.0"
"""Of what was set at run time: any version's own numbers take its place once it is set no more."""

MANY: Final = 1_000
"""So many values of keys of rate limits have gates before it is looked whose gate is needed no more."""


class Passage:
    """An attempt on its way through its gates.

    Attributes:
        path: the gates, in the order in which they are passed.
        passed: how many it has passed.
        dispatched_at: when it had passed them all, or None.
    """

    __slots__ = ("assignment", "dispatched_at", "id", "passed", "path")

    def __init__(self, assignment: Assignment, path: tuple[Gate, ...]) -> None:
        self.assignment = assignment
        self.id = assignment.id
        self.path = path
        self.passed = 0
        self.dispatched_at: int | None = None


class Gatekeeper(Keeper):
    """Keeps the gates, and whoever is on his way through them.

    Args:
        dispatch: has an attempt done.
        report: called on the event loop, from no call made to this object, when an attempt was refused.
        service_gates: what stands before every call of a service, beside the gates of the step, by the service's name.

    Attributes:
        passages: by the attempts' ids. Empty when no attempt with gates is under way: then there is no need to call.
    """

    def __init__(
        self,
        clock: Clock,
        dispatch: Callable[[Assignment], None],
        report: Callable[[Report], None],
        service_gates: Mapping[str, Gates],
    ) -> None:
        self._clock = clock
        self._dispatch = dispatch
        self._report = report
        self._service_gates = service_gates
        self._gates: dict[tuple[type[Policy], str], Gate] = {}
        self._versions: dict[tuple[type[Policy], str], str] = {}
        self._set: dict[tuple[type[Policy], str], Policy] = {}
        self._of_values: dict[tuple[type[Policy], str], RateLimitGate] = {}
        self._most_of_values = MANY
        self._moved: deque[tuple[Passage, ErrorInfo | None]] = deque()
        self._settling = False
        self._closed = False
        self.passages: dict[str, Passage] = {}

    def states(self) -> list[GateState]:
        """What can be seen of every gate that was used, in order of name."""
        now = self._clock.now()
        states = [
            msgspec.structs.replace(gate.state(now), policy=gate.policy, is_set=key in self._set)
            for key, gate in self._gates.items()
        ]
        return sorted(states, key=lambda state: (state.name, state.kind))

    # ── At run time ──────────────────────────────────────────────────────────────────────────────────────────────────

    def set_policies(self, policies: Mapping[tuple[type[Policy], str], Policy]) -> None:
        """These numbers are in force from now on, by kind and name, whatever definitions and the configuration say. Of
        gates that are no longer among them those are, from the next attempt on, that its definition says."""
        self._set = dict(policies)
        now = self._clock.now()
        for key, policy in self._set.items():
            gate = self._gates.get(key)
            if gate is not None and gate.policy != policy:
                gate.adopt(policy, now)
        self.settle()

    def reset(self, name: str) -> bool:
        """Close a circuit breaker, and count anew. False when there is none of that name, or none that was used."""
        gate = self._gates.get((CircuitBreaker, name))
        if not isinstance(gate, CircuitBreakerGate):
            return False
        gate.reset()
        return True

    # ── On the way out ───────────────────────────────────────────────────────────────────────────────────────────────

    def dispatch(self, assignment: Assignment, gates: Gates | None) -> None:
        """Have the attempt done once it has passed its gates and those of the service it calls. A repetition of one
        that is under way is ignored; so is one that comes after the close: it goes on when the execution is resumed."""
        if self._closed or assignment.id in self.passages:
            return
        standing = [each for each in (gates, self._gates_of_service(assignment)) if each is not None]
        passage = Passage(assignment, tuple(self._path(standing, assignment.version)))
        self.passages[passage.id] = passage
        self._moved.append((passage, self._refusal_at_the_door(standing, passage)))
        self.settle()

    def _gates_of_service(self, assignment: Assignment) -> Gates | None:
        if assignment.type != "service_call" or not self._service_gates:
            return None
        service = assignment.config.get("service")
        return self._service_gates.get(service.value if isinstance(service, Sealed) else service)

    def _path(self, standing: Iterable[Gates], version: str) -> Iterator[Gate]:
        for gates in standing:
            if gates.rate_limit is not None:
                yield self._gate(gates.rate_limit, version)
        for gates in standing:
            if gates.bulkhead is not None:
                yield self._gate(gates.bulkhead, version)
        for gates in standing:
            if gates.circuit_breaker is not None:
                yield self._gate(gates.circuit_breaker, version)

    def _gate(self, named: Named[Any], version: str) -> Gate:
        """The gate of that name. Of several versions of a workflow the newest one's numbers are in force."""
        policy: RateLimit | Bulkhead | CircuitBreaker = named.policy
        key = type(policy), named.name
        if key in self._set:
            policy = self._set[key]
            version = ANY_VERSION
        gate = self._gates.get(key)
        if gate is None:
            if named.is_one_of_many and len(self._of_values) >= self._most_of_values:
                self._forget_idle()
            gate = self._gates[key] = new_gate(named.name, policy, self._clock, self)
            self._versions[key] = version
            if named.is_one_of_many and isinstance(gate, RateLimitGate):
                self._of_values[key] = gate
        elif gate.policy != policy and (key in self._set or precedence(version) >= precedence(self._versions[key])):
            self._versions[key] = version
            gate.adopt(policy, self._clock.now())
        return gate

    def _forget_idle(self) -> None:
        """Forget the gates of values that count nothing now, and that nobody is on his way to. How often that is looked
        for goes by how many are needed, so that it costs each new gate the same."""
        now = self._clock.now()
        ahead = {gate for passage in self.passages.values() for gate in passage.path[passage.passed :]}
        for key, gate in list(self._of_values.items()):
            if gate not in ahead and gate.is_idle(now):
                gate.close()
                del self._of_values[key], self._gates[key], self._versions[key]
        self._most_of_values = max(MANY, 2 * len(self._of_values))

    def _refusal_at_the_door(self, standing: Iterable[Gates], passage: Passage) -> ErrorInfo | None:
        for gates in standing:
            if gates.problem is not None:
                return ErrorInfo("invalid_config", gates.problem)
        now = self._clock.now()
        for gate in passage.path:
            if isinstance(gate, CircuitBreakerGate) and (refusal := gate.refusal(now)) is not None:
                return refusal
        return None

    def _advance(self, passage: Passage) -> None:
        """Go on to the next gate at which it must wait, and past the last one to the dispatcher."""
        now = self._clock.now()
        while passage.passed < len(passage.path):
            verdict = passage.path[passage.passed].enter(passage.id, now)
            if isinstance(verdict, ErrorInfo):
                self._turn_back(passage, verdict)
                return
            if verdict == "waits":
                return
            passage.passed += 1
        passage.dispatched_at = now
        for gate in passage.path:
            gate.start(passage.id, now)
        self._dispatch(_bounded(passage))

    def _turn_back(self, passage: Passage, error: ErrorInfo) -> None:
        """The attempt is refused: it ends here, and its report follows."""
        now = self._clock.now()
        self._leave(passage, None, now)
        assignment = passage.assignment
        report = Report(
            execution=assignment.execution,
            step=assignment.step,
            attempt=assignment.attempt,
            started_at=now,
            error=error,
        )
        asyncio.get_running_loop().call_soon(self._report_refused, report)

    def _report_refused(self, report: Report) -> None:
        if not self._closed:
            self._report(report)

    # ── On the way back ──────────────────────────────────────────────────────────────────────────────────────────────

    def ended(self, report: Report) -> None:
        """The attempt has ended: count it, and let others in."""
        passage = self.passages.get(f"{report.execution}/{report.step}/{report.attempt}")
        if passage is None:
            return
        now = self._clock.now()
        outcome = None
        if passage.dispatched_at is not None:
            # Workers elsewhere have clocks of their own; and waiting for a free worker is not the callee's doing.
            began = min(max(report.started_at, passage.dispatched_at), now)
            outcome = Outcome(succeeded(report.error), now - began)
        self._leave(passage, outcome, now)
        self.settle()

    def stop(self, attempt: str) -> None:
        """The attempt is wanted no more, wherever it is. Its place is free at once, although stopping may take a moment
        longer: no report tells when it has ended."""
        passage = self.passages.get(attempt)
        if passage is not None:
            self._leave(passage, None, self._clock.now())
            self.settle()

    def is_waiting(self, attempt: str) -> bool:
        """Whether the attempt waits at a gate."""
        passage = self.passages.get(attempt)
        return passage is not None and passage.dispatched_at is None

    def close(self) -> None:
        """Let nobody through any more."""
        self._closed = True
        self.passages.clear()
        self._moved.clear()
        for gate in self._gates.values():
            gate.close()

    def _leave(self, passage: Passage, outcome: Outcome | None, now: int) -> None:
        del self.passages[passage.id]
        for gate in reversed(passage.path):
            gate.leave(passage.id, outcome, now)

    # ── What gates say ───────────────────────────────────────────────────────────────────────────────────────────────

    def let_in(self, attempt: str) -> None:
        passage = self.passages[attempt]
        passage.passed += 1
        self._moved.append((passage, None))

    def refuse(self, attempt: str, error: ErrorInfo) -> None:
        self._moved.append((self.passages[attempt], error))

    def settle(self) -> None:
        """Take everyone further who can go further. One after the other, not one inside the other: a circuit that opens
        may turn back a long line."""
        if self._settling:
            return
        self._settling = True
        try:
            while self._moved:
                passage, error = self._moved.popleft()
                if self.passages.get(passage.id) is not passage:
                    continue  # stopped meanwhile
                if error is None:
                    self._advance(passage)
                else:
                    self._turn_back(passage, error)
        finally:
            self._settling = False


def _bounded(passage: Passage) -> Assignment:
    """The assignment, which takes no longer than its circuit breakers allow one call to take."""
    assignment = passage.assignment
    bounds = [gate.policy.call_timeout for gate in passage.path if isinstance(gate, CircuitBreakerGate)]
    timeouts = [bound for bound in (assignment.timeout, *bounds) if bound is not None]
    timeout = min(timeouts, default=None)
    if timeout == assignment.timeout:
        return assignment
    return msgspec.structs.replace(assignment, timeout=timeout)
