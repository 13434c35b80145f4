"""A scenario: everything that a simulation is made of, as data that follows from one number.

What tasks do is not listed: it follows from the number and the attempt's name (`behaviour`). So a part of a scenario
can be left out without changing what happens to the rest.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from random import Random
from typing import Any, Literal

import yaml

from stepwell.base.spans import Source
from stepwell.definition.loading import Loaded, load
from tests.simulation.agenda import SECOND
from tests.simulation.gen_basics import EVENTS
from tests.simulation.gen_workflow import gen_document
from tests.simulation.language import Tree

HALF = SECOND // 2
"""Instants lie on half seconds, so that much happens at the same one."""
SIGNALS, STARTS = 0.25, 0.15
"""How many of the events are signals, and how many start something."""


@dataclass(frozen=True, slots=True)
class Starting:
    """Somebody starts an execution of a document; twice with the same key when `again`."""

    at: int
    document: int
    input: Any
    key: str | None = None
    again: bool = False


@dataclass(frozen=True, slots=True)
class Publishing:
    """Somebody publishes an event: through the engine, or from another process.

    `to`: it is a signal, meant for the execution of that number alone. `starts`: what it starts, if it is no duplicate.
    """

    at: int
    type: str
    id: str
    n: int
    foreign: bool = False
    to: int | None = None
    starts: Starting | None = None


@dataclass(frozen=True, slots=True)
class Asking:
    """An operator asks for something to be done with the execution that was started as number so and so."""

    at: int
    execution: int
    verb: str
    choice: int = 0


FaultKind = Literal["lost", "kept", "cut", "restart", "refused"]


@dataclass(frozen=True, slots=True)
class Fault:
    """Something goes wrong.

    `lost`, `kept`: the power fails just before, just after commit number `at`. `refused`: the store refuses that
    commit. `cut`, `restart`: the power fails, or the engine is closed and opened again, at the instant `at`.
    """

    kind: FaultKind
    at: int


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is simulated. Instants count from the beginning, in microseconds.

    Attributes:
        children: workflows that steps of the documents run.
        yaml: the documents are written as YAML, else as JSON.
        disk: how long commits take; one is chosen for each.
        away: how long it takes until another engine is there after a power cut.
        calm: steps whose tasks succeed at once.
        unruly: workers report twice, too late, and although they were stopped.
    """

    seed: int
    documents: tuple[Tree, ...]
    children: tuple[Tree, ...] = ()
    yaml: bool = False
    starts: tuple[Starting, ...] = ()
    events: tuple[Publishing, ...] = ()
    verbs: tuple[Asking, ...] = ()
    faults: tuple[Fault, ...] = ()
    max_workflows: int | None = None
    queue_timeout: int | None = None
    default_timeout: int | None = None
    disk: tuple[int, ...] = (0,)
    away: int = 0
    calm: frozenset[str] = frozenset()
    unruly: bool = False
    used: Counter[str] = field(default_factory=Counter, compare=False)

    def sources(self) -> list[Source]:
        """The texts of all documents, the children behind the others."""
        return [self._source(tree) for tree in (*self.documents, *self.children)]

    def _source(self, tree: Tree) -> Source:
        return Source(f"{tree['metadata']['name']}.yaml", yaml_text(tree)) if self.yaml else json_source(tree)


def yaml_text(tree: Tree) -> str:
    """A document as YAML."""
    return yaml.dump(tree, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False, width=120)


