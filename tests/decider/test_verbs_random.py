"""Operators who do anything at any moment: nothing breaks, nothing hangs, and history tells it all."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from stepwell.base.errors import Conflict, NotFound
from stepwell.execution.commands import RunStep
from stepwell.execution.inputs import LockGranted
from stepwell.execution.status import ENDED_EXECUTION, ExecutionStatus
from stepwell.execution.verbs import (
    Cancel,
    CompleteStep,
    Pause,
    Rerun,
    Resume,
    Retry,
    Rollback,
    SkipStep,
    Terminate,
    Verb,
)
from tests.decider.story import BOOM, FLAKY
from tests.decider.verb_story import Checked, told

UNDO = "compensate: {type: python, config: {task: undo}}"
DOCUMENTS = (
    f"""
config: {{on_error: {{strategy: terminate}}}}
steps:
  - {{name: a, type: python, config: {{task: t}}, {UNDO}}}
  - name: b
    type: python
    config: {{task: t, args: {{x: "{{{{ steps.a.output }}}}"}}}}
    depends_on: [a]
    retry: {{max_attempts: 2, initial_delay: 1s}}
    checkpoint: one
  - {{name: c, type: python, config: {{task: t}}, depends_on: [b], on_failure: {{action: pause}}}}
  - {{name: d, type: python, config: {{task: t}}, {UNDO}}}
  - {{name: w, type: wait_for_event, config: {{event_type: go, timeout: 5s}}, depends_on: [d]}}
  - {{name: e, type: python, config: {{task: t}}, depends_on: [w, c]}}
""",
    f"""
config: {{failure_mode: drain, on_error: {{strategy: terminate}}}}
steps:
  - {{name: s, type: checkpoint}}
  - name: f
    type: python
    depends_on: [s]
    config: {{task: t, args: {{i: "{{{{ item }}}}"}}}}
    for_each: {{items: [1, 2, 3, 4], concurrency: 2}}
    {UNDO}
  - {{name: z, type: python, config: {{task: t}}, depends_on: [f], checkpoint: late}}
  - name: g
    type: conditional
    config:
      condition: "{{{{ true }}}}"
      then:
        - {{name: t1, type: python, config: {{task: t}}}}
        - {{name: t2, type: python, config: {{task: t}}, depends_on: [t1]}}
      else: [{{name: e1, type: noop}}]
  - {{name: y, type: wait, config: {{for: 2s}}, depends_on: [g]}}
  - {{name: v, type: python, config: {{task: t}}, depends_on: [y, z]}}
""",
    f"""
config: {{on_error: {{strategy: terminate, steps: [{{name: hook, type: python, config: {{task: h}}}}]}}}}
steps:
  - name: l
    type: loop
    config:
      count: 3
      steps:
        - {{name: i1, type: python, config: {{task: t}}, checkpoint: round}}
        - {{name: i2, type: python, config: {{task: t}}, depends_on: [i1], {UNDO}}}
  - name: p
    type: parallel_group
    depends_on: [l]
    config:
      wait_for: 2
      steps:
        - {{name: p1, type: python, config: {{task: t}}}}
        - {{name: p2, type: python, config: {{task: t}}}}
        - {{name: p3, type: wait, config: {{for: 3s}}}}
  - name: q
    type: python
    config: {{task: t}}
    depends_on: [p]
    on_failure: {{action: fallback, fallback: {{type: python, config: {{task: fb}}}}}}
  - {{name: r, type: python, config: {{task: t}}, on_failure: {{action: continue}}}}
  - {{name: u, type: python, config: {{task: t}}, depends_on: [r, q], delay: 2s}}
""",
    """
config: {on_error: {strategy: terminate}, max_parallel_steps: 2}
steps:
  - {name: a, type: python, config: {task: t}, next: [{to: [b]}]}
  - name: b
    type: python
    config: {task: t}
    max_visits: 3
    next: [{when: "{{ steps.b.output == 1 }}", to: [bb]}, {when: "{{ steps.b.output != 1 }}", to: [c]}]
  - {name: bb, type: python, config: {task: t}, next: [{to: [b]}]}
  - {name: c, type: python, config: {task: t}, on_failure: h}
  - {name: h, type: python, config: {task: t}}
  - {name: m, type: python, config: {task: t}, mutex: {key: lock}}
  - {name: n, type: python, config: {task: t}, milestone: {after: [a]}}
  - {name: o, type: python, config: {task: t}, depends_on: [m], on_failure: {action: fallback, fallback: sp}}
  - {name: sp, type: python, config: {task: t}}
""",
    f"""
config: {{timeout: 20s, on_error: {{strategy: compensate}}, cancellation: {{compensate: true}}}}
steps:
  - {{name: a, type: python, config: {{task: t}}, {UNDO}, checkpoint: one}}
  - name: b
    type: python
    config: {{task: t}}
    depends_on: [a]
    repeat: {{until: "{{{{ response == 1 }}}}", max_iterations: 4, delay: 1s}}
  - {{name: c, type: python, config: {{task: t}}, depends_on: [b], {UNDO}}}
  - name: k
    type: parallel_group
    depends_on: [a]
    config:
      fail_fast: true
      steps:
        - {{name: k1, type: python, config: {{task: t}}}}
        - {{name: k2, type: python, config: {{task: t}}, for_each: {{items: [1, 2], on_error: continue}}}}
