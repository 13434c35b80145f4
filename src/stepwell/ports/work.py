"""The contracts of work: who carries an attempt out, what the task sees, and who is told of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from stepwell.base.errors import StepwellError
from stepwell.definition.model import WorkflowDefinition
from stepwell.execution.history import HistoryEvent
from stepwell.execution.work import Assignment, Report


class Dispatcher(Protocol):
    """Assignments out, reports back. Idempotent by assignment id: a repeated assignment is the same work."""

    def dispatch(self, assignment: Assignment) -> None:
        """Have the work done; the report comes through the callback given at construction, once, on the event loop."""
        ...

    def stop(self, assignment_id: str) -> None:
        """Stop the work if it has not ended; no report follows."""
        ...

    def leave(self, assignment_id: str) -> None:
        """Another engine has the execution now: no report is to follow here. Work done elsewhere may go on for it; what
        is done here is stopped."""
        self.stop(assignment_id)

    def outlives(self, assignment_id: str) -> bool:
        """Whether the work goes on, or waits on, whatever becomes of this engine, and another can hear of its end."""
        return False

    async def close(self) -> None:
        """Stop all work; no reports follow. What `outlives` this engine goes on."""
        ...


class TaskContext(Protocol):
    """What a task may know about the attempt it serves, and what the worker does for it."""

    __slots__ = ()

    @property
    def assignment(self) -> Assignment: ...

    @property
    def execution(self) -> str:
        """The id of the execution."""
        return self.assignment.execution

    @property
    def workflow(self) -> str:
        """The name of the workflow."""
        return self.assignment.workflow

    @property
    def step(self) -> str:
        """The name of the step."""
        return self.assignment.step

    @property
    def attempt(self) -> int:
        """Which try this is; the first is 1."""
        return self.assignment.attempt

    @property
    def idempotency_key(self) -> str:
        """The same for every try and every delivery of this step; for the receiver to recognise a repetition."""
        return self.assignment.idempotency_key

    @property
    def traceparent(self) -> str | None:
        """The trace that the attempt is part of, for a header of that name; None when nothing is traced."""
        return None

    def sealed(self) -> Sequence[str]:
        """The texts that were opened for this attempt and came from secrets: not to be shown or stored."""
        ...

    def open(self, value: Any) -> Any:
        """`value` with every `Sealed`, `SecretRef` and `SecretText` in it opened, as was done with the configuration.

        What is opened is hidden in the result and in the error of this attempt.

        Raises:
            NotFound: (code `unknown-secret`) naming the secret.
        """
        ...

    def hide(self, text: str) -> str:
        """The text with everything in it that was opened for this attempt replaced by `***`: for logs and messages."""
        ...

    async def run_sync(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function that blocks, in a thread; when the attempt is stopped, so is the function."""
        ...


class TaskResult(msgspec.Struct, frozen=True, gc=False):
    """What a task returns: the raw result, and further names for the step's `output` mapping."""

    value: Any
    scope: dict[str, Any] | None = None


class TaskHandler(Protocol):
    """Does the work of one step type. Stateless between calls; called concurrently."""

    async def run(self, config: Any, context: TaskContext) -> TaskResult:
        """Do the work described by the opened configuration. Cancelled when it must stop.

        Raises:
            TaskError: it failed in a way the handler understands.
            Exception: anything else is recorded under its type's name, and retried unless it is a `ValueError`,
                `TypeError` or another sign of a wrong call.
        """
        ...

    async def close(self) -> None:
        """Give up what is held between calls (connections, ...); called once the worker does no more work."""
        return  # most handlers hold nothing


class TaskError(StepwellError):
    """A task failed. `type`, `message`, `details` and `retryable` are recorded as the step's error."""

    code = "task-failed"

    def __init__(
        self, type_: str, message: str, *, details: dict[str, Any] | None = None, retryable: bool = False
    ) -> None:
        super().__init__(message)
        self.type = type_
        self.details = details
        self.retryable = retryable


class Observer(Protocol):
    """Told what was committed, after the commit, on the event loop. Must be quick and must not raise."""

    def committed(self, execution: str, definition: WorkflowDefinition, events: Sequence[HistoryEvent]) -> None: ...


ReportCallback = Callable[[Report], None]


"""What a dispatcher calls, on the event loop, when an attempt has ended."""