def scenario(seed: int, language: Collection[str], verbs: Collection[str]) -> Scenario:
    """The scenario of a seed.

    Args:
        language: the parts that definitions may use.
        verbs: what operators may ask for.
    """
    random = Random(seed)
    used: Counter[str] = Counter()
    children = _children(random, language, used) if "workflow" in language else ()
    names = [tree["metadata"]["name"] for tree in children]
    documents = []
    for number in range(random.choice((1, 1, 2))):
        tree, parts = _document(random, language, f"main{number}", names)
        documents.append(tree)
        used += parts
    starts = tuple(_start(random, len(documents)) for _ in range(random.choice((1, 1, 2, 3, 4))))
    return Scenario(
        seed=seed,
        documents=tuple(documents),
        children=children,
        yaml=random.random() < 0.1,
        starts=starts,
        events=tuple(_event(random, number, len(documents)) for number in range(random.choice((0, 2, 5, 9)))),
        verbs=tuple(
            _verb(random, len(starts), sorted(verbs)) for _ in range(random.choice((0, 0, 1, 2, 8)) if verbs else 0)
        ),
        faults=_faults(random),
        max_workflows=random.choice((None, None, 1, 2)),
        queue_timeout=random.choice((None, None, 3 * SECOND)),
        default_timeout=random.choice((None, None, None, 8 * SECOND)),
        disk=random.choice(((0,), (0,), (0, HALF), (0, 0, HALF, 2 * SECOND))),
        away=random.choice((0, 0, SECOND, 6 * SECOND)),
        unruly=random.random() < 0.4,
        used=used,
    )


def _document(
    random: Random, language: Collection[str], name: str, children: Sequence[str]
) -> tuple[Tree, Counter[str]]:
    """A valid document: what validation finds out about joins that can never be met is not known when it is written."""
    while True:
        tree, parts = gen_document(random, language, name, children)
        if loaded(json_source(tree)).definition is not None:
            return tree, parts


def json_source(tree: Tree) -> Source:
    """A document as JSON text."""
    return Source(f"{tree['metadata']['name']}.json", json.dumps(tree))


@lru_cache(maxsize=32)
def loaded(source: Source) -> Loaded:
    """What comes of a text; remembered, for it is asked for when it is made and when it is simulated."""
    return load(source)


def _children(random: Random, language: Collection[str], used: Counter[str]) -> tuple[Tree, ...]:
    """Workflows for steps to run: the second one may run the first."""
    children: list[Tree] = []
    for number in range(random.choice((0, 1, 2))):
        names = [tree["metadata"]["name"] for tree in children]
        tree, parts = _document(random, language, f"child{number}", names)
        children.append(tree)
        used.update(parts)
    return tuple(children)


def _instant(random: Random, most: int) -> int:
    return random.randint(0, 2 * most) * HALF


def _start(random: Random, documents: int) -> Starting:
    given: dict[str, Any] = {"flag": random.random() < 0.6}
    if random.random() < 0.5:
        given["size"] = random.randint(0, 4)
    key = f"key{random.randint(0, 5)}" if random.random() < 0.3 else None
    return Starting(_instant(random, 3), random.randrange(documents), given, key, again=random.random() < 0.5)


def _event(random: Random, number: int, documents: int) -> Publishing:
    name = random.choice((f"e{number}", f"e{number}", f"e{number // 2}"))  # now and then one that was there already
    event = Publishing(
        _instant(random, 12), random.choice(EVENTS), name, random.randint(0, 3), foreign=random.random() < 0.4
    )
    what = random.random()
    if what < SIGNALS:
        return replace(event, to=random.randrange(4))
    if what < SIGNALS + STARTS:
        start = _start(random, documents)
        return replace(event, starts=replace(start, key=start.key or f"asked {number}"))
    return event


def _verb(random: Random, executions: int, verbs: list[str]) -> Asking:
    verb = "pause" if random.random() < 0.25 else random.choice(verbs)
    return Asking(_instant(random, random.choice((5, 12))), random.randrange(executions), verb, random.randint(0, 99))


def _faults(random: Random) -> tuple[Fault, ...]:
    faults = []
    for _ in range(random.choice((0, 0, 1, 2, 4))):
        kind: FaultKind = random.choice(("lost", "kept", "kept", "cut", "restart", "refused"))
        at = _instant(random, 12) if kind in ("cut", "restart") else random.randint(0, 25)
        faults.append(Fault(kind, at))
    return tuple(faults)
