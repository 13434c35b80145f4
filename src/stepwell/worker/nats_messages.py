"""The messages between nodes and workers on NATS: JSON, with the keys that the calls over HTTP have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeVar

import msgspec

from stepwell.base.errors import Conflict, InvalidInput, NotFound, StepwellError, UsageError
from stepwell.base.instants import from_rfc3339, to_rfc3339
from stepwell.worker.queues import Beat, Handed

_T = TypeVar("_T")

MOVED: Final = "moved"
"""The code of a refusal by a node from which another one has taken the work over."""
_FINAL: Final = (Conflict, InvalidInput, NotFound, UsageError)
"""Errors that stay what they are; whatever else is wrong may pass."""


class Ticket(msgspec.Struct, frozen=True):
    """Says that a job waits: which one, and which node has it."""

    id: str
    node: str


class LineSaid(msgspec.Struct, frozen=True):
    """A line: its queue, and what it asks of workers. Also the metadata of the line's consumer."""

    queue: str
    labels: dict[str, str] = {}


class Hello(msgspec.Struct, frozen=True):
    """A worker is there. `free`: how many attempts more it could do now; None when it does not say."""

    worker: str
    queues: list[str]
    labels: dict[str, str] = {}
    free: int | None = None


class Ids(msgspec.Struct, frozen=True):
    """What `take`, `heartbeat` and `release` are asked with."""

    worker: str
    assignments: list[str]


class Done(msgspec.Struct, frozen=True):
    """What `complete` is asked with."""

    id: str
    result: Any = None
    scope: dict[str, Any] | None = None


class Failed(msgspec.Struct, frozen=True):
    """What `fail` is asked with."""

    id: str
    type: str
    message: str
    details: dict[str, Any] | None = None
    retryable: bool = False


class Stop(msgspec.Struct, frozen=True):
    """What a worker is told to stop, and by whom."""

    node: str
    stop: list[str]


class Refusal(msgspec.Struct, frozen=True):
    """Why something is refused. `again`: that may pass, so say it again later."""

    code: str
    message: str
    again: bool = False


class TakeAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a worker that takes is given. `again`: to be asked for again, as the answer grew too large."""

    assignments: Sequence[Any] = ()
    gone: Sequence[str] = ()
    not_yours: Sequence[str] = ()
    again: Sequence[str] = ()


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What all other calls are answered with: the node, the result of a heartbeat, or an error. `moved`: another node
    has these, so ask all of them."""

    node: str = ""
    kept: Sequence[str] = ()
    lost: Sequence[str] = ()
    moved: Sequence[str] = ()
    lease_expires_at: str | None = None
    error: Refusal | None = None


class Moved(Exception):
    """Another node has the work now."""


class Garbage(ValueError):
    """A message is not what is expected on its subject."""


def decoded(body: bytes, kind: type[_T]) -> _T:
    """The message.

    Raises:
        Garbage: it is none of that kind.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Garbage(f"expected {kind.__name__.lower()}: {error}") from None


def handed_document(handed: Handed) -> dict[str, Any]:
    """An assignment as workers read it."""
    return {**msgspec.to_builtins(handed), "lease_expires_at": to_rfc3339(handed.lease_expires_at)}


def read_handed(document: Any) -> Handed:
    """The assignment.

    Raises:
        Garbage: it is none.
    """
    try:
        instant = from_rfc3339(document["lease_expires_at"])
        return msgspec.convert({**document, "lease_expires_at": instant}, Handed, strict=False)
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
        raise Garbage(f"expected an assignment: {error}") from None


def beat_of(answer: Answer) -> Beat:
    """The answer to a sign of life."""
    until = from_rfc3339(answer.lease_expires_at) if answer.lease_expires_at else 0
    return Beat(kept=list(answer.kept), lost=list(answer.lost), lease_expires_at=until)


def refused(error: StepwellError) -> Answer:
    """The answer that says so."""
    return Answer(error=Refusal(error.code, error.message, again=not isinstance(error, _FINAL)))


def check(answer: Answer) -> None:
    """That it was not refused.

    Raises:
        Moved: another node is to be told. ConnectionError: it may not be the next time. StepwellError: it was.
    """
    error = answer.error
    if error is None:
        return
    if error.code == MOVED:
        raise Moved(error.message)
    if error.again:
        raise ConnectionError(error.message)
    kind = Conflict if error.code == "not-assigned" else StepwellError
    raise kind(error.message, code=error.code)
