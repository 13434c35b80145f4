"""Turning whatever a task raised into the error that is recorded."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Sequence
from typing import Any, Final

from stepwell.base.durations import format_duration
from stepwell.base.errors import ErrorInfo, StepwellError
from stepwell.base.sensitive import hide_by_name, hide_in_text
from stepwell.execution.work import Assignment
from stepwell.ports.work import TaskError
from stepwell.worker.masking import Mask
from stepwell.worker.results import normalised

LONGEST_MESSAGE: Final = 2_000
"""In characters; what a message has beyond that is cut off."""

WRONG_CALL: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,  # KeyError, IndexError
    NameError,
    NotImplementedError,  # raised by a task: what it calls is not there
    SyntaxError,
    TypeError,
    ValueError,  # also UnicodeError
)
"""Exceptions that say that the call, the data or the code is wrong: another try would end the same way.

Everything else may pass, and is retried where the definition asks for retries.
"""

_log = logging.getLogger("stepwell.worker")


def failure_of(error: BaseException, assignment: Assignment, texts: Sequence[str]) -> ErrorInfo:
    """The error to record for an exception, without any of the secret `texts`; its traceback goes to the debug log."""
    mask = Mask(texts) if texts else None
    _log_traceback(error, assignment, mask)
    if isinstance(error, TaskError):
        return ErrorInfo(error.type, _message(error, mask), _details(error.details, mask), error.retryable)
    if isinstance(error, StepwellError):
        return ErrorInfo(error.code.replace("-", "_"), _message(error, mask))
    return ErrorInfo(type(error).__name__, _message(error, mask), retryable=not isinstance(error, WRONG_CALL))


def timeout_of(assignment: Assignment) -> ErrorInfo:
    """The error of an attempt that took longer than it may."""
    bound = format_duration(assignment.timeout or 0)
    return ErrorInfo("timeout", f"step {assignment.step!r} timed out after {bound}", retryable=True)


def queue_timeout_of(assignment: Assignment, bound: int) -> ErrorInfo:
    """The error of an attempt that never began, because the worker was busy for `bound` microseconds."""
    waited = format_duration(bound)
    return ErrorInfo(
        "queue_timeout", f"step {assignment.step!r} waited {waited} for a free place on the worker and did not begin"
    )


def _message(error: BaseException, mask: Mask | None) -> str:
    """The exception's text: masked before it is cut, so that no half of a secret is left at the end."""
    try:
        text = str(error) or type(error).__name__
    except Exception:  # one that cannot be printed is still an exception
        text = type(error).__name__
    text = text.encode("utf-8", "replace").decode()
    if mask is not None:
        text = mask.hide(text)
    text = hide_in_text(text)
    return text if len(text) <= LONGEST_MESSAGE else text[: LONGEST_MESSAGE - 1] + "…"


def _details(details: dict[str, Any] | None, mask: Mask | None) -> dict[str, Any] | None:
    if details is None:
        return None
    try:
        plain: dict[str, Any] = normalised(details, "the details")
    except ValueError as error:
        plain = {"omitted": str(error)}
    plain = hide_by_name(plain)
    return plain if mask is None else mask.hide_all(plain)


def _log_traceback(error: BaseException, assignment: Assignment, mask: Mask | None) -> None:
    if not _log.isEnabledFor(logging.DEBUG):
        return
    text = "".join(traceback.format_exception(error))
    _log.debug("%s failed:\n%s", assignment.id, text if mask is None else mask.hide(text))
