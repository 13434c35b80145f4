"""What a Dask worker does: call the function, and give back a result or an error as plain data."""

from __future__ import annotations

import asyncio
import inspect
import pickle
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from stepwell.base.errors import ErrorInfo
from stepwell.execution.work import Assignment
from stepwell.ports.work import TaskContext, TaskError
from stepwell.worker.failures import failure_of
from stepwell.worker.masking import Mask
from stepwell.worker.results import normalised


class Call(NamedTuple):
    """A function, and what it is called with."""

    function: Callable[..., Any]
    positional: Sequence[Any]
    named: dict[str, Any]


class Outcome(NamedTuple):
    """How a call has ended: the result as a JSON value, or what went wrong."""

    result: Any = None
    error: ErrorInfo | None = None


class ShippedContext(TaskContext):
    """What a task on a Dask worker may know of its attempt.

    Args:
        texts: what is to be hidden.
    """

    __slots__ = ("_assignment", "_texts", "_traceparent")

    def __init__(self, assignment: Assignment, texts: Sequence[str], traceparent: str | None) -> None:
        self._assignment = msgspec.structs.replace(assignment, config=None)
        self._texts = tuple(texts)
        self._traceparent = traceparent

    @property
    def assignment(self) -> Assignment:
        return self._assignment

    @property
    def traceparent(self) -> str | None:
        return self._traceparent

    def sealed(self) -> Sequence[str]:
        return self._texts

    def open(self, value: Any) -> Any:
        """Everything was opened before the call was sent: there is nothing else to open here."""
        return value

    def hide(self, text: str) -> str:
        return Mask(self._texts).hide(text)

    async def run_sync(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await asyncio.to_thread(function, *args, **kwargs)


def carry_out(pickled: bytes, assignment: Assignment, texts: Sequence[str]) -> Outcome:
    """Call what is pickled, a `Call`, in a thread of a Dask worker.

    Args:
        assignment: without its configuration, for messages.
        texts: what is not to be shown in them.
    """
    try:
        try:
            call: Call = pickle.loads(pickled)  # noqa: S301 - from the engine that this cluster serves
        except (ImportError, AttributeError) as error:
            message = f"the Dask worker does not have the task: {error}; install its module there"
            raise TaskError("unknown_task", message) from None
        result = call.function(*call.positional, **call.named)
        if inspect.isawaitable(result):
            result = asyncio.run(_awaited(result))
        try:
            return Outcome(normalised(result))
        except ValueError as error:
            raise TaskError("invalid_result", f"{error}") from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # also of one that calls sys.exit: the Dask worker, and its other work, go on
        return Outcome(error=failure_of(error, assignment, texts))


async def _awaited(result: Any) -> Any:
    return await result
