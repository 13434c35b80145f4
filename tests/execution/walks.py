"""Executions that between them walk every legal move of a step and of an execution."""

from __future__ import annotations

from collections.abc import Iterator

from stepwell.base.errors import ErrorInfo
from stepwell.execution.verbs import (
    Cancel,
    CompleteStep,
    Pause,
    Rerun,
    Resume,
    Retry,
    Rollback,
    SkipStep,
)
from tests.decider.played import Played
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
        - {name: e, type: wait_for_event, retry: {max_attempts: 2, initial_delay: 9s}, config: {event_type: e, timeout: "{{ vars.t }}"}}
        - {name: p, type: approval, retry: {max_attempts: 2}, config: {prompt: well, timeout: 1s}}
        - {name: c, type: workflow, retry: {max_attempts: 2}, config: {name: child}}
        - {name: g, type: parallel_group, retry: {max_attempts: 2}, config: {steps: [{name: a, type: work}, {name: b, type: noop}]}}
        - {name: s, type: set, delay: 5s, config: {t: soon}}
    """)
    story.child("c", error=FLAKY).failed("a", FLAKY).time(2)
    story.answer("p", 1).child("c").go()
    yield story
    good = Played("""
        steps:
        - {name: e, type: wait_for_event, retry: {max_attempts: 2}, config: {event_type: e, timeout: 1s}}
    """).time(2)
    yield good.event("e")


def _replaced() -> Played:
    """Steps for which something stands in, whatever they were doing when they failed."""
    return Played("""
        steps:
        - {name: a, type: work, on_failure: {action: fallback, fallback: {type: noop}}}
        - {name: b, type: set, config: {n: "{{ input.nothing }}"}, on_failure: {action: fallback, fallback: {type: noop}}}
        - {name: c, type: wait_for_event, config: {event_type: e, timeout: 1s}, on_failure: {action: fallback, fallback: {type: noop}}}
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
        - {name: a, type: work, cancels: [b, c, d, e]}
        - {name: b, type: work}
        - {name: c, type: work, retry: {max_attempts: 2, initial_delay: 1h}}
        - {name: d, type: wait, config: {for: 1h}}
        - {name: e, type: noop, depends_on: b}
    """)
    return story.failed("c", FLAKY).done("a")


def _by_hand() -> Iterator[Played]:
    """What operators do."""
    yield _reset_in_every_status()
    yield _undone_and_done_again()
    yield _paused()
    yield from _ended_and_going_on()


BY = {"by": "ada", "reason": "to see"}


def _reset_in_every_status() -> Played:
    raise NotImplementedError


def _undone_and_done_again() -> Played:
    raise NotImplementedError


def _paused() -> Played:
    raise NotImplementedError


def _ended_and_going_on() -> Iterator[Played]:
    raise NotImplementedError
