"""Stories that walk through every move that an operator can cause."""

from __future__ import annotations

from typing import Any

from stepwell.decider.decide import decide, decide_fork
from stepwell.decider.plan import Plan
from stepwell.execution.history import ExecutionForked
from stepwell.execution.verbs import (
    Cancel,
    CompleteStep,
    Migrate,
    Pause,
    Rerun,
    Resume,
    Retry,
    Rollback,
    SkipStep,
    Terminate,
)
from tests.decider.story import FLAKY, Story
from tests.decider.verb_story import Checked, document, told

BY: dict[str, Any] = {"by": "ada", "reason": "why"}
UNDO = "compensate: {type: python, config: {task: undo}}"
WORK = "type: python, config: {task: t}"
ENDS = "config: {on_error: {strategy: terminate}}"


def verb_stories() -> list[Story]:
    """All of them."""
    return [
        *_halted(),
        *_ended(),
        *_redone(),
        _rolled_back(),
        *_moved(),
        *_forked(),
    ]


def _halted() -> list[Story]:
    pauses = "on_failure: {action: pause}"
    twice = told(f"""
    steps:
      - {{name: a, {WORK}, {pauses}}}
      - {{name: b, type: fail, {pauses}, depends_on: [c]}}
      - {{name: c, {WORK}}}
    """)
    twice.failed("a")
    twice.when(Resume(**BY))
    twice.done("c")
    joined = told(f"""
    steps:
      - {{name: a, {WORK}, on_failure: {{action: continue}}, on_success: [z]}}
      - {{name: b, {WORK}, on_success: [z]}}
      - {{name: z, {WORK}, join: 2}}
    """)
    joined.when(Pause(**BY))
    joined.done("b")
    joined.failed("a")
    second = told(f"steps: [{{name: a, {WORK}, {pauses}}}, {{name: b, {WORK}, {pauses}}}]")
    second.failed("a")
    second.failed("b")
    second.when(SkipStep(**BY, step="a"))
    second.when(Cancel(**BY))
    paused = told(f"steps: [{{name: a, {WORK}}}]")
    paused.when(Pause(**BY))
    paused.when(Terminate(**BY))
    return [twice, joined, second, paused]


def _ended() -> list[Story]:
    pending = Checked(document(f"steps: [{{name: a, {WORK}}}]"))
    pending.when(Terminate(**BY))
    undoing = told(f"steps: [{{name: a, {WORK}, {UNDO}}}, {{name: b, {WORK}, depends_on: [a]}}]")
    undoing.done("a")
    undoing.when(Cancel(**BY, compensate=True))
    undoing.done("b")
    undoing.done("a[undo]")
    stopped = told(f"steps: [{{name: a, {WORK}}}]")
    stopped.when(Terminate(**BY))
    stopped.when(Rerun(**BY, step="a"))
    return [pending, undoing, stopped]


def _redone() -> list[Story]:
    loop = told(f"""
    {ENDS}
    steps:
      - name: l
        type: loop
        config: {{count: 2, steps: [{{name: x, {WORK}}}]}}
      - {{name: y, {WORK}, when: "{{{{ false }}}}", depends_on: [l]}}
      - {{name: w, type: wait, config: {{for: 1h}}}}
      - name: g
        type: parallel_group
        config: {{steps: [{{name: p, {WORK}}}, {{name: q, type: wait, config: {{for: 1h}}}}]}}
      - {{name: m, type: loop, config: {{count: 2, steps: [{{name: v, type: wait, config: {{for: 1h}}}}]}}}}
      - {{name: z, {WORK}}}
    """)
    loop.done("x[0]")
    loop.when(Rerun(**BY, step="x[0]"))
    loop.done("x[0]")
    loop.done("p")
    loop.failed("z")
    loop.failed("x[1]")
    loop.when(Retry(**BY))
    loop.done("x[1]")
    loop.when(Rerun(**BY, step="x[0]"))
    dead = told(f"""
    config: {{failure_mode: drain, on_error: {{strategy: terminate}}}}
    steps: [{{name: a, {WORK}}}, {{name: b, {WORK}, depends_on: [a]}}]
    """)
    dead.failed("a")
    dead.when(Retry(**BY))
    done = told(f"steps: [{{name: a, {WORK}}}]")
    done.done("a")
    done.when(Rerun(**BY, step="a"))
    done.when(Pause(**BY))
    done.when(CompleteStep(**BY, step="a", force=True))
    items = told(f"steps: [{{name: a, {WORK}, for_each: {{items: [1]}}, on_failure: {{action: pause}}}}]")
    items.failed("a[0]")
    items.when(Rerun(**BY, step="a", keep_items=True))
    return [loop, dead, done, items]


def _rolled_back() -> Story:
    story = told(f"steps: [{{name: here, type: checkpoint}}, {{name: a, {WORK}, {UNDO}}}, {{name: b, {WORK}}}]")
    story.done("a")
    story.when(Rollback(**BY, checkpoint="here"))
    story.done("a[undo]")
    return story


def _moved() -> list[Story]:
    body = f"steps: [{{name: a, {WORK}}}]"
    to = document(body, "2.0.0")
    verb = Migrate(**BY, version="2.0.0", digest=to.digest)
    paused = told(body)
    paused.when(Pause(**BY))
    stories: list[Story] = [Checked(document(body)), told(body), paused]
    for story in stories:
        story.history += decide(story.run, verb, 0, Plan(to)).events
    return stories


def _forked() -> list[Story]:
    body = f"""
    steps:
      - {{name: a, {WORK}}}
      - {{name: w, type: wait_for_event, config: {{event_type: go}}}}
      - {{name: r, {WORK}, retry: {{max_attempts: 2, initial_delay: 1s}}}}
    """
    running, paused = told(body), told(body)
    running.failed("r", FLAKY)
    paused.when(Pause(**BY))
    for story in (running, paused):
        story.history += decide_fork(story.run, ExecutionForked(0, "ada", "why", "y", "x", b"seed")).events
    return [running, paused]
