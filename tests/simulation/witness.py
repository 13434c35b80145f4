"""A witness: reads the history of an execution along with its definition, and says what may not happen.

It works out anew, at every event and from all edges, what the decider keeps counters for. It shares no code with it,
and is written to be plainly right rather than quick. Where steps can run more than once in a block, it knows less:
that nothing runs that no edge led to, and not more often than edges did.
"""

from __future__ import annotations

from typing import Any

from stepwell.definition.generated import generated_steps
from stepwell.definition.model import Bulkhead, WorkflowDefinition
from stepwell.execution.history import (
    ApprovalRequested,
    AttemptFailed,
    BlockEntered,
    BlockStarted,
    CancelRequested,
    ChildStarted,
    CompensationAwaited,
    CompensationEnded,
    CompensationStarted,
    ExecutionCancelled,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionFailing,
    ExecutionForked,
    ExecutionPaused,
    ExecutionResumed,
    FallbackStarted,
    HistoryEvent,
    Intervened,
    IterationStarted,
    LateCompletion,
    LockTaken,
    NotificationRequested,
    NotificationSettled,
    ResultReused,
    RolledBack,
    StepCancelled,
    StepCompensated,
    StepCompleted,
    StepFailed,
    StepHeld,
    StepReopened,
    StepReset,
    StepsAdded,
    StepScheduled,
    StepSkipped,
    TimerStarted,
    WaitStarted,
)
from tests.simulation.book import Line, book, kind_of, lines, synthetic
from tests.simulation.things import Ended, Thing, element_of
from tests.simulation.undoing import Undoing
from tests.simulation.verdicts import Verdicts

ENDED = (StepCompleted, StepFailed, StepSkipped, StepCancelled)
STARTS = (
    StepScheduled, WaitStarted, TimerStarted, ApprovalRequested, ChildStarted, BlockStarted, FallbackStarted,
)  # fmt: skip
INSIDE = (AttemptFailed, IterationStarted, BlockEntered, StepsAdded, LockTaken)
UNHANDLED = ("", "compensate")


