"""Telling people about a simulation: what failed, in the smallest scenario found, and what came of many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.simulation.agenda import SECOND
from tests.simulation.invariants import Violation
from tests.simulation.scenario import Scenario, yaml_text
from tests.simulation.world import World

MOST_EVENTS = 60
"""So many events of a history are shown, the last ones."""


def told(scenario: Scenario, violation: Violation) -> str:
    """A failing scenario: what does not hold, how to see it again, and everything that it is made of."""
    return "\n".join(_lines(scenario, violation))


def _lines(scenario: Scenario, violation: Violation) -> Iterator[str]:
    yield f"seed {scenario.seed}: {violation}"
    yield f"to see it again: make simulate SEED={scenario.seed}"
    for tree in (*scenario.documents, *scenario.children):
        yield f"--- {tree['metadata']['name']}"
        yield yaml_text(tree["spec"]).rstrip()
    yield "--- what happens, in seconds"
    for start in scenario.starts:
        again = ", twice" if start.again and start.key else ""
        key = f" with key {start.key}" if start.key else ""
        name = scenario.documents[start.document]["metadata"]["name"]
        yield f"{_seconds(start.at)} start {name} {start.input}{key}{again}"
    for event in scenario.events:
        where = "elsewhere" if event.foreign else "here"
        meant = f" for execution {event.to}" if event.to is not None else ""
        asked = event.starts
        starts = f", starts document {asked.document} {asked.input} with key {asked.key}" if asked is not None else ""
        yield f"{_seconds(event.at)} event {event.id} {event.type} n={event.n}{meant}, published {where}{starts}"
    for asking in scenario.verbs:
        yield f"{_seconds(asking.at)} {asking.verb} execution {asking.execution} ({asking.choice})"
    for fault in scenario.faults:
        at = _seconds(fault.at) if fault.kind in ("cut", "restart") else f"commit {fault.at}"
        yield f"{at} fault: {fault.kind}"
    yield f"--- world: {_world(scenario)}"
    yield from _histories(scenario)


def _world(scenario: Scenario) -> str:
    names = ("max_workflows", "queue_timeout", "default_timeout", "disk", "away", "unruly")
    calm = f", calm: {', '.join(sorted(scenario.calm))}" if scenario.calm else ""
    return ", ".join(f"{name}={getattr(scenario, name)}" for name in names) + calm


def _histories(scenario: Scenario) -> Iterator[str]:
    """The histories of this scenario, simulated once more."""
    world = World(scenario, thorough=True)
    try:
        world.run()
    except Exception:  # it is known what is wrong
        yield "--- what was recorded"
    for ledger in world.ledgers.values():
        yield f"execution {ledger.number} ({ledger.plan.definition.name}): {ledger.state.status}"
        if len(ledger.history) > MOST_EVENTS:
            yield f"  ({len(ledger.history) - MOST_EVENTS} events before these)"
        for event in ledger.history[-MOST_EVENTS:]:
            words = [type(event).__name__, getattr(event, "step", ""), *_details(event, world.begun)]
            yield f"  {_seconds(event.at - world.begun)} " + " ".join(word for word in words if word)


def _details(event: object, begun: int) -> Iterator[str]:
    for name in ("attempt", "reason", "handled", "outcome", "taken", "path"):
        value = getattr(event, name, None)
        if value not in (None, "", ()):
            yield f"{name}={value}"
    for name in ("due", "retry_at"):
        instant = getattr(event, name, None)
        if instant is not None:
            yield f"{name}={_seconds(instant - begun).strip()}"
    error = getattr(event, "error", None)
    if error is not None:
        yield f"{error.type}: {error.message[:80]}"


def _seconds(instant: int) -> str:
    return f"{instant / SECOND:6.1f}"


def saved(scenario: Scenario, folder: Path) -> list[Path]:
    """Write the documents of a scenario into a folder, to be run by hand."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for tree in (*scenario.documents, *scenario.children):
        files.append(folder / f"seed-{scenario.seed}-{tree['metadata']['name']}.yaml")
        files[-1].write_text(yaml_text(tree), "utf-8")
    return files


def counted(counter: Counter[str]) -> str:
    """Figures in a line, the greatest first."""
    return ", ".join(f"{name} {count:,}" for name, count in counter.most_common() if count)