""",
    f"""
config: {{on_error: {{strategy: terminate}}}}
steps:
  - name: m
    type: state_machine
    config:
      initial: open
      states:
        open:
          on_enter: [{{name: oe, type: python, config: {{task: t}}}}]
          transitions: [{{event: go, to: shut, actions: [{{name: ac, type: python, config: {{task: t}}, {UNDO}}}]}}]
        shut:
          on_enter: [{{name: se, type: python, config: {{task: t}}, checkpoint: one}}]
          transitions: [{{event: end, to: over}}, {{event: go, to: open}}]
        over: {{final: true}}
  - {{name: a, type: python, config: {{task: t}}, checkpoint: late}}
  - {{name: z, type: python, config: {{task: t}}, depends_on: [m]}}
""",
    f"""
config: {{on_error: {{strategy: terminate}}}}
steps:
  - {{name: a, type: python, config: {{task: t}}, {UNDO}, checkpoint: one}}
  - name: g
    type: parallel_group
    timeout: 9s
    depends_on: [a]
    retry: {{max_attempts: 2, initial_delay: 1s}}
    config:
      wait_for: any
      steps:
        - {{name: g1, type: wait_for_event, config: {{event_type: go}}}}
        - {{name: g2, type: wait, config: {{for: 4s}}}}
        - {{name: g3, type: python, config: {{task: t}}, delay: 1s}}
  - {{name: b, type: python, config: {{task: t}}, depends_on: [g], cancels: [s], {UNDO}}}
  - {{name: s, type: wait, config: {{for: 1h}}}}
  - {{name: e, type: python, config: {{task: t}}, join: 1, depends_on: [b, s]}}
  - name: d
    type: dynamic
    config:
      steps:
        - {{name: d1, type: python, config: {{task: t}}}}
        - {{name: d2, type: python, config: {{task: t}}, depends_on: [d1]}}
""",
)
POINTS = ("one", "late", "round", "s", "none")
STEPS = 60


class Chaos:
    """One execution, and chance."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.story: Checked = told(self.chance.choice(DOCUMENTS))
        self.boldness = self.chance.choice((0.1, 0.3))
        self.events = 0

    def play(self) -> None:
        """Let operators act for a while, and then the execution come to its end."""
        for number in range(STEPS):
            if number < STEPS * 2 // 3 and self.chance.random() < self.boldness:
                self._operate()
            else:
                self._go_on()
            ids = [command.assignment.id for command in self.story.commands if isinstance(command, RunStep)]
            assert len(ids) == len(set(ids))

    def _operate(self) -> None:
        verb = self._verb()
        try:
            self.story.when(verb)
        except (Conflict, NotFound) as refused:
            self.story.refuses(verb, refused.code)

    def _verb(self) -> Verb:
        chance, state = self.chance, self.story.state
        key = chance.choice([*state.steps, *self.story.plan.by_name])
        by = {"by": "ada", "reason": "why"}
        force = chance.random() < 0.5
        verbs: list[Callable[[], Verb]] = [
            lambda: Pause(**by),
            lambda: Resume(**by),
            lambda: Retry(by="ada"),
            lambda: Retry(by="ada", steps=(key,)),
            lambda: Rerun(by="ada", step=key),
            lambda: Rerun(by="ada", step=key, keep_items=force),
            lambda: SkipStep(by="ada", step=key, force=force),
            lambda: CompleteStep(by="ada", step=key, output=chance.choice((1, 2)), force=force),
            lambda: Rollback(by="ada", checkpoint=chance.choice(POINTS)),
        ]
        if chance.random() < 0.1:
            verbs = [lambda: Terminate(**by), lambda: Cancel(by="ada", stop=chance.choice((None, True, False)))]
        return chance.choice(verbs)()

    def _go_on(self) -> None:
        story, state = self.story, self.story.state
        choices: list[Callable[[], object]] = [lambda key=key: self._report(key) for key in story.at_work]  # type: ignore[misc]
        for key, step in state.steps.items():
            if step.held == "mutex":
                choices.append(lambda key=key, name=step.message: story.when(LockGranted(key, name)))  # type: ignore[misc]
            elif step.status.value == "waiting" and step.event_type is not None:
                choices.append(lambda key=key, what=step.event_type: self._event(key, what))  # type: ignore[misc]
        due = story.run.next_due()
        if due is not None:
            choices.append(lambda: story.time(max(0, due - story.at)))
        if choices:
            self.chance.choice(choices)()
        elif state.status is ExecutionStatus.PAUSED:
            story.when(Resume(by="bob"))
        else:
            assert state.status in ENDED_EXECUTION, "it hangs"

    def _report(self, key: str) -> None:
        if self.chance.random() < 0.3:
            self.story.failed(key, self.chance.choice((BOOM, FLAKY)))
        else:
            self.story.done(key, self.chance.choice((1, 2)))

    def _event(self, key: str, what: str) -> None:
        self.events += 1
        self.story.event(key, what, id=f"e{self.events}")


@pytest.mark.parametrize("block", range(8))
def test_whatever_operators_do_history_tells_it_and_the_execution_comes_to_an_end(block: int) -> None:
    for seed in range(block * 40, block * 40 + 40):
        try:
            Chaos(seed).play()
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
