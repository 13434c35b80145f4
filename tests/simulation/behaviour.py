"""What tasks do: how long they take, what they give, and how they fail.

Every step has a character that it keeps in all executions of a scenario; what an attempt does is drawn from that.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from stepwell.base.errors import ErrorInfo
from stepwell.execution.work import Assignment
from tests.simulation.agenda import SECOND, Agenda

BOOM: Final = ErrorInfo("boom", "it went boom")
FLAKY: Final = ErrorInfo("connection_error", "nobody answers", retryable=True)
TIMEOUT: Final = ErrorInfo("timeout", "it took too long", retryable=True)
HANGING: Final = 60 * SECOND
"""How long a task takes that hangs."""

RESULTS: Final[tuple[Any, ...]] = ({"n": 1}, {"n": 3}, {"n": 5, "list": [1]}, None, "text", [1, 2], 4, {})


class Behaviour(NamedTuple):
    """What an attempt does.

    Attributes:
        duration: how long it takes, in microseconds.
        again: how much later the same is reported once more, or None.
        deaf: it reports although it was stopped.
    """

    duration: int
    result: Any = None
    error: ErrorInfo | None = None
    again: int | None = None
    deaf: bool = False


class Character(NamedTuple):
    """What a step is like: how often its attempts fail, with what, and how slow they are."""

    failing: float
    errors: tuple[ErrorInfo, ...]
    durations: tuple[int, ...]


_QUICK = (0, 0, 0, SECOND // 2, SECOND)
_SLOW = (SECOND, 2 * SECOND, 4 * SECOND)
CHARACTERS: Final = (
    *[Character(0.0, (BOOM,), _QUICK)] * 10,
    *[Character(0.08, (BOOM, FLAKY), _QUICK)] * 4,
    Character(0.5, (FLAKY, FLAKY, TIMEOUT), _QUICK),
    Character(0.7, (BOOM, FLAKY), _QUICK),
    Character(1.0, (BOOM,), _QUICK),
    Character(0.1, (FLAKY,), _SLOW),
    Character(0.2, (FLAKY, TIMEOUT), (*_QUICK, HANGING)),
)


def behave(agenda: Agenda, assignment: Assignment, who: int, *, unruly: bool) -> Behaviour:
    """What this attempt does.

    Args:
        who: the number of its execution in the store, for its id is different in every scenario.
    """
    character = agenda.random(f"character {assignment.step.split('[')[0].split('#')[0]}").choice(CHARACTERS)
    random = agenda.random(f"attempt {who} {assignment.step} {assignment.attempt}")
    error = random.choice(character.errors) if random.random() < character.failing else None
    duration = random.choice(character.durations)
    again, deaf = None, False
    if unruly:
        again = random.choice((None, None, 0, SECOND, 5 * SECOND))
        deaf = random.random() < 0.5
    if isinstance(assignment.config, dict) and assignment.config.get("task") == "list":
        return Behaviour(duration, None if error else _made_steps(assignment), error, again, deaf)
    timeout = assignment.timeout
    if timeout is not None and duration >= timeout:
        return Behaviour(timeout, None, TIMEOUT, again, deaf)
    return Behaviour(duration, None if error else random.choice(RESULTS), error, again, deaf)


def _made_steps(assignment: Assignment) -> list[Any]:
    """What a task gives that makes steps: two, one behind the other, with names of their own."""
    name = "t" + "".join(letter if letter.isalnum() else "_" for letter in assignment.step)
    first = {"name": f"{name}a", "type": "python", "config": {"task": "work"}}
    return [first, {"name": f"{name}b", "type": "noop", "depends_on": [f"{name}a"]}]
