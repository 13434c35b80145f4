"""Instances of steps as the witness sees them: by their keys, with what happened to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stepwell.execution.history import StepCancelled, StepCompleted, StepFailed, StepHeld, StepSkipped

Ended = StepCompleted | StepFailed | StepSkipped | StepCancelled


class Thing:
    """One run of a step: an instance, by its key.

    Attributes:
        name, path, visit: what its key is made of.
        owner: the instance that it is nested in, or None.
        end: how it ended, or None; order: as which event of the history.
        completed: it has completed, perhaps after it was stopped.
        reused: its result is that of another execution, from the cache.
        running: an attempt of it is at work.
        block: the block that runs, of a construct that has begun; last_block: the one in its latest try.
        rounds: the number of rounds begun.
        attempt: of a construct.
        held: what holds it back; locked, delayed: what it has waited for; begun: it has started once.
        failed_in: the regions of it in which something failed that it has to answer for.
    """

    def __init__(self, key: str) -> None:
        self.key = key
        self.name, self.path, self.visit = parts(key)
        self.owner: Thing | None = None
        self.end: Ended | None = None
        self.order = 0
        self.completed = self.reused = False
        self.running = False
        self.block: str | None = None
        self.last_block: str | None = None
        self.items: list[Any] | None = None
        self.rounds = 0
        self.attempt = 0
        self.held: StepHeld | None = None
        self.locked = self.delayed = self.begun = False
        self.failed_in: set[str] = set()

    def inner_paths(self) -> Iterator[str]:
        """The paths of the regions that it may have opened."""
        own = [self.path] if self.path else []
        numbered = [*own]
        if self.visit > 1:
            numbered.append(f"#{self.visit}")
        instead = ",".join([*numbered, "fallback"])
        if self.attempt > 1 or element_of(self.key)[:1] in ("#", "~"):
            numbered.append(f"~{self.attempt}")
        yield ",".join(numbered)
        if self.block == "fallback":
            yield instead
        if self.block == "make":
            yield ",".join([*numbered, "make"])
        for index in range(self.rounds):
            yield ",".join([*numbered, str(index)])


def parts(key: str) -> tuple[str, str, int]:
    """Name, path and visit in `name[path]#visit`."""
    bracket = key.rfind("]")
    front, hash_, number = key[bracket + 1 :].partition("#")
    name, _, path = (key[: bracket + 1] + front).partition("[")
    return name, path.rstrip("]"), int(number) if hash_ else 1


def key_with(key: str, element: str) -> str:
    """The key with one more element in its path."""
    name, path, visit = parts(key)
    inner = f"{name}[{path},{element}]" if path else f"{name}[{element}]"
    return inner if visit == 1 else f"{inner}#{visit}"


def element_of(key: str) -> str:
    """The last element of the path in a key."""
    return parts(key)[1].rpartition(",")[2]
