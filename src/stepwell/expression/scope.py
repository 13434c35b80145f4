"""What an expression can see: names and their values, and the ambient values that functions such as `now()` read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from stepwell.base.derive import derived_bytes
from stepwell.expression.errors import ExpressionError
from stepwell.expression.limits import MAX_WORK


class Lookup:
    """A record whose fields are found when they are asked for, such as `steps` and `steps.NAME`.

    Subclasses define `__getitem__` and `names`, and `as_data` when the record as a whole is a value too.
    """

    __slots__ = ()

    def __getitem__(self, name: str) -> Any:
        """The field `name`: a JSON value or another `Lookup`.

        Raises:
            KeyError: there is no such field.
            UnavailableOutput: there is, but it has no value because a step never completed.
        """
        raise KeyError(name)

    def names(self) -> Iterable[str]:
        """The fields that exist, for hints."""
        return ()

    def as_data(self) -> Any:
        """The record as a JSON value, for an expression that stands for all of it.

        Raises:
            ExpressionError: the record is not a value; one of its fields must be named.
        """
        raise ExpressionError("this is a record, not a value", code="wrong-type", hint="name one of its fields")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a step ended, for `succeeded() failed() timed_out() skipped() result()`."""

    succeeded: bool = False
    failed: bool = False
    timed_out: bool = False
    skipped: bool = False
    result: Any = None


class Scope:
    """The names that a rendering sees. Cheap to make; belongs to one thread, since it counts what the rendering does.

    Args:
        roots: the values of the root names, by canonical name (see `Grammar.aliases`): JSON values or `Lookup`.
        now: the instant that `now()` tells, in microseconds.
        seed: what `uuid()`, `random()` and `hash()` are derived from, together with `identity`.
        identity: sets this rendering apart from all others with the same seed, such as the step, what of it is rendered
            and the attempt. The same seed and identity give the same values again, on replay or on another machine.
        outcome: what the outcome functions read, where they may be used.
    """

    __slots__ = ("draws", "identity", "now", "outcome", "roots", "seed", "work")

    draws: int
    work: int

    def __init__(
        self,
        roots: Mapping[str, Any],
        now: int = 0,
        seed: bytes = b"",
        identity: tuple[str | int, ...] = (),
        outcome: Outcome | None = None,
    ) -> None:
        self.roots = roots
        self.now = now
        self.seed = seed
        self.identity = identity
        self.outcome = outcome

    def charge(self, amount: int) -> None:
        """Count `amount` units of work against this rendering.

        Raises:
            ExpressionError: the rendering costs too much.
        """
        self.work += amount
        if self.work > MAX_WORK:
            raise ExpressionError(
                "evaluating reads or builds too much",
                code="limit-exceeded",
                hint="work on less data at once, or do it in a step",
            )

    def draw(self, what: str, size: int) -> bytes:
        """The next `size` derived bytes: different at each call, and the same again when the rendering is repeated."""
        self.draws += 1
        return derived_bytes(self.seed, *self.identity, what, self.draws, size=size)
