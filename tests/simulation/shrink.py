"""Making a failing scenario smaller, as long as it fails in the same way."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from stepwell.definition.diagnostics import InvalidDefinition
from tests.simulation.language import Tree
from tests.simulation.scenario import Publishing, Scenario, Starting
from tests.simulation.trial import try_scenario

EDGE_KEYS = ("next", "on_success", "on_failure", "on_timeout", "on_complete", "cancels")
PATIENCE = 40.0
"""Seconds after which the smallest scenario so far has to do."""


def shrink(failing: Scenario, invariant: str, patience: float = PATIENCE) -> Scenario:
    """The smallest scenario found in which the same invariant does not hold."""
    until = time.monotonic() + patience
    smallest, improved = failing, True
    while improved and time.monotonic() < until:
        improved = False
        for candidates in (_fewer_happenings, _plainer_worlds, _smaller_documents, _calmer_steps):
            smaller = _smallest_of(smallest, candidates, invariant, until)
            improved |= smaller is not smallest
            smallest = smaller
    return smallest


def _smallest_of(
    scenario: Scenario, candidates: Callable[[Scenario], Iterator[Scenario]], invariant: str, until: float
) -> Scenario:
    """Take one candidate after the other, as long as one of them fails too."""
    improved = True
    while improved and time.monotonic() < until:
        improved = False
        for candidate in candidates(scenario):
            if time.monotonic() > until:
                break
            if fails(candidate, invariant):
                scenario, improved = candidate, True
                break
    return scenario


def fails(scenario: Scenario, invariant: str) -> bool:
    """Whether the scenario is one, and violates this invariant."""
    try:
        outcome = try_scenario(scenario, thorough=True)
    except (InvalidDefinition, AssertionError, KeyError, IndexError):
        return False  # what is left is no scenario
    return outcome.violation is not None and outcome.violation.invariant == invariant


# ── Candidates ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _fewer_happenings(scenario: Scenario) -> Iterator[Scenario]:
    for name in ("faults", "verbs", "events", "starts"):
        entries: tuple[Any, ...] = getattr(scenario, name)
        if len(entries) > 3:
            yield _with(scenario, name, entries[: len(entries) // 2])
            yield _with(scenario, name, entries[len(entries) // 2 :])
        for position in range(len(entries) if name != "starts" or len(entries) > 1 else 0):
            yield _with(scenario, name, (*entries[:position], *entries[position + 1 :]))
    yield from _without_document(scenario)


def _with(scenario: Scenario, name: str, value: Any) -> Scenario:
    changes: dict[str, Any] = {name: value}
    return replace(scenario, **changes)


def _without_document(scenario: Scenario) -> Iterator[Scenario]:
    for number in range(len(scenario.documents)):
        asked = (event.starts for event in scenario.events if event.starts is not None)
        if any(start.document == number for start in (*scenario.starts, *asked)):
            continue
        starts = tuple(_with_less_documents(start, number) for start in scenario.starts)
        events = tuple(
            replace(event, starts=_with_less_documents(event.starts, number)) if event.starts is not None else event
            for event in scenario.events
        )
        documents = (*scenario.documents[:number], *scenario.documents[number + 1 :])
        yield replace(scenario, documents=documents, starts=starts, events=events)


def _with_less_documents(start: Starting, number: int) -> Starting:
    """The start, when the document of that number is left out."""
    return replace(start, document=start.document - (start.document > number))


def _plainer_worlds(scenario: Scenario) -> Iterator[Scenario]:
    plain: dict[str, Any] = {
        "disk": (0,), "away": 0, "unruly": False, "yaml": False, "max_workflows": None, "queue_timeout": None,
        "default_timeout": None,
    }  # fmt: skip
    for name, value in plain.items():
        if getattr(scenario, name) != value:
            yield _with(scenario, name, value)
    for position, start in enumerate(scenario.starts):
        for plainer in (replace(start, again=False), replace(start, key=None, again=False), replace(start, at=0)):
            if plainer != start:
                starts = (*scenario.starts[:position], plainer, *scenario.starts[position + 1 :])
                yield replace(scenario, starts=starts)
    for position, event in enumerate(scenario.events):
        for plain_event in (replace(event, to=None), replace(event, starts=None), replace(event, foreign=False)):
            if plain_event != event:
                yield replace(scenario, events=_exchanged(scenario.events, position, plain_event))


def _exchanged(events: tuple[Publishing, ...], position: int, event: Publishing) -> tuple[Publishing, ...]:
    return (*events[:position], event, *events[position + 1 :])


def _calmer_steps(scenario: Scenario) -> Iterator[Scenario]:
    for tree in (*scenario.documents, *scenario.children):
        for steps in _step_lists(tree):
            for step in steps:
                if step["name"] not in scenario.calm:
                    yield replace(scenario, calm=scenario.calm | {step["name"]})


def _smaller_documents(scenario: Scenario) -> Iterator[Scenario]:
    for field in ("documents", "children"):
        trees = getattr(scenario, field)
        for number, tree in enumerate(trees):
            for smaller in smaller_trees(tree):
                yield _with(scenario, field, (*trees[:number], smaller, *trees[number + 1 :]))


def smaller_trees(tree: Tree) -> Iterator[Tree]:
    """The document without one of its steps, or without one of its keys."""
    lists = sum(1 for _ in _step_lists(tree))
    for number in range(lists):
        length = len(_nth_list(tree, number))
        for position in reversed(range(length)):
            if length > 1 or number:
                smaller = copy.deepcopy(tree)
                steps = _nth_list(smaller, number)
                gone = set(_names_in(steps.pop(position)))
                _forget(smaller, gone)
                yield smaller
    yield from _without_keys(tree)


def _without_keys(tree: Tree) -> Iterator[Tree]:
    for path in list(_optional_paths(tree["spec"], ())):
        smaller = copy.deepcopy(tree)
        holder = smaller["spec"]
        for part in path[:-1]:
            holder = holder[part]
        del holder[path[-1]]
        yield smaller


def _optional_paths(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """Where there are keys that could be left out, outer ones first; steps are looked into, not left out."""
    if isinstance(value, dict):
        for key in value:
            if key not in ("name", "type", "steps", "task", "max_iterations"):
                yield (*path, key)
        for key, inner in value.items():
            yield from _optional_paths(inner, (*path, key))
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            if not (isinstance(inner, dict) and "name" in inner):
                yield (*path, position)
            yield from _optional_paths(inner, (*path, position))


def _step_lists(value: Any) -> Iterator[list[Tree]]:
    """Every list of steps, nested ones too."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from _step_lists(inner)
    elif isinstance(value, list):
        if value and all(isinstance(one, dict) and "name" in one and "type" in one for one in value):
            yield value
        for inner in value:
            yield from _step_lists(inner)


