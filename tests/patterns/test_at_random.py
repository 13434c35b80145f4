"""Whatever happens to the examples of the patterns, and in whatever order: they come to an end, or wait for something.

`Played` decides everything twice, once as after a crash.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from tests.decider.played import Played
from tests.decider.story import BOOM, FLAKY, SECOND, TIMEOUT
from tests.patterns.test_control_flow_patterns import SAID, example

GIVEN = {"account": 7, "car": 1, "n": 3}
OUTCOMES: list[Any] = [None, 0, 500, 5000, "again", "bad", ["fire"], {"lines": [1, 2]}, BOOM, FLAKY, TIMEOUT]
DATA: list[dict[str, Any]] = [{}, {"who": "ann"}]


def possible(story: Played, random: Random) -> list[Callable[[], Any]]:
    """What may happen next."""
    found: list[Callable[[], Any]] = []
    if story.work:
        key, outcome = random.choice(list(story.work)), random.choice(OUTCOMES)
        found += [lambda: story.report(key, outcome)] * 4
    if story.waits:
        _, event_type = random.choice(list(story.waits))
        found += [lambda: story.event(event_type, **random.choice(DATA))]
    if story.children:
        child = random.choice(list(story.children))
        found += [lambda: story.child(child, {"value": 2}, error=random.choice([None, BOOM]))]
    due = story.run.next_due()
    if due is not None:
        found += [lambda: story.time((due - story.at) // SECOND + 1)]
    return found


@pytest.mark.parametrize("number", [number for number, said in SAID.items() if said != "no"])
def test_whatever_happens_an_example_comes_to_its_end_or_waits_for_something(number: int) -> None:
    for seed in range(12):
        random = Random(f"{number}/{seed}")
        story = Played(example(number), GIVEN)
        for _ in range(60):
            happenings = possible(story, random)
            if story.ended or not happenings:
                break
            random.choice(happenings)()
        waits = story.work or story.waits or story.children or story.run.next_due() is not None
        assert story.ended or waits, f"seed {seed}: it hangs: {story.statuses}"
        if story.ended:
            assert story.state.in_flight == story.state.waiting == 0
            assert not {"running", "waiting", "retrying"} & set(story.statuses.values())
