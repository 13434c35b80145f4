"""Whatever ran, in whatever order, wherever the process is lost: what completed is undone, once, in order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stepwell.decider.keys import split_key, undo_key, undone_key
from stepwell.execution.evolve import fold
from stepwell.execution.history import (
    CompensationEnded,
    CompensationStarted,
    LateCompletion,
    StepCompensated,
    StepCompleted,
    StepFailed,
    StepScheduled,
)
from stepwell.execution.inputs import TimersDue
from stepwell.execution.verbs import Cancel, Compensate
from stepwell.execution.work import Report
from tests.decider.compensating import Twin
from tests.decider.story import BOOM, FLAKY, SECOND

UNDO = {"type": "python", "config": {"task": "undo"}}
RETRY = {"max_attempts": 2, "backoff": "constant", "initial_delay": 1}


class Leaves:
    """The steps of a workflow that do work and say how they are undone, in the order of the document: by name, how many
    rounds they stand in."""

    def __init__(self) -> None:
        self.rounds: dict[str, int] = {}

    def is_run(self, key: str) -> bool:
        """Whether the instance is a run of one of them, and not of a layer around it, nor what undoes it."""
        name, path, _ = split_key(key)
        parts = path.split(",") if path else []
        return not any(part.isalpha() for part in parts) and sum(map(str.isdigit, parts)) == self.rounds.get(name)

    def place(self, key: str) -> int:
        """Where in the document it stands."""
        return list(self.rounds).index(split_key(key)[0])


@st.composite
def workflows(draw: st.DrawFn) -> tuple[dict[str, Any], Leaves]:
    """The spec of a workflow that fails in the end, if it did not before."""
    leaves, numbers = Leaves(), count()

    def leaf(rounds: int) -> dict[str, Any]:
        name = f"s{len(leaves.rounds)}"
        leaves.rounds[name] = rounds
        args = {"of": f"{{{{ steps.{name}.output.of }}}}"}
        step: dict[str, Any] = {"name": name, "type": "python", "config": {"task": "work"}}
        step["compensate"] = {"type": "python", "config": {"task": "undo", "args": args}}
        if draw(st.booleans()):
            step["compensate"]["retry"] = RETRY
        if draw(st.integers(0, 3)) == 0:
            leaves.rounds[name] += 1
            step["for_each"] = {"items": list(range(draw(st.integers(0, 3)))), "concurrency": draw(st.integers(1, 2))}
            step["compensate"]["config"]["args"] = {**args, "item": "{{ item }}"}
        return step

    def block(rounds: int, level: int) -> list[dict[str, Any]]:
        steps: list[dict[str, Any]] = []
        for _ in range(draw(st.integers(1, 3 if level == 0 else 2))):
            kind = draw(st.sampled_from(["leaf"] * 4 + (["loop", "group", "if"] if level < 2 else [])))
            name = f"b{next(numbers)}"
            if kind == "leaf":
                step = leaf(rounds)
            elif kind == "loop":
                config = {"count": draw(st.integers(1, 2)), "steps": block(rounds + 1, level + 1)}
                step = {"name": name, "type": "loop", "config": config}
            elif kind == "group":
                step = {"name": name, "type": "parallel_group", "config": {"steps": block(rounds, level + 1)}}
            else:
                config = {"condition": "{{ true }}", "then": block(rounds, level + 1)}
                step = {"name": name, "type": "conditional", "config": config}
            if kind != "leaf" and draw(st.integers(0, 2)) == 0:
                step["retry"] = RETRY
            follows: bool = draw(st.booleans())
            if steps and follows:
                step["depends_on"] = [steps[-1]["name"]]
            steps.append(step)
        return steps

    steps = block(0, 0)
    steps.append({"name": "end", "type": "fail", "depends_on": [step["name"] for step in steps]})
    config: dict[str, Any] = {
        "failure_mode": draw(st.sampled_from(["fail_fast", "drain"])),
        "cancellation": {"policy": draw(st.sampled_from(["allow_finish", "cancel_running"])), "compensate": True},
    }
    if draw(st.booleans()):
        config["max_parallel_steps"] = draw(st.integers(1, 2))
    if draw(st.integers(0, 2)) == 0:
        hook = {"name": "h0", "type": "python", "config": {"task": "note"}}
        config["on_error"] = {"strategy": "compensate", "steps": [hook]}
    compensation: dict[str, Any] = {
        "strategy": draw(st.sampled_from(["reverse", "reverse", "forward", "parallel"])),
        "mode": draw(st.sampled_from(["automatic", "automatic", "manual"])),
    }
    kinds = draw(st.lists(st.sampled_from(["noop", "python"]), max_size=2))
    if kinds:
        compensation["steps"] = [
            {"name": f"u{at}", "type": kind, "config": {"task": "undo"} if kind == "python" else {}}
            for at, kind in enumerate(kinds)
        ]
    return {"config": config, "steps": steps, "compensation": compensation}, leaves


def choices(story: Twin) -> Iterator[tuple[Any, int]]:
    """What could come in now, each with the time that passes before."""
    for key, work in list(story.work.items()):
        for outcome in ({"result": {"of": key}}, {"result": {"of": key}}, {"error": BOOM}, {"error": FLAKY}):
            yield _report(key, work.attempt, story.at, **outcome), 0
    due = story.run.next_due()
    if due is not None:
        yield TimersDue(), max(0, due - story.at)
    if story.state.compensation_awaited:
        yield Compensate(by="ada"), SECOND
    elif story.state.status == "running" and story.state.cancel is None:
        yield Cancel(by="ada"), 0
    for key, step in story.state.steps.items():
        if step.status == "cancelled" and step.attempts:
            yield _report(key, step.attempts, story.at, result={"of": key}), 0


def _report(key: str, attempt: int, at: int, **said: Any) -> Report:
    return Report(execution="x", step=key, attempt=attempt, started_at=at, **said)


def play(spec: dict[str, Any], picks: list[int]) -> Twin:
    """Let things happen as `picks` says, and then do all that is asked for, until the end."""
    story = Twin(json.dumps(spec, indent=1))
    for pick in [*picks, *[0] * 400]:
        if story.ended:
            return story
        possible = list(choices(story))
        came_in, after = possible[pick % len(possible)]
        story.when(came_in, after)
        if isinstance(came_in, Report) and came_in.step in story.work:
            step = story.step(came_in.step)
            if step.status != "running" or step.attempts != story.work[came_in.step].attempt:
                del story.work[came_in.step]
    raise AssertionError("it does not end")


class Witness:
    """Reads a history along and says what must follow. It shares no code with the decider."""

    def __init__(self, spec: dict[str, Any], leaves: Leaves) -> None:
        self.leaves = leaves
        self.strategy = spec["compensation"]["strategy"]
        self.completed: list[str] = []
        self.begun: list[str] = []
        self.running: set[str] = set()
        self.compensating = self.late = False

    def see(self, event: Any) -> None:
        """Check that the event may follow what was seen so far."""
        key = getattr(event, "step", "")
        undone = undone_key(key) if key else None
        if isinstance(event, (StepCompleted, LateCompletion)) and self.leaves.is_run(key):
            assert key not in self.completed
            self.completed.append(key)
            self.late |= isinstance(event, LateCompletion)
        if isinstance(event, CompensationStarted):
            self.compensating = True
        if undone is not None and isinstance(event, StepScheduled):
            self._begin(undone, event.attempt)
        if undone is not None and isinstance(event, (StepCompleted, StepFailed)):
            self.running.discard(undone)
        if isinstance(event, StepCompensated):
            assert key in self.begun
        if isinstance(event, CompensationEnded):
            assert sorted(self.begun) == sorted(self.completed), "exactly what completed is undone"

    def _begin(self, key: str, attempt: int) -> None:
        assert self.compensating
        assert key in self.completed, "only what completed is undone"
        if attempt == 1:
            left = [one for one in self.completed if one not in self.begun]
            assert key in left, "each once"
            if self.strategy == "reverse":
                assert key == left[-1]
            elif self.strategy == "forward" and not self.late:
                assert self.leaves.place(key) == min(self.leaves.place(one) for one in left)
            self.begun.append(key)
        assert self.strategy == "parallel" or self.running <= {key}, "one after the other"
        self.running.add(key)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(made=workflows(), picks=st.lists(st.integers(0, 400), max_size=40))
def test_exactly_what_completed_is_undone_once_and_in_order(
    made: tuple[dict[str, Any], Leaves], picks: list[int]
) -> None:
    spec, leaves = made
    story = play(spec, picks)
    witness = Witness(spec, leaves)
    for event in story.history:
        witness.see(event)
    assert story.state == fold(story.history)
    _check_end(story, witness)


def _check_end(story: Twin, witness: Witness) -> None:
    state = story.state
    if not story.events(CompensationEnded):
        assert state.status == "cancelled" or not story.events(CompensationStarted)
        return
    for key in witness.completed:
        undo = story.step(undo_key(key))
        assert undo.status in ("completed", "failed")
        assert story.status(key) == ("compensated" if undo.status == "completed" else "completed")
        assert undo.input is not None
        assert undo.input["args"]["of"] == key, "it is undone with what it gave itself"
    listed = [story.step(node.name).status for node in story.plan.compensation]
    assert all(status in ("completed", "failed") for status in listed)
    failed = "failed" in listed or any(story.step(undo_key(key)).status == "failed" for key in witness.completed)
    assert state.compensation == ("failed" if failed else "done" if listed or witness.completed else "nothing")
    assert state.status == ("cancelled" if state.compensation_then == "cancel" and not failed else "failed")


def test_the_witness_would_notice() -> None:
    """The checks are not empty: a history in which one undoing is left out does not pass."""
    spec = {
        "compensation": {"strategy": "reverse"},
        "steps": [
            {"name": "s0", "type": "python", "config": {"task": "work"}, "compensate": UNDO},
            {"name": "end", "type": "fail", "depends_on": ["s0"]},
        ],
    }
    leaves = Leaves()
    leaves.rounds = {"s0": 0}
    story = play(spec, [])
    witness, complaints = Witness(spec, leaves), 0
    for event in story.history:
        if isinstance(event, StepScheduled) and event.step == "s0[undo]":
            continue
        try:
            witness.see(event)
        except AssertionError:
            complaints += 1
    assert complaints
