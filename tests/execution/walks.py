"""Executions that between them walk every legal move of a step and of an execution."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stepwell.base.errors import ErrorInfo
from stepwell.decider.decide import decide, decide_fork
from stepwell.execution.history import ExecutionForked
from stepwell.execution.inputs import Begin, ChildCompensated, CompensateSelf
from stepwell.execution.verbs import (
    Cancel,
    Compensate,
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
from tests.decider.played import Played, planned
from tests.decider.story import FLAKY

WORSE = ErrorInfo("worse", "it broke for good")


def walks() -> Iterator[Played]:
    """The executions."""
    yield from _held_back()
    yield from _tried_again()
    yield _replaced()
    yield _constructs()
    yield _withdrawn()
    yield from _by_hand()


def _held_back() -> Iterator[Played]:
    """Steps of every type that wait out a delay before they start, in other ways too."""
    story = Played("""
        steps:
        - {name: w1, type: work, delay: 1s, mutex: m}
        - {name: w2, type: work, delay: 1s, when: false}
        - {name: g, type: parallel_group, delay: 1s, config: {steps: [{name: a, type: noop}, {name: b, type: noop}]}}
        - {name: e, type: wait_for_event, delay: 1s, config: {event_type: e}}
        - {name: t, type: wait, delay: 1s, config: {for: 1s}}
        - {name: c, type: workflow, delay: 1s, config: {name: child}}
        - {name: p, type: approval, delay: 1s, config: {prompt: well, assigned_to: ada}}
    """).time(1)
    story.event("e").answer("p", 1, by="eve").answer("p", 1, by="ada").child("c").go()
    yield story


def _tried_again() -> Iterator[Played]:
    """Steps that are tried again, and one that can no longer be."""
    story = Played("""
        vars: {t: 1s}
        steps:
        - name: e
          type: wait_for_event
          retry: {max_attempts: 2, initial_delay: 9s}
          config: {event_type: e, timeout: "{{ vars.t }}"}
        - {name: p, type: approval, retry: {max_attempts: 2}, config: {prompt: well, timeout: 1s}}
        - {name: c, type: workflow, retry: {max_attempts: 2}, config: {name: child}}
        - name: g
          type: parallel_group
          retry: {max_attempts: 2}
          config: {steps: [{name: a, type: work}, {name: b, type: noop}]}
        - {name: s, type: set, delay: 5s, config: {t: soon}}
    """)
    story.child("c", error=FLAKY).failed("a", FLAKY).time(2)
    story.answer("p", 1).child("c").go()
    yield story
    yield Played("steps: [{name: a, type: work}]").done("a", result={"__inquiry": {"prompt": "well"}}).answer("a", 1)
    good = Played("""
        steps:
        - {name: e, type: wait_for_event, retry: {max_attempts: 2}, config: {event_type: e, timeout: 1s}}
        - {name: f, type: wait_for_event, config: {event_type: f, timeout: 1s}, on_failure: {action: continue}}
        - {name: w, type: wait, timeout: 1s, retry: {max_attempts: 2}, config: {for: 2s}, on_failure: {action: skip}}
        - {name: a, type: work, retry: {max_attempts: 2}}
        - {name: b, type: set, config: {n: "{{ input.nothing }}"}, on_failure: {action: continue}}
    """)
    yield good.failed("a", FLAKY).time(2).event("e").done("a")
    halted = Played("""
        vars: {t: 1s}
        steps:
        - name: e
          type: wait_for_event
          retry: {max_attempts: 2, initial_delay: 9s}
          config: {event_type: e, timeout: "{{ vars.t }}"}
          on_failure: {action: pause}
        - {name: s, type: set, delay: 5s, config: {t: soon}}
    """)
    yield halted.time(10)


def _replaced() -> Played:
    """Steps for which something stands in, whatever they were doing when they failed."""
    instead = "on_failure: {action: fallback, fallback: {type: noop}}"
    return Played(f"""
        steps:
        - {{name: a, type: work, {instead}}}
        - {{name: b, type: set, config: {{n: "{{{{ input.nothing }}}}"}}, {instead}}}
        - {{name: c, type: wait_for_event, config: {{event_type: e, timeout: 1s}}, {instead}}}
    """).go({"a": WORSE})


def _constructs() -> Played:
    """Rounds, made steps, a machine that ignores an event."""
    story = Played("""
        steps:
        - {name: l, type: loop, config: {count: 2, steps: [{name: a, type: noop}]}}
        - {name: d, type: dynamic, config: {steps: [{name: x, type: noop}]}}
        - name: m
          type: state_machine
          config:
            initial: one
            states:
              one: {transitions: [{event: go, to: two, when: "{{ event.data.n > 1 }}"}]}
              two: {final: true}
    """)
    return story.event("go", n=1).event("go", n=2)


def _withdrawn() -> Played:
    """Steps that are cancelled, whatever they were doing."""
    story = Played("""
        steps:
        - {name: a, type: work, cancels: [e, b, c, d]}
        - {name: b, type: work}
        - {name: c, type: work, retry: {max_attempts: 2, initial_delay: 1h}}
        - {name: d, type: wait, config: {for: 1h}}
        - {name: e, type: noop, depends_on: b}
    """)
    return story.failed("c", FLAKY).done("a")


BY: dict[str, Any] = {"by": "ada", "reason": "to see"}


def _by_hand() -> Iterator[Played]:
    """What operators do."""
    yield from _never_begun()
    yield _paused()
    yield from _forked()
    yield _paused_by_steps()
    yield _items_kept()
    yield from _going_on()
    yield _run_again()
    yield _rolled_back()
    yield from _undone()


def _never_begun() -> Iterator[Played]:
    for verb in (Cancel(**BY), None):
        story = Played("config: {concurrency: {key: k, limit: 1}}\nsteps: [{name: a, type: work}]", begins=False)
        story.take(Begin())
        if verb is None:
            _migrate(story)
        else:
            story.take(verb)
        yield story


def _paused() -> Played:
    """An execution on which everything is done while it is paused."""
    story = Played("""
        steps:
        - {name: a, type: work}
        - {name: b, type: wait, config: {for: 1h}}
        - {name: c, type: work, on_failure: {action: continue}, next: [{to: m}]}
        - {name: d, type: work, next: [{to: m}]}
        - {name: m, type: noop, join: 2}
    """)
    _migrate(story)
    story.take(Pause(**BY))
    _migrate(story, "3.0.0")
    story.take(CompleteStep(**BY, step="b"))
    story.failed("c").done("d")
    story.take(Cancel(**BY))
    return story.done("a")


def _forked() -> Iterator[Played]:
    for verb in (None, Pause(**BY)):
        story = Played("steps: [{name: a, type: work}, {name: e, type: wait_for_event, config: {event_type: e}}]")
        if verb is not None:
            story.take(verb)
        _fork(story)
        yield story


def _paused_by_steps() -> Played:
    """Failures ask for a pause, one before the step has begun; then it is terminated."""
    story = Played("""
        steps:
        - {name: a, type: work, on_failure: {action: pause}}
        - {name: b, type: work, config: {n: "{{ steps.c.output.n }}"}, depends_on: c, on_failure: {action: pause}}
        - {name: c, type: work}
        - {name: d, type: work, on_failure: {action: pause}}
    """)
    story.failed("a").failed("d")
    story.take(Resume(**BY))
    story.done("c", result={})
    story.take(Terminate(**BY))
    return story


def _items_kept() -> Played:
    """Of items of which one has failed, and paused the execution, the others are kept."""
    pauses = "on_failure: {action: pause}"
    story = Played(f"steps: [{{name: a, type: work, for_each: {{items: [1, 2]}}, {pauses}}}]")
    story.done("a[0]").failed("a[1]")
    story.take(Rerun(**BY, step="a", keep_items=True))
    story.take(Resume(**BY))
    return story.done("a[1]")


def _going_on() -> Iterator[Played]:
    """Executions that have ended, each in its way, and go on; in the second a construct does."""
    story = Played("""
        steps:
        - {name: a, type: work}
        - {name: w, type: wait, config: {for: 1h}}
        - {name: r, type: work, retry: {max_attempts: 2, initial_delay: 1h}}
        - {name: s, type: noop, when: false}
        - {name: l, type: loop, config: {count: 2, steps: [{name: x, type: work}]}}
        - {name: g, type: parallel_group, config: {steps: [{name: y, type: work}, {name: z, type: noop}]}}
    """)
    story.failed("r", FLAKY)
    story.take(Rerun(**BY, step="w"))
    story.take(SkipStep(**BY, step="r"))
    story.failed("x[0]").done("a", "y")
    story.take(Retry(**BY))
    story.go()
    story.take(Rerun(**BY, step="x[1]"))
    yield story.go()
    stopped = Played("""
        steps:
        - {name: a, type: work}
        - name: l
          type: loop
          config: {count: 2, steps: [{name: x, type: work}, {name: y, type: work, depends_on: x}]}
    """)
    stopped.failed("a").done("x[0]")
    stopped.take(Retry(**BY))
    yield stopped.go()
    ended = Played("steps: [{name: a, type: work}, {name: b, type: wait, config: {for: 1h}}]")
    ended.done("a")
    ended.take(Cancel(**BY))
    ended.take(Rerun(**BY, step="b"))
    yield ended.go()


def _run_again() -> Played:
    """Steps begin anew whatever they are doing, and with them what stands behind them."""
    story = Played("""
        steps:
        - {name: a, type: work}
        - {name: s, type: noop, depends_on: a, when: false}
        - {name: w, type: wait, depends_on: a, config: {for: 1h}}
        - {name: b, type: work}
        - {name: r, type: work, retry: {max_attempts: 2, initial_delay: 1h}}
        - {name: l, type: loop, config: {count: 2, steps: [{name: x, type: work}]}}
    """)
    story.failed("r", FLAKY).done("a", "x[0]")
    for step in ("a", "b", "r", "x[0]"):
        story.take(Rerun(**BY, step=step))
    return story.go()


def _rolled_back() -> Played:
    """What completed after a checkpoint is undone, and runs again."""
    story = Played("""
        steps:
        - {name: a, type: work, checkpoint: begun}
        - {name: b, type: work, depends_on: a, compensate: {type: work}}
        - {name: c, type: work, depends_on: b}
    """)
    story.done("a", "b")
    story.take(Rollback(**BY, checkpoint="begun"))
    return story.go()


UNDONE = """
    config: {on_error: {strategy: compensate, steps: [{name: tell, type: noop}]}, cancellation: cancel_running}
    compensation: {mode: manual}
    steps:
    - {name: a, type: work, compensate: {type: work}}
    - {name: b, type: work, depends_on: a}
    - {name: slow, type: work, compensate: {type: work}}
    - {name: sub, type: workflow, config: {name: child}}
