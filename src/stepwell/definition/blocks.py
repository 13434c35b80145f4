"""The steps nested in the settings of a control construct, and its conditions: where they stand in what is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stepwell.definition.model import Path
from stepwell.definition.places import EVENT_WHEN, LOOP_WHEN, WHEN, Place

ITEM_NAMES = ("item", "index")
"""The names of an item and its number, when nothing else is said."""


@dataclass(frozen=True, slots=True)
class Block:
    """A group of nested steps.

    Attributes:
        name: what the model calls it: `then`, `cases.0`, `states.open.on_enter`, ...
        path: where it stands, from the settings on.
        steps: what is written there.
        names: names that its steps see beside the usual ones.
    """

    name: str
    path: Path
    steps: Any
    names: frozenset[str] = frozenset()


def blocks(kind: str, settings: Mapping[str, Any]) -> list[Block]:
    """The groups of nested steps in the settings of a step of type `kind`."""
    match kind:
        case "parallel_group":
            return _at(settings, ("steps",), "steps")
        case "loop":
            names = loop_names(settings)
            return [Block("steps", ("steps",), settings["steps"], names)] if "steps" in settings else []
        case "conditional":
            found = [block for key in ("then", "else") for block in _at(settings, (key,), key)]
            for position, case in enumerate(_list(settings.get("cases"))):
                found += _at(case, ("cases", position, "steps"), f"cases.{position}")
            return found + _at(settings, ("default",), "default")
        case "state_machine":
            return list(_states(settings))
        case _:
            return []


def loop_names(settings: Mapping[str, Any]) -> frozenset[str]:
    """What the steps of a loop see: the number of the round, and with `items` or `count` the item (or that number)."""
    if settings.get("items") is None and settings.get("count") is None:
        return frozenset(ITEM_NAMES[1:])
    named = settings.get("as")
    return frozenset({named if isinstance(named, str) else ITEM_NAMES[0], ITEM_NAMES[1]})


def conditions(kind: str, settings: Mapping[str, Any]) -> list[tuple[Path, Any, Place]]:
    """The conditions in the settings of a step of type `kind`: where, what, and what they see."""
    found: list[tuple[Path, Any, Place]] = []
    match kind:
        case "conditional":
            found = [(("condition",), settings.get("condition"), WHEN)]
            for position, case in enumerate(_list(settings.get("cases"))):
                if isinstance(case, dict):
                    found.append((("cases", position, "when"), case.get("when"), WHEN))
        case "loop":
            found = [((key,), settings.get(key), LOOP_WHEN) for key in ("while", "until")]
        case "wait_for_event" if isinstance(settings.get("filter"), str):
            found = [(("filter",), settings["filter"], EVENT_WHEN)]
        case "state_machine":
            found = [((*path, "when"), each.get("when"), EVENT_WHEN) for path, each in _transitions(settings)]
        case _:
            pass
    return [entry for entry in found if entry[1] is not None]


def without(settings: dict[str, Any], paths: list[Path]) -> dict[str, Any]:
    """A copy of `settings` without what stands at `paths`."""
    return _without(settings, paths) if paths else settings


def _without(value: Any, paths: list[Path]) -> Any:
    parts = dict(value) if isinstance(value, dict) else dict(enumerate(value))
    below: dict[Any, list[Path]] = {}
    for path in paths:
        below.setdefault(path[0], []).append(path[1:])
    for key, inner in below.items():
        if () in inner:
            del parts[key]
        else:
            parts[key] = _without(parts[key], inner)
    return parts if isinstance(value, dict) else list(parts.values())


def _at(value: Any, path: Path, name: str) -> list[Block]:
    if isinstance(value, dict) and path[-1] in value:
        return [Block(name, path, value[path[-1]])]
    return []


def _states(settings: Mapping[str, Any]) -> Iterator[Block]:
    states = settings.get("states")
    for name, state in (states if isinstance(states, dict) else {}).items():
        for block in _at(state, ("states", name, "on_enter"), f"states.{name}.on_enter"):
            yield Block(block.name, block.path, block.steps, frozenset({"event"}))
        for path, transition in _transitions({"states": {name: state}}):
            if "actions" in transition:
                label = f"states.{name}.transitions.{path[-1]}"
                yield Block(label, (*path, "actions"), transition["actions"], frozenset({"event"}))


def _transitions(settings: Mapping[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    states = settings.get("states")
    for name, state in (states if isinstance(states, dict) else {}).items():
        transitions = state.get("transitions") if isinstance(state, dict) else None
        for position, transition in enumerate(_list(transitions)):
            if isinstance(transition, dict):
                yield ("states", name, "transitions", position), transition


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