class Witness:
    """Reads along."""

    def __init__(self, definition: WorkflowDefinition) -> None:
        self.book = dict(book(definition))
        self.things: dict[str, Thing] = {}
        self.limit = definition.config.max_parallel_steps
        self.drains = definition.config.failure_mode == "drain"
        self.undoing = Undoing(definition)
        self.verdicts = Verdicts(self.book, self.things, separate=definition.config.branches == "separate")
        self.failing = self.over = self.compensating = self.paused = self.cancelling = False
        self.intervened = False
        self.by_hand: set[str] = set()
        self.again: set[str] = set()
        self._count = 0
        self._to_cancel: list[tuple[Thing, str]] = []

    def see(self, event: HistoryEvent) -> None:
        """Raises: AssertionError: the event may not follow what was seen so far."""
        if isinstance(event, (NotificationRequested, NotificationSettled)):
            return  # what is told is of no consequence, whenever it is
        asked = isinstance(event, CompensationStarted | CompensationAwaited) and event.then == "answer"
        asked |= isinstance(event, (Intervened, ExecutionForked))
        assert not self.over or asked, f"{type(event).__name__} after the end"
        self.over &= not asked
        key = getattr(event, "step", None)
        if key is not None and isinstance(event, (*STARTS, *ENDED, *INSIDE, StepHeld)):
            self._see_step(self._thing(key), event)
        self._count += 1
        self._see_execution(event)

    def _see_execution(self, event: HistoryEvent) -> None:
        match event:
            case ExecutionFailing():
                self.failing = True
            case Intervened():
                self.intervened = self.verdicts.loose = True
                self.over = False
                self._to_cancel.clear()  # what is run again has not ended any more
                self.by_hand |= {event.details.get("step", ""), *event.details.get("steps", ())}
                self.failing = self.cancelling = self.compensating = False
            case StepReset() | StepReopened():
                self._see_again(event)
            case RolledBack():
                self.compensating = False
            case ExecutionForked():
                self.intervened = self.verdicts.loose = True
                self.cancelling = self.compensating = self.over = False
            case ExecutionPaused() | ExecutionResumed():
                self.paused = isinstance(event, ExecutionPaused)
            case CancelRequested():
                self.cancelling = True
            case CompensationStarted():
                assert self.failing or self.intervened or event.then != "fail", "a compensation without a failure"
                self._nothing_runs("a compensation begins")
                self.compensating = True
                self.undoing.begin(event, self.things.values(), self.book)
            case StepCompensated():
                self.undoing.see_compensated(event, self.things)
            case ResultReused():
                self.things[event.step].reused = True
            case LateCompletion():
                thing = self.things[event.step]
                thing.end = StepCompleted(event.at, event.step, event.started_at, event.output)
                thing.completed, thing.order = True, self._count
                self.undoing.add_late(event.step, event.place)
            case CompensationEnded():
                self._nothing_runs("the compensation ends")
                self.undoing.finish(event, self.things)
            case ExecutionCompleted() | ExecutionFailed() | ExecutionCancelled():
                self._nothing_runs("the end")
                if isinstance(event, ExecutionCompleted) and self.verdicts.separate and not self._is_disturbed():
                    self._see_all_led_to()
                self.over, self.paused = True, False
            case _:
                pass

    def _is_disturbed(self) -> bool:
        """Whether steps have not run that edges led to, for a reason."""
        return (
            self.intervened or self.failing or any(isinstance(one.end, StepCancelled) for one in self.things.values())
        )

    def _see_again(self, event: StepReset | StepReopened) -> None:
        """An operator has a step run again, or what is inside it."""
        self.again.add(event.step)
        thing = self.things.get(event.step)
        if thing is None:
            return
        if isinstance(event, StepReset):
            del self.things[event.step]
            if thing.owner is not None:
                thing.owner.failed_in.discard(thing.path)
        else:
            thing.end, thing.completed, thing.rounds = None, False, event.iteration + 1
            thing.block = thing.block if thing.block is not None else thing.last_block
            thing.failed_in.clear()

    def _nothing_runs(self, when: str) -> None:
        running = [thing.key for thing in self.things.values() if thing.running]
        assert not running, f"{when} while {running} run"

    def _thing(self, key: str) -> Thing:
        """The instance of that key; a new one is looked at: it must be due."""
        thing = self.things.get(key)
        return thing if thing is not None else Thing(key)

    # ── One step ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _see_step(self, thing: Thing, event: Any) -> None:
        if thing.name not in self.book and ":" in thing.name:
            self.book[thing.name] = synthetic(thing.name)
        assert thing.name in self.book, f"{thing.key}: there is no such step"
        assert thing.end is None, f"{thing.key}: {type(event).__name__} after its end"
        if thing.key not in self.things:
            self._see_first(thing, event)
            self.things[thing.key] = thing
        match event:
            case StepHeld():
                thing.held = event
                thing.delayed |= event.reason == "delay"
            case _ if isinstance(event, STARTS):
                self._see_start(thing, event)
            case BlockEntered():
                self._see_nothing_inside(thing)
                thing.block, thing.rounds = event.block, event.index + 1
            case StepsAdded():
                self._see_nothing_inside(thing)
                thing.block = "added"
                self._add_steps(thing, event)
            case IterationStarted():
                self._see_round(thing, event)
            case LockTaken():
                thing.locked = True
            case AttemptFailed():
                self._see_nothing_inside(thing)
                thing.running, thing.block, thing.held, thing.last_block = False, None, None, thing.block
                thing.failed_in.clear()
            case _:
                self._see_end(thing, event)

    def _see_first(self, thing: Thing, event: Any) -> None:
        """Something happens to a step for the first time: its edges must allow it, or rule it out."""
        line = self.book[thing.name]
        if element_of(thing.key) == "undo" or (line.group == "compensation" and line.parent is None and not thing.path):
            self.undoing.see_first(thing, self.things)
            return
        if element_of(thing.key) == "compensation":
            assert self.undoing.under_way, f"{thing.key} compensates outside of a compensation"
            return
        thing.owner = self._owner(thing, line)
        if isinstance(event, StepCancelled) or line.group != "steps":
            return
        if isinstance(event, StepSkipped) and event.reason == "not_taken":
            assert thing.owner is not None, f"{thing.key} is in no branch"
            assert line.block != thing.owner.block, f"{thing.key} is in the branch that is taken"
            return
        if isinstance(event, StepSkipped) and event.reason == "dead_path":
            self._see_dead(thing, line)
            return
        self._see_due(thing, line)

    def _see_due(self, thing: Thing, line: Line) -> None:
        assert not self.compensating, f"{thing.key} is due during the compensation"
        assert self.drains or not self.failing, f"{thing.key} is due after a failure"
        owner = thing.owner
        if owner is not None and owner.name != thing.name:
            fits = owner.block in (line.block, "") or (":" in thing.name and str(owner.block).endswith(".waiting"))
            assert fits, f"{thing.key} is due in {line.block}, while {owner.block} runs"
        if owner is not None and not self._holds_on(owner):
            assert thing.path not in owner.failed_in, f"{thing.key} is due where another step has failed"
        if (owner is not None and owner.name == thing.name) or thing.key in self.by_hand:
            return
        said = self.verdicts.of(thing, line)
        assert said == "run", f"{thing.key} is due, but its edges say: {said}"
        if not self.intervened and line.winding == "each" and line.join == "each":
            self._see_nothing_ran_before(thing)

    def _see_nothing_ran_before(self, thing: Thing) -> None:
        """What waits for all runs of a step that runs for each edge has not run yet."""
        for other in self.things.values():
            line = self.book[other.name]
            waits = line.winding == "each" and line.join in ("all", "sync") and not self.verdicts.is_separate(other)
            leads = any(way.source == thing.name for way in line.inbound)
            has_run = not isinstance(other.end, StepCancelled) and getattr(other.end, "reason", "") != "dead_path"
            early = waits and leads and other.path == thing.path and has_run
            assert not early, f"{other.key} has run before {thing.key}"

    def _see_dead(self, thing: Thing, line: Line) -> None:
        if self.verdicts.is_separate(thing):
            self._see_over(thing)
            return
        if line.winding == "cycle" and line.join not in ("any", "sync", "each"):
            return
        said = self.verdicts.of(thing, line)
        fine = said == "dead" or (
            self.intervened and said == "open"
        )  # dead paths may be recorded again in another order
        assert fine, f"{thing.key} is skipped as dead, but its edges say: {said}"

    def _see_over(self, thing: Thing) -> None:
        """Where branches are separate no path is dead before nothing runs any more."""
        left = [
            other.key
            for other in self.things.values()
            if other.owner is None and other.end is None and self.book[other.name].group == "steps"
        ]  # hooks run beside steps that a migration has added
        assert not left, f"{thing.key} is skipped as dead, while {left} have not ended"

    def _see_all_led_to(self) -> None:
        """Where branches are separate, and steps join nothing, every taken edge has led to a run of its own."""
        for line in self.book.values():
            joins = line.step.join not in (None, "each") or line.step.depends_on
            if line.parent is None and line.group == "steps" and line.inbound and not joins:
                runs = [thing for thing in self.things.values() if thing.name == line.step.name and not thing.path]
                led = self.verdicts.times_led(Thing(line.step.name), line)
                dead = [thing for thing in runs if getattr(thing.end, "reason", "") == "dead_path"]
                assert len(runs) - len(dead) == led, f"{line.step.name} has run {len(runs)} times, and was led to {led}"

    def _holds_on(self, owner: Thing) -> bool:
        """Whether other steps go on in it after one has failed."""
        kind = kind_of(self.book[owner.name].step)
        return self.drains or kind in ("parallel_group", "for_each", "repeat") or owner.block == "fallback"

    def _owner(self, thing: Thing, line: Line) -> Thing | None:
        """The instance that this one is nested in; it must be running."""
        names = {line.parent, thing.name} - {None}
        owners = [
            other
            for other in self.things.values()
            if other.name in names and other is not thing and thing.path in other.inner_paths() and other.end is None
        ]
        inner = [other for other in owners if other.name == thing.name and other.path != thing.path]
        outer = [other for other in owners if other.name == line.parent]
        if not inner and line.parent is None:
            assert not thing.path, f"{thing.key} is in nothing that runs"
            return None
        found = inner or outer
        assert found, f"{thing.key} is in nothing that runs"
        assert found[-1].block is not None, f"{thing.key} is in {found[-1].key}, which has not begun"
        return found[-1]

    def _see_start(self, thing: Thing, event: Any) -> None:
        line = self.book[thing.name]
        own = line.group == "steps" and element_of(thing.key) not in ("undo", "compensation")
        if own and not isinstance(event, FallbackStarted):
            assert not self.paused, f"{thing.key} starts while the execution is paused"
            assert not self.cancelling, f"{thing.key} starts although the execution is being cancelled"
            assert self.drains or not self.failing or thing.owner, f"{thing.key} starts after a failure"
            assert not self.compensating, f"{thing.key} starts during the compensation"
        self._see_not_held(thing, line, event, own=own)
        if isinstance(event, BlockStarted):
            thing.block, thing.items, thing.attempt, thing.rounds = event.block, event.items, event.attempt, 0
        elif isinstance(event, FallbackStarted):
            thing.block, thing.running = "fallback", False
        elif isinstance(event, StepScheduled):
            thing.running = True
            self._see_limit(line)
        thing.held, thing.begun = None, True

    def _add_steps(self, thing: Thing, event: StepsAdded) -> None:
        steps, problem = generated_steps(event.steps)
        assert problem is None, f"{thing.key} adds steps that are none: {problem}"
        self.book.update({line.step.name: line for line in lines(steps, "steps", thing.name, "added")})

    def _see_not_held(self, thing: Thing, line: Line, event: Any, *, own: bool) -> None:
        """What held the step back must be over."""
        held, most = thing.held, line.step.max_visits
        if held is not None and held.reason == "delay" and held.due is not None:
            assert event.at >= held.due, f"{thing.key} starts before its delay is over"
        assert most is None or thing.visit <= most, f"{thing.key} is visited more often than {most} times"
        inside = thing.owner is not None and thing.owner.name == thing.name
        if isinstance(event, FallbackStarted) or thing.attempt or inside or not own:
            return
        if line.step.delay and not self.intervened:
            assert thing.delayed, f"{thing.key} starts without its delay"
        if line.step.mutex is not None:
            assert thing.locked, f"{thing.key} starts without its lock"
        milestone = line.step.milestone
        if milestone is not None and not thing.begun:
            for name in milestone.after:
                end = self._latest_end_of(thing, name)
                assert isinstance(end, StepCompleted), f"{thing.key} starts before {name} has completed"
            for name in milestone.before:
                assert self._latest_end_of(thing, name) is None, f"{thing.key} starts after {name} has ended"

    def _beside(self, thing: Thing, name: str) -> list[Thing]:
        """The runs of a step that stands beside this one, or around it, in the order of their visits."""
        here: Thing | None = thing
        while here is not None:
            found = [other for other in self.things.values() if (other.name, other.path) == (name, here.path)]
            if found and self.book[name].parent == self.book[here.name].parent:
                return sorted(found, key=lambda other: other.visit)
            here = here.owner
        return []

    def _latest_end_of(self, thing: Thing, name: str) -> Ended | None:
        """How that step has ended the last time that it ran."""
        found = self._beside(thing, name)
        return found[-1].end if found else None

    def _see_limit(self, line: Line) -> None:
        if self.limit is not None and not self.compensating and line.group == "steps":
            running = [thing.key for thing in self.things.values() if thing.running]
            assert len(running) <= self.limit, f"{running} run at once, more than {self.limit}"

    def _see_round(self, thing: Thing, event: IterationStarted) -> None:
        step = self.book[thing.name].step
        assert event.index == thing.rounds, f"{thing.key}: round {event.index} after {thing.rounds} rounds"
        if thing.items is not None:
            assert event.index < len(thing.items), f"{thing.key}: round {event.index} of {len(thing.items)}"
        thing.rounds += 1
        most = step.for_each.concurrency if step.for_each else step.config.get("concurrency", 1)
        if isinstance(most, int) and kind_of(step) != "repeat":
            running = {other.path for other in self._inside(thing) if other.end is None}
            assert len(running) < most, f"{thing.key}: round {event.index} beside {sorted(running)}, {most} at once"

    def _inside(self, thing: Thing) -> list[Thing]:
        return [other for other in self.things.values() if other.owner is thing]

    def _see_nothing_inside(self, thing: Thing) -> None:
        left = [other.key for other in self._inside(thing) if other.end is None]
        assert not left, f"{thing.key} ends while {left} inside it have not"

    def _see_end(self, thing: Thing, event: Ended) -> None:
        self._see_nothing_inside(thing)
        thing.end, thing.running, thing.order = event, False, self._count
        thing.completed = isinstance(event, StepCompleted)
        if isinstance(event, StepFailed) and event.handled == "fallback" and thing.block != "fallback":
            self._see_fallback(thing, event)
        if isinstance(event, StepFailed) and self.book[thing.name].group == "steps" and not self.compensating:
            self.failing |= event.handled in UNHANDLED
            if event.handled == "up" and thing.owner is not None:
                thing.owner.failed_in.add(thing.path)
        self._see_edges(thing, event)
        if isinstance(event, StepCompleted):
            if thing.block is not None:
                self._see_results(thing, event)
            if element_of(thing.key) not in ("undo", "compensation"):
                self._to_cancel += [(thing, name) for name in self.book[thing.name].step.cancels]

    def end_row(self) -> None:
        """A turn is over: what a completed step cancels has ended.

        Raises: AssertionError: it has not.
        """
        for thing in self.things.values():
            if thing.block is not None and thing.end is None and not self.failing and not self.intervened:
                self._see_enough(thing)
        pending, self._to_cancel = self._to_cancel, []
        for thing, name in pending:
            if thing.owner is None or thing.owner.name != thing.name:
                first = self._beside(thing, name)[:1]  # a later visit may be what its edges led to
                assert first, f"{thing.key} has completed, and nothing has happened to {name}"
                assert first[0].end is not None, f"{thing.key} has completed, and {name} has not ended"

    def _see_edges(self, thing: Thing, event: Ended) -> None:
        """Only edges that a condition decides are recorded, and of the branches of a decision one."""
        edges, groups = self.book[thing.name].step.edges, set[int]()
        for number in getattr(event, "taken", ()):
            edge = edges[number]
            assert edge.when is not None or edge.decision is not None, f"{thing.key}: edge {number} has no condition"
            if edge.decision is not None:
                assert edge.decision not in groups, f"{thing.key}: two branches of a decision are taken"
                groups.add(edge.decision)

    def _see_results(self, thing: Thing, event: StepCompleted) -> None:
        """A construct has completed: its rounds are all there, and the results of `for_each` stand in item order."""
        step = self.book[thing.name].step
        if thing.items is not None:
            assert thing.rounds == len(thing.items), f"{thing.key}: {thing.rounds} rounds for {len(thing.items)} items"
        inner = [line for line in self.book.values() if line.parent == thing.name]
        if kind_of(step) == "conditional":
            left = [line.step.name for line in inner if self._end_inside(thing, line.step.name) is None]
            assert not left, f"{thing.key} has completed, and {left} have not ended"
        if kind_of(step) == "parallel_group" and not any(line.winding for line in inner):
            self._see_group(thing, [self._end_inside(thing, line.step.name) for line in inner])
        if kind_of(step) != "for_each" or step.output is not None:
            return
        paths = list(thing.inner_paths())[1:]
        rounds = [self.things.get(f"{thing.name}[{path}]") for path in paths]
        left = [path for path, inner in zip(paths, rounds, strict=True) if inner is None]
        assert not left, f"{thing.key} has completed, and nothing ever happened to the items {left}"
        ends = [inner.end for inner in rounds if inner is not None]
        wanted = [_given(end) for end in ends]
        assert event.output == wanted, f"{thing.key}: the results are {event.output}, those of the items {wanted}"

    def _see_fallback(self, thing: Thing, event: StepFailed) -> None:
        """The value that stands in for a step is the one that its definition names."""
        step = self.book[thing.name].step
        values = [
            action.fallback.value
            for action in (step.on_failure, step.on_timeout)
            if action is not None and action.fallback is not None and action.fallback.body is None
        ]
        values += (
            [step.bulkhead.fallback.value] if isinstance(step.bulkhead, Bulkhead) and step.bulkhead.fallback else []
        )
        if not any("{{" in str(value) for value in values):
            assert event.output in values, f"{thing.key} falls back to {event.output}, which is none of {values}"

    def _see_group(self, thing: Thing, ends: list[Ended | None]) -> None:
        """Enough of a group have completed."""
        wish = self.book[thing.name].step.config.get("wait_for") or "all"
        done = sum(isinstance(end, StepCompleted) or getattr(end, "handled", "") == "fallback" for end in ends)
        if wish != "all":
            wanted = 1 if wish == "any" else int(wish)
            assert done >= wanted, f"{thing.key} has completed with {done} of {wanted} steps"
        else:
            assert None not in ends, f"{thing.key} has completed, and not all of its steps have ended"

    def _see_enough(self, thing: Thing) -> None:
        """A group of which enough have completed has ended."""
        wish = self.book[thing.name].step.config.get("wait_for", "all")
        winding = any(line.winding for line in self.book.values() if line.parent == thing.name)
        if (
            kind_of(self.book[thing.name].step) == "parallel_group"
            and not winding
            and wish != "all"
            and thing.block != "fallback"
        ):
            wanted = 1 if wish == "any" else int(wish)
            path = next(iter(thing.inner_paths()))
            done = sum(inner.completed and inner.path == path for inner in self._inside(thing))
            assert done < wanted, f"{thing.key} goes on, although {done} of {wanted} steps have completed"

    def _end_inside(self, thing: Thing, name: str) -> Ended | None:
        """How a step inside this one ended."""
        path = next(iter(thing.inner_paths()))
        inner = self.things.get(f"{name}[{path}]" if path else name)
        return inner.end if inner is not None else None


def _given(end: Ended | None) -> Any:
    """What a step gave, or what stands in for it."""
    if isinstance(end, StepCompleted) or (isinstance(end, StepFailed) and end.handled == "fallback"):
        return end.output
    return None
