"""Large workflows, up to the stated limits, are read and checked in reasonable time."""

from __future__ import annotations

import json
import time

import pytest

from stepwell.definition.model import all_steps
from stepwell.definition.tree import MAX_DEPTH
from tests.definition.documents import HEAD, codes, loaded
from tests.definition.trees import value

COUNT = 10_000
BOUND = 3.0
"""Seconds of processor time, on a machine that is busy with other tests too; alone it takes one at most."""

DEEPEST = (MAX_DEPTH - 1) // 3
"""Levels of groups: each is a list of steps, a step and its settings, within the document and `spec`."""


def nested(level: int, deepest: int, beside: int) -> str:
    """A group of steps, the last of which is a group in its turn."""
    steps = [f"{{name: s{level}_{number}, type: noop}}" for number in range(beside)]
    if level < deepest:
        inner = nested(level + 1, deepest, beside)
        steps.append(f"{{name: g{level}, type: parallel_group, config: {{steps: {inner}}}}}")
    return f"[{', '.join(steps)}]"


def many(keys: str) -> str:
    """Steps s1, s2, ... with these keys; M stands for the number of the one before, P for that of the one after."""
    lines = [
        f"    - {{name: s{number}, {keys.replace('M', str(number - 1)).replace('P', str(number + 1))}}}"
        for number in range(1, COUNT)
    ]
    ends = f"    - {{name: s{COUNT}, type: noop}}\n    - {{name: end, type: noop}}\n"
    return f"{HEAD}spec:\n  steps:\n    - {{name: s0, type: noop}}\n" + "\n".join(lines) + f"\n{ends}"


CONDITIONS = many(
    "type: python, depends_on: sM, when: 'input.n > M and not (input.closed or steps.sM.skipped)', "
    "config: {task: work, args: {n: '{{ input.n }}', x: '{{ steps.sM.output | default(M) }}'}}"
)
"""Ten thousand different conditions, and as many different expressions."""

LARGE = {
    "a chain": many("type: python, depends_on: sM, config: {task: work, args: {n: '{{ input.n }}'}}"),
    "two edges and a retry": many("type: python, depends_on: [sM, s0], retry: {max_attempts: 3}, config: {task: work}"),
    "conditions": CONDITIONS,
    "pushed edges": many("type: transform, config: {value: M}, on_success: sP, on_failure: end"),
    "circles": many("type: noop, depends_on: [sM, sP], join: any, max_visits: 2"),
    "policies": many("type: http, timeout: 5s, retry: {max_attempts: 3, retry_on: [timeout]}, "
                     "config: {url: 'https://x'}, on_failure: {action: continue}, mutex: 'lock {{ input.n }}'"),
    "fallbacks": many("type: greet, on_failure: {action: fallback, fallback: end}"),
    "decisions": many("type: noop, decision: [{when: input.n > 3, next: sP}, {default: end}]"),
    "milestones": many("type: noop, depends_on: sM, milestone: {after: s0, before: end}, cancels: [end]"),
    "nested": f"{HEAD}spec:\n  steps: {nested(1, DEEPEST, COUNT // DEEPEST)}\n",
}  # fmt: skip


@pytest.mark.parametrize("name", LARGE)
def test_ten_thousand_steps_are_loaded_in_time(name: str) -> None:
    for text in (LARGE[name], json.dumps(value(LARGE[name]), indent=1)):
        started = time.process_time()
        definition = loaded(text).definition
        took = time.process_time() - started
        assert definition is not None, codes(text)[:3]
        assert sum(1 for _ in all_steps(definition.steps)) >= COUNT - DEEPEST
        assert took < BOUND


def test_groups_are_nested_to_the_stated_limit_and_no_deeper() -> None:
    def document(deepest: int) -> str:
        return f"{HEAD}spec:\n  steps: {nested(1, deepest, 1)}\n"

    assert codes(document(DEEPEST)) == []
    assert codes(document(DEEPEST + 1)) == ["too-deep"]
