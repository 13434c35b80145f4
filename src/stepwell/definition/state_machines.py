"""State machines: whether every state can be reached, and whether the machine can end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stepwell.definition.context import Context
from stepwell.definition.model import Path
from stepwell.definition.shapes import is_certain

_States = Mapping[str, Mapping[str, Any]]


def check_state_machine(settings: Mapping[str, Any], path: Path, context: Context) -> None:
    """Check the states of a state machine, whose settings stand at `path`. What is wrong is recorded."""
    written = settings.get("states")
    if not isinstance(written, dict):
        return
    states = {name: state for name, state in written.items() if isinstance(state, dict)}
    initial = settings.get("initial")
    _check_state(initial, written, (*path, "initial"), context)
    for name, state in states.items():
        place = (*path, "states", name)
        if state.get("final") is True and _transitions(state):
            message = f"the machine ends in {name!r}, so its transitions have no effect"
            hint = "take them out, or `final`"
            context.findings.add("no-effect", message, (*place, "transitions"), hint=hint, key=True)
        for position, transition in _transitions(state):
            _check_state(transition.get("to"), written, (*place, "transitions", position, "to"), context)
        _check_order(state, place, context)
    if isinstance(initial, str) and initial in states:
        _check_ways(initial, states, path, context)


def _check_state(name: Any, states: Mapping[str, Any], path: Path, context: Context) -> None:
    if isinstance(name, str) and name not in states:
        hint = context.findings.hint_for(name, states.keys())
        context.findings.add("unknown-state", f"there is no state {name!r}", path, hint=hint)


def _check_order(state: Mapping[str, Any], path: Path, context: Context) -> None:
    """A transition behind one for the same event that is always taken."""
    certain: set[str] = set()
    for position, transition in _transitions(state):
        event = transition.get("event")
        if not isinstance(event, str):
            continue
        if event in certain:
            message = f"an earlier transition for {event!r} has no condition, so this one is never taken"
            place = (*path, "transitions", position)
            context.findings.add("unreachable-branch", message, place, hint="give the earlier one a `when`")
        elif transition.get("when") is None or is_certain(transition["when"]):
            certain.add(event)


def _check_ways(initial: str, states: _States, path: Path, context: Context) -> None:
    ways = {name: _targets(state, states) for name, state in states.items()}
    reached = _reached([initial], ways)
    for name in states:
        if name not in reached:
            message = f"no transition leads to the state {name!r}"
            place = (*path, "states", name)
            context.findings.add("unreachable-state", message, place, hint="let one lead there", key=True)
    back: dict[str, list[str]] = {name: [] for name in states}
    for name, targets in ways.items():
        for target in targets:
            back[target].append(name)
    ending = _reached([name for name, state in states.items() if state.get("final") is True], back)
    stuck = [name for name in states if name in reached and name not in ending]
    if initial in stuck:
        message = "no final state can be reached, so the machine never ends"
        hint = "mark a state as `final: true`"
        context.findings.add("endless-state", message, (*path, "states"), hint=hint, key=True)
        return
    for name in stuck:
        message = f"from the state {name!r} no final state can be reached"
        hint = "mark it as `final: true`, or add a transition"
        context.findings.add("endless-state", message, (*path, "states", name), hint=hint, key=True)


def _targets(state: Mapping[str, Any], states: _States) -> list[str]:
    if state.get("final") is True:
        return []
    named = (transition.get("to") for _, transition in _transitions(state))
    return [name for name in named if isinstance(name, str) and name in states]


def _reached(starts: list[str], ways: Mapping[str, list[str]]) -> set[str]:
    found = set(starts)
    pending = list(starts)
    while pending:
        for target in ways[pending.pop()]:
            if target not in found:
                found.add(target)
                pending.append(target)
    return found


def _transitions(state: Mapping[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    written = state.get("transitions")
    entries = enumerate(written) if isinstance(written, list) else ()
    return [(position, entry) for position, entry in entries if isinstance(entry, dict)]