"""


def _undone() -> Iterator[Played]:
    """Compensation: that an operator starts, that one cancels, that a parent asks for, by hand and by itself."""
    story = Played(UNDONE).child("sub").done("a")
    late = story.work["slow"]
    story.failed("b", WORSE)
    story.take(Compensate(**BY))
    story.work["slow"] = late
    story.done("slow")
    story.take(Cancel(**BY))
    story.go()
    story.take(ChildCompensated("sub[undo]", "done"))
    yield story.go()
    for text in (UNDONE, UNDONE.replace("mode: manual", "mode: automatic")):
        child = Played(text).child("sub").go()
        child.take(CompensateSelf("y", "sub", "it is undone"))
        yield child


def _migrate(story: Played, version: str = "2.0.0") -> None:
    """Move it to another version that says the same."""
    plan = planned(story.text.replace('"1.0.0"', f'"{version}"'))
    verb = Migrate(**BY, version=plan.definition.version, digest=plan.definition.digest)
    story.history += decide(story.run, verb, story.at, plan).events
    story.plan = plan


def _fork(story: Played) -> None:
    """Go on as another execution."""
    seed = bytes(story.at % 251 + len(story.history))
    said = ExecutionForked(story.at, "ada", "what if", f"{story.state.id}y", story.state.id, seed)
    decision = decide_fork(story.run, said)
    story.history += decision.events
    story.work.clear()
    for command in decision.commands:
        story.note(command)
