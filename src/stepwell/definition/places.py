"""Where in a workflow an expression stands, and which names it sees there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from stepwell.definition.model import Path
from stepwell.expression.compiled import Reference


@dataclass(frozen=True, slots=True)
class Place:
    """A kind of place.

    Attributes:
        what: for messages: "in ...".
        roots: the root names known there, by their canonical names.
        outcome: succeeded() failed() timed_out() skipped() result() can be called.
        after: it is evaluated when the step that it belongs to has ended (or one of its tries).
        any_step: every step may be read, whatever has run before; whether it ran is part of what is asked.
    """

    what: str
    roots: frozenset[str]
    outcome: bool = False
    after: bool = False
    any_step: bool = False


_VALUES = frozenset({"input", "vars", "steps", "execution"})
_TEMPLATE = _VALUES | {"secrets"}

VARS = Place("the first value of a variable", frozenset({"input", "vars", "execution", "secrets"}))
TRIGGER = Place("a trigger", frozenset({"event"}))
CONCURRENCY_KEY = Place("a concurrency key", frozenset({"input", "execution"}))
WHEN = Place("a condition of a step", _VALUES)
CONFIG = Place("the settings of a step", _TEMPLATE)
RATE_KEY = Place("the key of a rate limit", _VALUES)
ITEMS = Place("the items of a loop", _TEMPLATE)
ITEM_WHEN = Place("a condition of an item", _VALUES)
LOOP_WHEN = Place("a condition of a loop", _VALUES, any_step=True)
EVENT_WHEN = Place("a condition over an event", _VALUES | {"event"})
OUTPUT = Place(
    "the output of a step", _TEMPLATE | {"response", "response_status", "response_headers", "event"}, after=True
)
PUBLISH = Place("a published variable", _TEMPLATE | {"response"}, after=True)
EDGE_WHEN = Place("a condition of an edge", _VALUES | {"response", "error"}, outcome=True, after=True)
EDGE_PUBLISH = Place("a variable of an edge", _TEMPLATE | {"response", "error"}, outcome=True, after=True)
RETRY_WHEN = Place(
    "the condition of a retry",
    _VALUES | {"response", "response_status", "response_headers", "error", "attempt"},
    outcome=True,
    after=True,
)
REPEAT_WHEN = Place("the condition of a repetition", _VALUES | {"response"}, outcome=True, after=True)
FAILURE = Place("what happens after a failure", _TEMPLATE | {"error", "attempt"}, outcome=True, after=True)
UNDO_WHEN = Place("a condition of a compensation step", _VALUES | {"error"}, any_step=True)
UNDO = Place("a compensation step", _TEMPLATE | {"error"}, any_step=True)
WORKFLOW_OUTPUT = Place("the output of the workflow", _VALUES, any_step=True)

ROOTS = frozenset().union(
    *(place.roots for place in (OUTPUT, RETRY_WHEN, FAILURE, TRIGGER)), {"item", "index"}
)  # fmt: skip
"""Every root name that is known anywhere, names of items aside."""


class Use(msgspec.Struct, frozen=True, gc=False):
    """What the expressions of one value read, and where the value stands.

    Attributes:
        references: the names they read.
        value: as it was written.
        step: the name of the step it belongs to, or None.
        names: names known there beside those of the place, such as `item`.
    """

    references: tuple[Reference, ...]
    value: Any
    path: Path
    place: Place
    step: str | None = None
    names: frozenset[str] = frozenset()