def _nth_list(tree: Tree, number: int) -> list[Tree]:
    return next(steps for position, steps in enumerate(_step_lists(tree)) if position == number)


def _names_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict) and "name" in value and "type" in value:
        yield value["name"]
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _names_in(inner)


def _forget(tree: Tree, gone: set[str]) -> None:
    """Take every edge out that leads to or from these steps."""
    for steps in _step_lists(tree):
        for step in steps:
            for key in EDGE_KEYS:
                if isinstance(step.get(key), list):
                    _set(step, key, [kept for edge in step[key] if (kept := _edge_without(edge, gone))])
            depends = step.get("depends_on", [])
            _set(step, "depends_on", [one for one in depends if _source(one) not in gone])
            branches = step.get("decision", [])
            _set(step, "decision", [one for one in branches if one.get("next", one.get("default")) not in gone])
            for end in step.get("milestone", {}).values():
                end[:] = [name for name in end if name not in gone]
            if isinstance(step.get("join"), int):
                step["join"] = "any"


def _edge_without(edge: Any, gone: set[str]) -> Any:
    if isinstance(edge, str):
        return None if edge in gone else edge
    to = [name for name in edge.get("to", ()) if name not in gone]
    return {**edge, "to": to} if to else None


def _source(dependency: Any) -> str:
    return dependency if isinstance(dependency, str) else str(dependency["step"])


def _set(step: Tree, key: str, value: list[Any]) -> None:
    if value:
        step[key] = value
    else:
        step.pop(key, None)
