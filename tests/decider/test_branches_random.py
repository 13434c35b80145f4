"""Workflows made at random whose branches are separate: whatever comes in, a run folded from the history decides the
same (`Played` sees to that), and every execution comes to its end."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from stepwell.base.errors import StepwellError
from stepwell.base.spans import Source
from stepwell.definition.loading import load
from stepwell.execution.verbs import Retry
from tests.decider.played import Played
from tests.decider.story import BOOM

_OUTCOMES = ("succeeded()", "failed()", "succeeded() or failed()")
_MOST_TURNS = 300


def made(draw: random.Random) -> str:
    """A document: up to eight steps, edges mostly onwards, some back, joins of every kind, and either failure mode."""
    names = [f"s{number}" for number in range(draw.randint(2, 8))]
    edges: dict[str, list[Any]] = {name: [] for name in names}
    for number, name in enumerate(names):
        for _ in range(draw.choice([0, 1, 1, 2])):
            first = 0 if draw.random() < 0.15 else number + 1
            if first < len(names):
                publish = {"v": name, "n": "{{ vars.n + 1 }}"} if draw.random() < 0.5 else {}
                when = f"{{{{ {draw.choice(_OUTCOMES)} }}}}"
                edges[name].append({"when": when, "to": [draw.choice(names[first:])], "publish": publish})
    steps = [_step(name, edges, draw) for name in names]
    mode = draw.choice(["fail_fast", "drain"])
    spec = {
        "config": {"branches": "separate", "failure_mode": mode, "on_error": {"strategy": "terminate"}},
        "vars": {"v": "-", "n": 0},
        "steps": steps,
        "output": {"values": {"v": "{{ vars.v }}", "n": "{{ vars.n }}"}, "on_failure": True},
    }
    head = {"apiVersion": "workflow/v1", "kind": "Workflow", "metadata": {"name": "made", "version": "1.0.0"}}
    return json.dumps({**head, "spec": spec})


def _step(name: str, edges: dict[str, list[Any]], draw: random.Random) -> dict[str, Any]:
    step: dict[str, Any] = {"name": name, "type": "work", "config": {"v": "{{ vars.v }}"}, "max_visits": 4}
    inbound = sum(name in edge["to"] for each in edges.values() for edge in each)
    join = draw.choice([None, "all", 1, 2])
    if inbound > 1 and join is not None:
        step["join"] = join
    if draw.random() < 0.1:
        step["for_each"] = {"items": [1, 2]}
    return {**step, "next": edges[name]} if edges[name] else step


def played(text: str, draw: random.Random) -> Played:
    """One execution, its work done in a random order, some of it failing; what failed is often tried again."""
    story = Played(in_lines(text))
    for _ in range(_MOST_TURNS):
        if story.work:
            story.report(draw.choice(list(story.work)), BOOM if draw.random() < 0.15 else None)
        elif story.status != "failed" or draw.random() < 0.5 or not _retried(story):
            break
    return story


def in_lines(text: str) -> str:
    """A document in JSON as YAML: a line for each of its keys."""
    return "\n".join(f"{key}: {json.dumps(value)}" for key, value in json.loads(text).items())


def _retried(story: Played) -> bool:
    try:
        story.take(Retry(by="ada", reason="why"))
    except StepwellError:
        return False
    return True


@pytest.mark.parametrize("seed", range(60))
def test_a_folded_run_decides_the_same_and_every_execution_ends(seed: int) -> None:
    draw = random.Random(seed)
    text = made(draw)
    if load(Source("made.json", text)).definition is None:
        return  # joins that can never be met are found, as other tests show
    story = played(text, draw)
    assert story.ended, story.statuses
