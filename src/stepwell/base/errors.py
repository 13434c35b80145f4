"""The errors of stepwell: one base class, a code for each, and a message that says what to do.

Two things are called errors here and are kept apart:

* `StepwellError` and its subclasses are raised to the caller of stepwell (a wrong file, an unreachable store).
* `ErrorInfo` is a value: what went wrong inside an execution. It is recorded in history and shown to users.
"""

from __future__ import annotations

from typing import Any

import msgspec


class StepwellError(Exception):
    """Base class of everything stepwell raises on purpose.

    Attributes:
        code: a stable, kebab-case name of the kind of error, listed in `docs/reference/errors.md`.
        message: what was seen and what was expected, without the hint.
        hint: what to do about it, or None.
        exit_status: what the command line exits with (interfaces: 1 failed, 2 usage or invalid, 3 timed out, 4 store).
    """

    code = "internal-error"
    exit_status = 1

    def __init__(self, message: str, *, code: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UsageError(StepwellError):
    """The call itself is wrong: a flag, an argument, a combination of them."""

    code = "usage"
    exit_status = 2


class ConfigurationError(StepwellError):
    """A configuration file, environment variable or engine option is wrong."""

    code = "invalid-configuration"
    exit_status = 2


class InvalidInput(StepwellError):
    """The input of a workflow does not satisfy its schema; `problems` holds (path, message) pairs, all of them."""

    code = "invalid-input"
    exit_status = 2

    def __init__(self, message: str, *, problems: tuple[tuple[str, str], ...] = (), hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.problems = problems


class NotFound(StepwellError):
    """Nothing is stored under the given id or name."""

    code = "not-found"
    exit_status = 2


class Conflict(StepwellError):
    """The request contradicts what is already stored."""

    code = "conflict"
    exit_status = 2


class StoreError(StepwellError):
    """The store cannot be opened, read or written; nothing of the failed request was written."""

    code = "store-unavailable"
    exit_status = 4


class FenceLost(StoreError):
    """Another node took shards over: this node must not write there again. `shards` names them."""

    code = "fence-lost"

    def __init__(self, message: str, *, shards: tuple[int, ...] = (), hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.shards = shards


class InvalidTransition(StepwellError):
    """History and state disagree: the event is not legal in the current status. A defect, never a user's mistake."""

    code = "invalid-transition"


class ErrorInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong in a step or an execution.

    Attributes:
        type: a stable name: `timeout`, `http_error`, `connection_error`, `validation_error`, `expression_error`,
            `invalid_config`, `invalid_inquiry`, `invalid_result`, `circuit_open`, `bulkhead_full`, `bulkhead_timeout`;
            of an execution also `queue_timeout`, `join_unsatisfiable`, `stuck`, `invalid_output`, `step_failed`; or a
            task's own exception type such as `ValueError`.
        message: one sentence for a person, without secrets.
        details: more, for machines (status code, body excerpt, path); JSON values only.
        retryable: whether another try could help. A retry policy's `when` may overrule it.
    """

    type: str
    message: str
    details: dict[str, Any] | None = None
    retryable: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The error as expressions and users see it: `{type, message, details, retryable}`."""
        return {
            "type": self.type,
            "message": self.message,
            "details": self.details if self.details is not None else {},
            "retryable": self.retryable,
        }
