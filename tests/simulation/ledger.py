"""What is recorded of one execution, as it is committed, and everything that follows from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from stepwell.decider.plan import Plan
from stepwell.execution.evolve import begin, evolve
from stepwell.execution.history import ExecutionCreated, ExecutionMigrated, HistoryEvent
from stepwell.execution.state import ExecutionState
from stepwell.execution.status import ENDED_EXECUTION, ExecutionStatus, StepStatus
from stepwell.execution.transitions import EXECUTION_TRANSITIONS, STEP_TRANSITIONS
from tests.simulation.book import book
from tests.simulation.witness import Witness

Move = tuple[str, str, str]
"""("step" or "execution", status, name of the history event)."""

ALL_MOVES: frozenset[Move] = frozenset(
    [("step", status.value, event.__name__) for status, event in STEP_TRANSITIONS]
    + [("execution", status.value, event.__name__) for status, event in EXECUTION_TRANSITIONS]
)


class Ledger:
    """The committed history of an execution, folded as it grows.

    Attributes:
        number: of the execution, in the order of creation.
        history: all events.
        rows: after how many events each row ended.
        moves: the legal moves that were made, with how often.
    """

    def __init__(self, id_: str, number: int, plan: Plan, created: ExecutionCreated) -> None:
        self.id = id_
        self.number = number
        self.plan = plan
        self.history: list[HistoryEvent] = [created]
        self.rows: list[int] = []
        self.state: ExecutionState = begin(created)
        self.witness = Witness(plan.definition)
        self.moves: Counter[Move] = Counter()

    @property
    def ended(self) -> bool:
        """Whether its end is recorded."""
        return self.state.status in ENDED_EXECUTION

    def take(self, events: Sequence[HistoryEvent], plans: Mapping[str, Plan]) -> None:
        """One row more. `plans` are those that the execution may have gone on with, by digest."""
        for event in events:
            if isinstance(event, ExecutionMigrated):
                self.plan = plans[event.digest]
                self.witness.book |= book(self.plan.definition)
            if not isinstance(event, ExecutionCreated):
                self._note_move(event)
                self.history.append(event)
                self.witness.see(event)
                evolve(self.state, event)
        self.witness.end_row()
        self.rows.append(len(self.history))

    def _note_move(self, event: HistoryEvent) -> None:
        key = getattr(event, "step", None)
        if (self.state.status, type(event)) in EXECUTION_TRANSITIONS:
            self.moves["execution", self.state.status.value, type(event).__name__] += 1
        elif key is not None:
            step = self.state.steps.get(key)
            status = step.status if step is not None else StepStatus.PENDING
            if (status, type(event)) in STEP_TRANSITIONS:
                self.moves["step", status.value, type(event).__name__] += 1

    def has_begun(self) -> bool:
        """Whether its beginning is recorded."""
        return self.state.status is not ExecutionStatus.PENDING
