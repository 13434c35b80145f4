"""Work on its way to whoever does it, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from stepwell.engine.gatekeeper import Gatekeeper
from stepwell.engine.ground import Ground
from stepwell.engine.hot import Hot
from stepwell.engine.leaving import Leaving
from stepwell.engine.reusing import Reuse
from stepwell.engine.telling import Telling
from stepwell.execution.commands import RunStep
from stepwell.execution.inputs import ResultFound
from stepwell.execution.status import StepStatus
from stepwell.execution.work import Assignment, Report
from stepwell.policy.gates import Gates
from stepwell.ports.work import Dispatcher

_UNCONNECTED: Final = "connect a dispatcher before opening the engine"


class Outgoing:
    """Has attempts and deliveries made, past the cache of results and the gates, and brings back what came of them.

    Args:
        service_gates: what stands before every call of a service, beside the gates of the step, by the service's name.
        take: decides on what an attempt of an execution in memory has brought.

    Attributes:
        gatekeeper: keeps the gates.
        telling: the deliveries that are on their way.
        leaving: the attempts that are waited for, in shards that are handed over.
    """

    def __init__(
        self, ground: Ground, service_gates: Mapping[str, Gates], take: Callable[[Hot, Report | ResultFound], None]
    ) -> None:
        self._loaded = ground.loaded
        self._failure = ground.failure
        self._service_gates = service_gates
        self._take = take
        self._dispatcher: Dispatcher | None = None
        self._reuse = Reuse(
            ground.store, ground.codec, ground.clock, self.dispatch, self._found, ground.background.spawn
        )
        self.gatekeeper = Gatekeeper(ground.clock, self._let_out, self.report, service_gates)
        self.telling = Telling(ground.clock, self._let_out)
        self.leaving = Leaving()

    def connect(self, dispatcher: Dispatcher) -> None:
        """Have the work done by this dispatcher, whose reports come to `report`."""
        self._dispatcher = dispatcher

    async def close(self) -> None:
        """Have nothing done any more, and stop what is at work without a result."""
        self.gatekeeper.close()
        if self._dispatcher is not None:
            await self._dispatcher.close()

    # ── Out ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    def dispatch(self, command: RunStep) -> None:
        """Have an attempt made."""
        if command.cached is not None:
            self._reuse.look_up(command, command.cached)
        elif command.gates is None and not self._service_gates:  # by far the most
            dispatcher = self._dispatcher
            assert dispatcher is not None, _UNCONNECTED
            dispatcher.dispatch(command.assignment)
        else:
            self.gatekeeper.dispatch(command.assignment, command.gates)

    def _let_out(self, assignment: Assignment) -> None:
        self._work().dispatch(assignment)

    def _work(self) -> Dispatcher:
        assert self._dispatcher is not None, _UNCONNECTED
        return self._dispatcher

    # ── Back ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def report(self, report: Report) -> None:
        """An attempt has ended: the dispatcher's callback."""
        if self.gatekeeper.passages:
            self.gatekeeper.ended(report)
        if self.telling.under_way:
            self.telling.ended(report)
        if self.leaving.awaited:
            self.leaving.ended(f"{report.execution}/{report.step}/{report.attempt}")
        hot = self._loaded.get(report.execution)
        if hot is not None and self._failure.error is None:
            self._take(hot, report)

    def _found(self, execution: str, found: ResultFound) -> None:
        """The result of an attempt was in the cache."""
        hot = self._loaded.get(execution)
        if hot is not None and self._failure.error is None:
            self._take(hot, found)

    # ── Not to come back ─────────────────────────────────────────────────────────────────────────────────────────────

    def stop(self, assignment_id: str) -> None:
        """Nobody wants what it would bring."""
        self._work().stop(assignment_id)
        self._withdraw(assignment_id)

    def leave(self, hot: Hot) -> None:
        """Another engine has the execution, and does its work."""
        for id_ in self._at_work(hot):
            self._work().leave(id_)
            self._withdraw(id_)

    def _withdraw(self, assignment_id: str) -> None:
        """It is on no way to a worker any more, nor is anything waited for."""
        self.gatekeeper.stop(assignment_id)  # only now is its place free
        self._reuse.stop(assignment_id)
        self.telling.forget(assignment_id)
        self.leaving.ended(assignment_id)

    def retire(self, hot: Hot) -> Iterator[str]:
        """The attempts of the execution that are at work, and end with this engine; those that have not begun yet do
        not begin any more."""
        for id_ in self._at_work(hot):
            if self.gatekeeper.is_waiting(id_):
                self.gatekeeper.stop(id_)
            elif not self._work().outlives(id_):
                yield id_

    def _at_work(self, hot: Hot) -> list[str]:
        """The ids of the attempts and deliveries that are on their way, as far as is known here."""
        state = hot.run.state
        held = {command.assignment.id for command in hot.held}
        attempts = [
            id_
            for key, step in state.steps.items()
            if step.status is StepStatus.RUNNING and step.block is None
            if (id_ := f"{state.id}/{key}/{step.attempts}") not in held
        ]
        return attempts + [id_ for id_ in self.telling.under_way if id_.startswith(f"{state.id}/")]
