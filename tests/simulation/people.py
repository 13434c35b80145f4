"""What operators do: verbs on executions, at any moment, whether they make sense there or not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from random import Random
from typing import Final

from stepwell.decider.verbs_legal import LEGAL
from stepwell.engine.engine import Engine
from stepwell.execution.state import ExecutionState
from stepwell.execution.status import StepStatus
from stepwell.execution.verbs import (
    Cancel,
    Compensate,
    CompleteStep,
    Pause,
    Rerun,
    Resume,
    Retry,
    Rollback,
    SkipStep,
    Terminate,
    Verb,
)

WHO: Final = "ann"
CHECKPOINTS: Final = ("here", "there")


def _retry(state: ExecutionState, random: Random) -> Verb:
    failed = [key for key, step in state.steps.items() if step.status is StepStatus.FAILED]
    if not failed or random.random() < 0.5:
        return Retry(by=WHO, reason="once more")
    settings = {"args": {"x": "edited"}} if random.random() < 0.3 else None
    return Retry(by=WHO, steps=(random.choice(failed),), settings=settings)


def _rerun(state: ExecutionState, random: Random) -> Verb:
    settings = {"args": {"x": "other"}} if random.random() < 0.3 else None
    return Rerun(by=WHO, step=_step(state, random), settings=settings, keep_items=random.random() < 0.3)


def _step(state: ExecutionState, random: Random) -> str:
    """A step that something has happened to; now and then one that is not there."""
    return random.choice([*state.steps, "nobody"])


def _cancel(state: ExecutionState, random: Random) -> Verb:
    return Cancel(by=WHO, stop=random.choice((None, True, False)), compensate=random.choice((None, True, False)))


def _skip_step(state: ExecutionState, random: Random) -> Verb:
    return SkipStep(by=WHO, step=_step(state, random), force=random.random() < 0.5)


def _complete_step(state: ExecutionState, random: Random) -> Verb:
    return CompleteStep(by=WHO, step=_step(state, random), output={"n": 2}, force=random.random() < 0.5)


VERBS: Final[Mapping[str, Callable[[ExecutionState, Random], Verb]]] = {
    "pause": lambda state, random: Pause(by=WHO, reason="to look"),
    "resume": lambda state, random: Resume(by=WHO),
    "cancel": _cancel,
    "terminate": lambda state, random: Terminate(by=WHO, reason="enough"),
    "retry": _retry,
    "rerun": _rerun,
    "rollback": lambda state, random: Rollback(by=WHO, checkpoint=random.choice(CHECKPOINTS)),
    "skip-step": _skip_step,
    "complete-step": _complete_step,
    "compensate": lambda state, random: Compensate(by=WHO),
}
"""What is asked for, by the name of the verb, from what an operator sees of the execution."""

FORK: Final = "fork"
MIGRATE: Final = "migrate"


SENSE: Final = 0.8
"""How often an operator asks for something else when he sees that what he wanted makes no sense."""


def sensible(verb: str, state: ExecutionState, random: Random) -> str:
    """The verb, or more often one that makes sense in the status that is seen."""
    legal = [name for name in LEGAL[state.status] if name in known_verbs()]
    return random.choice(legal) if verb not in legal and legal and random.random() < SENSE else verb


@lru_cache(maxsize=1)
def known_verbs() -> Collection[str]:
    """The verbs that the engine has."""
    return (*VERBS, FORK, MIGRATE) if hasattr(Engine, "operate") else ()
