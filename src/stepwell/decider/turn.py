"""One turn of deciding: what came in at one instant, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from stepwell.decider.region import Instance, Region
from stepwell.decider.run import Run
from stepwell.execution.commands import Command
from stepwell.execution.evolve import CHANGES
from stepwell.execution.history import HistoryEvent
from stepwell.execution.state import ExecutionState, StepState
from stepwell.expression.scope import Outcome, Scope
from stepwell.expression.template import Template

NOTHING: Final = Scope({})
"""All that a constant template needs to see."""


class Decision(msgspec.Struct, frozen=True, gc=False):
    """What was decided: the events to record, and the commands to carry out once they are recorded.

    `said`: what an operator's verb did, in words.
    """

    events: list[HistoryEvent]
    commands: list[Command]
    said: str = ""


class Turn(msgspec.Struct, eq=False):
    """Collects what is decided. Every event is folded into the state at once, so that what follows sees it.

    Attributes:
        through: regions of which nothing is left to run, and steps that stood in for failed ones and have ended: what
            they were opened or run for has yet to go on.
        said: what an operator's verb did, in words.
    """

    run: Run
    state: ExecutionState
    at: int
    events: list[HistoryEvent] = []
    commands: list[Command] = []
    through: list[Region | Instance] = []
    said: str = ""

    def emit(self, event: HistoryEvent) -> None:
        """Record that this happened: the same as `evolve`, without a call that every event would make."""
        state = self.state
        CHANGES[type(event)](state, event)
        state.seq += 1
        self.events.append(event)

    def command(self, command: Command) -> None:
        """Have this done after the commit."""
        self.commands.append(command)

    def step(self, name: str) -> StepState:
        """The state of a step, a fresh one when nothing happened to it yet."""
        return self.state.steps.get(name) or StepState()

    def attempts(self, key: str) -> int:
        """How many attempts of a step were made, those before it was reset too."""
        step = self.state.steps.get(key)
        if step is not None and step.attempts:
            return step.attempts
        reset = self.state.resets.get(key)
        return reset.attempts if reset is not None else 0

    def scope(
        self, one: Instance, purpose: str, extra: Mapping[str, Any] | None = None, outcome: Outcome | None = None
    ) -> Scope:
        """What expressions of this step see now; those of a compensation step also see the `error` that it undoes."""
        error = self.state.failure or self.state.final_error if one.node.for_compensation else None
        if error is not None:
            extra = {"error": error.as_dict(), **(extra or {})}
        return self.run.names.scope(self.at, one.key, purpose, extra, outcome, one.region, one)

    def render(
        self,
        one: Instance,
        template: Template,
        purpose: str,
        extra: Mapping[str, Any] | None = None,
        outcome: Outcome | None = None,
    ) -> Any:
        """What a template of this step gives now.

        Raises:
            ExpressionError: it cannot be rendered.
        """
        return template.render(NOTHING if template.constant else self.scope(one, purpose, extra, outcome))
