"""Trying a scenario, and what came of it."""

from __future__ import annotations

import traceback
from collections import Counter
from dataclasses import dataclass, field

from tests.simulation.invariants import Violation
from tests.simulation.language import spoken
from tests.simulation.ledger import Move
from tests.simulation.people import known_verbs
from tests.simulation.scenario import Scenario, scenario
from tests.simulation.world import World


@dataclass(slots=True)
class Outcome:
    """What came of a simulation.

    Attributes:
        violation: what did not hold, or None.
        moves: the legal moves that were made.
        used: the parts of the language in the definitions.
        counts: executions, history events, attempts, faults and the like.
        digest: of everything that was recorded; the same for the same seed.
    """

    seed: int
    violation: Violation | None = None
    moves: Counter[Move] = field(default_factory=Counter)
    used: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    digest: str = ""


def scenario_of(seed: int) -> Scenario:
    """The scenario of a seed, in the language as the engine runs it."""
    return scenario(seed, spoken(), known_verbs())


def try_seed(seed: int, world_of: type[World] = World) -> Outcome:
    """Simulate the scenario of a seed."""
    try:
        return try_scenario(scenario_of(seed), world_of=world_of)
    except Exception as error:
        return Outcome(seed, _defect(error))


def try_scenario(tried: Scenario, *, thorough: bool = False, world_of: type[World] = World) -> Outcome:
    """Simulate; whatever goes wrong is in the outcome.

    Args:
        world_of: of one engine after the other, or of several at once (`ClusterWorld`).

    Raises:
        InvalidDefinition: the scenario is none.
    """
    outcome = Outcome(tried.seed, used=tried.used)
    world = world_of(tried, thorough=thorough)
    try:
        world.run()
    except Violation as violation:
        outcome.violation = violation
    except Exception as error:
        outcome.violation = _defect(error)
    for ledger in world.ledgers.values():
        outcome.moves += ledger.moves
        outcome.counts[f"executions {ledger.state.status}"] += 1
        outcome.counts["history events"] += len(ledger.history)
        outcome.counts["steps"] += len(ledger.state.steps)
    outcome.counts += world.tried
    outcome.digest = world.digest()
    return outcome


def _defect(error: Exception) -> Violation:
    """Something is wrong with the simulation itself, or was raised where nothing should be."""
    return Violation("the_simulation_goes_through", "".join(traceback.format_exception(error)[-4:]))
