"""What is at hand while a random definition is written: random choices, names, and how much may still be written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Scope:
    """Where something is written.

    Attributes:
        seen: the steps that may have run by then; expressions read them.
        items: names of items in sight.
        depth: how many constructs it is nested in.
        undoing: it is a part of the compensation.
    """

    seen: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    depth: int = 0
    undoing: bool = False

    def inner(self, *items: str) -> Scope:
        """Inside of a construct that brings these item names."""
        return replace(self, items=(*self.items, *items), depth=self.depth + 1)

    def after(self, name: str) -> Scope:
        """Behind a step."""
        return replace(self, seen=(*self.seen, name))


@dataclass(slots=True)
class Draft:
    """A definition in the making.

    Attributes:
        random: the source of every choice.
        language: the parts of the language that may be used.
        budget: how many more steps may be written.
        children: names of workflows that steps may run.
        used: the parts used, with how often.
        names: the steps written so far.
        leaning: what there is more of than usual, so that rare things happen: `joins` of so many edges, `text` in
            variables that are used as numbers; or empty.
    """

    random: Random
    language: Collection[str]
    budget: int
    children: Sequence[str] = ()
    used: Counter[str] = field(default_factory=Counter)
    names: list[str] = field(default_factory=list)
    leaning: str = ""

    def can(self, part: str) -> bool:
        """Whether the part may be used."""
        return part in self.language

    def use(self, part: str, chance: float) -> bool:
        """Whether the part is used here: with that chance, when it may be."""
        if not self.can(part) or self.random.random() >= chance:
            return False
        self.used[part] += 1
        return True

    def chance(self, chance: float) -> bool:
        """True that often."""
        return self.random.random() < chance

    def pick(self, choices: Sequence[T]) -> T:
        """One of them."""
        return choices[int(self.random.random() * len(choices))]

    def some(self, choices: Sequence[T], most: int) -> list[T]:
        """Up to `most` different ones, in their order."""
        count = min(most, len(choices))
        chosen = set(self.random.sample(range(len(choices)), self.random.randint(0, count)))
        return [choice for position, choice in enumerate(choices) if position in chosen]

    def count(self, least: int, most: int) -> int:
        """A number between two, both included."""
        return self.random.randint(least, most)

    def seconds(self, *choices: float) -> str:
        """One of these durations."""
        return f"{int(self.pick(choices) * 1_000)}ms"

    def name(self) -> str:
        """A name for the next step."""
        name = f"s{len(self.names)}"
        self.names.append(name)
        return name

    def weighted(self, table: Sequence[tuple[int, str, Callable[..., Any]]]) -> tuple[str, Callable[..., Any]]:
        """One entry of (weight, part, function), among those whose part may be used; an empty part always may."""
        allowed = [entry for entry in table if not entry[1] or self.can(entry[1])]
        weights = [weight for weight, _, _ in allowed]
        _, part, function = self.random.choices(allowed, weights)[0]
        self.used[part or function.__name__.removeprefix("gen_")] += 1
        return part, function
