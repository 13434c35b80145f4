"""What must hold in every simulation, each as a function with a name that says it.

They raise `AssertionError` when it does not hold. `AT_DISPATCH` are asked of every attempt that is handed to a
worker, `AT_REST` whenever nothing more can happen at an instant, `AT_END` when everything is over. What must hold for
each event of a history stands in `witness`.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from stepwell.decider.notifying import is_delivery
from stepwell.decider.outstanding import outstanding
from stepwell.decider.replay import replay
from stepwell.definition.model import Bulkhead, RateLimit
from stepwell.engine.children import TELL
from stepwell.execution.commands import AwaitEvent, Deliver, RunStep
from stepwell.execution.event import ANSWER, SIGNAL, Event
from stepwell.execution.evolve import fold
from stepwell.execution.history import (
    ApprovalRequested,
    AttemptFailed,
    ChildStarted,
    EventLate,
    EventReceived,
    ExecutionCompleted,
    ExecutionForked,
    FallbackStarted,
    HistoryEvent,
    ResultReused,
    StepCancelled,
    StepCompleted,
    StepFailed,
    StepHeld,
    StepReset,
    StepScheduled,
    TimerStarted,
    WaitStarted,
)
from stepwell.execution.status import ENDED_EXECUTION, ENDED_STEP, StepStatus
from stepwell.execution.work import Assignment
from tests.simulation.book import most_attempts
from tests.simulation.locks import own_events
from tests.simulation.things import element_of, parts

if TYPE_CHECKING:
    from tests.simulation.ledger import Ledger
    from tests.simulation.world import World


STAND_INS: Final = ("fallback", "undo", "compensation")
"""Elements of a key that say that something else runs than the step itself."""


ATTEMPT_ENDS: Final = (AttemptFailed, StepCompleted, StepFailed, StepCancelled, FallbackStarted, StepReset)


class Violation(Exception):
    """Something that must hold does not. `invariant` is its name."""

    def __init__(self, invariant: str, message: str) -> None:
        super().__init__(invariant, message)
        self.invariant = invariant
        self.message = message

    def __str__(self) -> str:
        return f"{self.invariant}: {self.message}"


# ── When an attempt is handed to a worker ────────────────────────────────────────────────────────────────────────────


def nothing_is_dispatched_before_it_is_recorded(world: World, work: Assignment) -> None:
    """The attempt is one that the committed history says was scheduled."""
    ledger = world.ledgers.get(work.execution)
    assert ledger is not None, "an attempt of an execution that is not stored"
    scheduled = [
        event.attempt for event in ledger.history if isinstance(event, StepScheduled) and event.step == work.step
    ]
    assert work.attempt in scheduled, f"{work.id} is dispatched, but {scheduled} are recorded as scheduled"


def what_is_recorded_does_not_run_again(world: World, work: Assignment) -> None:
    """An attempt with a recorded end is never dispatched.

    (But for one that a later turn of the same commit has cancelled: its work is stopped in the same moment.)
    """
    ends: list[HistoryEvent] = []
    for event in world.ledgers[work.execution].history:
        if isinstance(event, StepScheduled) and (event.step, event.attempt) == (work.step, work.attempt):
            ends = []
        elif isinstance(event, ATTEMPT_ENDS) and event.step == work.step:
            ends.append(event)
    fine = not ends or isinstance(ends[0], StepCancelled)
    assert fine, f"{work.id} is dispatched, but it is recorded: {ends[0]}"


def nothing_is_sent_before_it_is_recorded_nor_after_it_is_settled(world: World, work: Assignment) -> None:
    """A delivery that is made, for the first time or again, is one that the committed history says is pending."""
    ledger = world.ledgers.get(work.execution)
    assert ledger is not None, "a delivery of an execution that is not stored"
    number, place = (int(part) for part in work.step[1:].split("."))
    told = ledger.state.notifications
    assert number <= len(told), f"{work.id} is sent, and not recorded"
    outcome = told[number - 1].deliveries[place - 1].outcome
    assert outcome == "pending", f"{work.id} is sent, and recorded as {outcome}"
    world.tried["deliveries"] += 1


def no_more_executions_are_at_work_than_allowed(world: World, work: Assignment) -> None:
    """The limit of workflows holds at every dispatch."""
    limit = world.scenario.max_workflows
    if limit is not None and world.life is not None:
        out = world.life.work.out.values()
        at_work = {one.execution for one in out if not is_delivery(one.step)} | {work.execution}
        assert len(at_work) <= limit, f"{len(at_work)} executions are at work, {limit} are allowed"


def a_second_delivery_is_the_same_work(world: World, work: Assignment) -> None:
    """An attempt that is dispatched again after a power cut has the same settings and the same key."""
    work = msgspec.structs.replace(work, version="")  # an operator may have it go on with another one
    first = world.assignments.setdefault(work.id, work)
    assert first == work, f"{work.id} was {first}, and is now {work}"


def every_attempt_has_the_settings_of_the_first(world: World, work: Assignment) -> None:
    """What a retry is given is what the first attempt was given."""
    first = world.settings.setdefault(work.idempotency_key, work.config)
    assert first == work.config, f"{work.id} is given {work.config}; the first attempt was given {first}"


def bulkheads_hold(world: World, work: Assignment) -> None:
    """No more attempts of a step with a bulkhead are at work at once than that allows."""
    name = parts(work.step)[0]
    bulkhead = world.ledgers[work.execution].witness.book[name].step.bulkhead
    if isinstance(bulkhead, Bulkhead) and world.life is not None and element_of(work.step) not in STAND_INS:
        out = [one for one in world.life.work.out.values() if one.workflow == work.workflow]
        out = [one for one in out if not is_delivery(one.step)]
        same = [one for one in out if parts(one.step)[0] == name and element_of(one.step) not in STAND_INS]
        busy = {one.id for one in same} | {work.id}
        assert len(busy) <= bulkhead.max_concurrent, f"{sorted(busy)} are at work at once"


def rate_limits_hold(world: World, work: Assignment) -> None:
    """No more attempts of a step with a rate limit begin in its time than that allows."""
    name = parts(work.step)[0]
    limit = world.ledgers[work.execution].witness.book[name].step.rate_limit
    if isinstance(limit, RateLimit) and world.life is not None and element_of(work.step) not in STAND_INS:
        began = world.life.begun[work.workflow, name]
        began.append(world.agenda.now)
        recent = [instant for instant in began if instant > world.agenda.now - limit.per]
        assert len(recent) <= limit.limit, f"{len(recent)} attempts of {name} have begun, {limit.limit} are allowed"


# ── When nothing more can happen at this instant ─────────────────────────────────────────────────────────────────────


def what_is_in_memory_is_what_is_recorded(world: World) -> None:
    """The state of every execution in memory, with nothing on its way to the store, is the fold of its rows."""
    for hot in world.settled():
        ledger = world.ledgers[hot.handle.id]
        assert hot.run.state == ledger.state, "the state in memory is not the fold of the history"


def what_is_asked_for_is_what_is_outstanding(world: World) -> None:
    """Workers do, or will get, exactly what a recovery would dispatch; and the store has exactly its waits.

    (What is held for a place may have ended by a report of before a power cut; then it is not dispatched any more.)
    """
    assert world.life is not None
    out = world.life.work.out
    waits = defaultdict[str, set[tuple[str, str]]](set)
    for (event_type, _), places in world.content.waits.items():
        for (_, step), record in places.items():
            waits[record.handle.id].add((step, event_type))
    for hot in world.settled():
        commands = outstanding(hot.run)
        id_ = hot.handle.id
        wanted = {one.assignment.id for one in commands if isinstance(one, (RunStep, Deliver))}
        held = {one.assignment.id for one in hot.held} | world.life.engine._loop.outgoing.gatekeeper.passages.keys()
        busy = {one.id for one in out.values() if one.execution == id_}
        assert wanted == busy | (held & wanted), (
            f"outstanding: {sorted(wanted)}; workers: {sorted(busy)}; held: {sorted(held)}"
        )
        asked = {(one.step, one.event_type) for one in commands if isinstance(one, AwaitEvent)}
        assert asked == waits[id_], f"outstanding waits: {sorted(asked)}; in the store: {sorted(waits[id_])}"


def nothing_lies_in_an_inbox(world: World) -> None:
    """What was put into the inbox of a shard that is owned is acted on at once: only a commit may still be awaited."""
    assert world.life is not None
    engine = world.life.engine
    if engine._loop.committer._idle.is_set():
        left = [item for item in world.content.inbox.values() if item.shard in engine.shards]
        assert not left, f"{len(left)} items lie in the inbox, and nobody looks"


def who_is_not_in_memory_needs_nothing(world: World) -> None:
    """An execution that was dropped from memory has ended or is parked, and its row says when it is due."""
    assert world.life is not None
    for ledger in filter(world.is_here, world.ledgers.values()):
        if world.life.engine._ground.loaded.get(ledger.id) is None:
            assert not ledger.state.untold, f"execution {ledger.number} is not in memory, and somebody is to be told"
        if world.life.engine._ground.loaded.get(ledger.id) is None and not ledger.ended:
            run = replay(ledger.plan, ledger.history)
            summary = world.content.records[ledger.id].summary
            assert not summary.hot, f"execution {ledger.number} is not in memory, and its row says it must be"
            assert summary.wake_at == run.next_due(), (
                f"execution {ledger.number} is due at {run.next_due()}, its row says {summary.wake_at}"
            )


# ── When everything is over ──────────────────────────────────────────────────────────────────────────────────────────


def no_acknowledged_start_is_lost(world: World) -> None:
    """Whatever was answered with an id is stored, and the same key gave the same id."""
    by_key: dict[str, set[str]] = defaultdict(set)
    for id_, key in world.acknowledged:
        assert id_ in world.content.records, "an acknowledged start was lost"
        if key is not None:
            by_key[key].add(id_)
    for key, ids in by_key.items():
        assert len(ids) == 1, f"the key {key!r} gave {len(ids)} executions"


def history_replays_to_the_stored_state(world: World) -> None:
    """The rows, decoded, fold to the state; from a snapshot in the middle too; and the summary says the same."""
    for ledger in world.ledgers.values():
        rows = world.content.records[ledger.id].rows(0)
        events = [event for row in rows for event in world.codec.decode_events(row.events)]
        assert events == ledger.history, "what is stored is not what was committed"
        whole = fold(events)
        assert whole == ledger.state, "the history folds to another state the second time"
        middle = ledger.rows[len(ledger.rows) // 2]
        snapshot = world.codec.decode_state(world.codec.encode_state(fold(events[:middle])))
        assert fold(events[middle:], snapshot) == whole, "a snapshot and the rest fold to another state"
        assert world.content.records[ledger.id].summary.status == whole.status, "its row shows another status"


def an_attempt_has_one_result(world: World) -> None:
    """Between one scheduling of a step and the next, one end of the attempt is recorded."""
    for ledger in world.ledgers.values():
        open_ = set[str]()
        for event in ledger.history:
            if isinstance(event, StepScheduled):
                assert event.step not in open_, f"{event.step} is scheduled while an attempt of it runs"
                open_.add(event.step)
            elif isinstance(event, ATTEMPT_ENDS):
                open_.discard(event.step)
        assert not open_, f"{sorted(open_)} have no recorded end"


def what_is_recorded_is_what_the_attempt_did(world: World) -> None:
    """The result and the errors in a history are those of the attempts that they are recorded for."""
    for ledger in world.ledgers.values():
        running: dict[str, int] = {}
        for event in ledger.history:
            if isinstance(event, StepScheduled):
                running[event.step] = event.attempt
            elif isinstance(event, (AttemptFailed, StepCompleted)) and event.step in running:
                attempt = running.pop(event.step)
                did = world.behaviours.get(f"{ledger.id}/{event.step}/{attempt}")
                if did is None:
                    continue  # it was turned away before a worker had it
                if isinstance(event, AttemptFailed):
                    told = did.error is not None and did.error.type == event.error.type
                    assert told or event.error.type not in _ERRORS, f"{event.step}: attempt {attempt} did not fail so"
                elif ledger.witness.book[parts(event.step)[0]].step.output is None:
                    assert did.error is None, f"{event.step} completed by attempt {attempt}, which failed"
                    assert did.result == event.output, f"{event.step}: attempt {attempt} did not give {event.output}"
            elif isinstance(event, (StepFailed, StepCancelled, FallbackStarted, ResultReused)):
                running.pop(event.step, None)


_ERRORS: Final = frozenset({"boom", "connection_error"})
"""Errors that only attempts have."""


def attempts_are_as_many_as_the_policy_allows(world: World) -> None:
    """Attempts are numbered without a gap, and are no more than `max_attempts`."""
    for ledger in world.ledgers.values():
        counts: Counter[str] = Counter()
        before: Counter[str] = Counter()
        for event in ledger.history:
            if isinstance(event, StepReset):  # an operator has it tried again
                before[event.step] = counts[event.step]
            if isinstance(event, StepScheduled):
                counts[event.step] += 1
                assert event.attempt == counts[event.step], f"{event.step}: attempt {event.attempt} is out of order"
                name, path, _ = parts(event.step)
                most = most_attempts(ledger.plan.definition, ledger.witness.book[name], path)
                most += before[event.step]
                assert event.attempt <= most, f"{event.step}: attempt {event.attempt} of at most {most}"


def an_event_wakes_a_waiter_once(world: World) -> None:
    """No wait is woken twice by an event; each was wanted, and published.

    A step that began to wait after the event had woken another one of its execution is not woken by it.
    """
    for ledger in world.ledgers.values():
        waiting: dict[str, tuple[int, str]] = {}
        woken: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
        for position, event in enumerate(ledger.history):
            if isinstance(event, (WaitStarted, ApprovalRequested)):
                waiting[event.step] = (position, event.event_type if isinstance(event, WaitStarted) else ANSWER)
            elif isinstance(event, EventReceived):
                since, event_type = waiting.get(event.step, (0, ""))
                assert event_type, f"{event.event.id} wakes {event.step}, which does not wait"
                assert event_type == event.event.type, f"{event.step} is woken by {event.event.type}"
                assert event.event.id in world.published, f"nobody has published {event.event.id}"
                before = woken[event.event.source, event.event.id]
                assert event.step not in before, f"{event.event.id} wakes {event.step} twice"
                late = [step for step, at in before.items() if at < since]
                assert not late, f"{event.event.id} wakes {event.step}, which began to wait after it had woken {late}"
                before[event.step] = position
            elif isinstance(event, EventLate):
                assert event.step not in waiting, f"{event.event_id} is late for {event.step}, which still waits"
            elif isinstance(event, (StepCompleted, StepFailed, StepCancelled)):
                waiting.pop(event.step, None)


def a_signal_wakes_whom_it_is_meant_for(world: World) -> None:
    """Of the executions that wait for such an event, a signal wakes the one that it names, and is late for no other."""
    for ledger in world.ledgers.values():
        for event in own_events(ledger.history):
            if isinstance(event, EventReceived) and event.event.source == SIGNAL:
                assert event.event.subject == ledger.id, f"{event.step} is woken by a signal to {event.event.subject}"
            elif isinstance(event, EventLate) and event.source == SIGNAL:
                kept = world.content.events.get((event.source, event.event_id))
                subject = _decode_event(kept.body).subject if kept is not None else ledger.id
                assert subject == ledger.id, f"a signal to {subject} is late for {event.step}"


def what_an_event_starts_is_started_once(world: World) -> None:
    """What an event that is stored was to start is there, under its key; what a duplicate was to start is not."""
    for id_, request in world.requested.items():
        first = world.content.start_keys.get(request.start_key)
        if id_ in world.accepted:
            assert first is not None, f"what was to start with {request.start_key!r} is not there"
        ledger = world.ledgers.get(id_)
        if ledger is not None:
            assert id_ in world.accepted, f"execution {ledger.number} was asked for with a duplicate"
            assert first == id_, f"execution {ledger.number} is not the one of its key"
            assert ledger.state.input == request.input, f"execution {ledger.number} has another input"


def no_event_is_missed(world: World) -> None:
    """A wait that timed out had no event, from the creation of its execution on, that it wanted.

    Where no engine, or node, was away and commits take no time: else event and timeout come together, and either may be
    first. So do they where a wait is given no time at all: it can have no event before it has begun, and then its time
    is up.
    """
    if world.scenario.faults or world.scenario.disk != (0,) or world.joins is not None:
        return
    events = [(kept.received_at, _decode_event(kept.body)) for kept in world.content.events.values()]
    for ledger in world.ledgers.values():
        waiting: dict[str, WaitStarted] = {}
        for event in ledger.history:
            if isinstance(event, WaitStarted):
                waiting[event.step] = event
                continue
            wait = waiting.pop(getattr(event, "step", ""), None)
            if wait is None or wait.due == wait.at:
                continue
            if isinstance(event, StepFailed) and event.error.type == "timeout":
                missed = [
                    one.id
                    for received, one in events
                    if ledger.state.created_at <= received < event.at
                    and one.type == wait.event_type
                    and not one.is_for_another_than(ledger.id)
                    and _wants(ledger, wait, one.data["n"])
                    and not _woke_before(ledger, one.id, wait)
                ]
                assert not missed, f"{event.step} timed out, and {missed} had come"


_decode_event = msgspec.msgpack.Decoder(Event).decode


def _wants(ledger: Ledger, wait: WaitStarted, n: int) -> bool:
    """Whether the wait takes an event with this number, by the few filters that definitions have here."""
    config = ledger.witness.book[parts(wait.step)[0]].step.config
    if isinstance(config.get("filter"), str):
        return n > 1
    wanted = (wait.filter or {}).get("n", n)
    return n > wanted["~gt"] if isinstance(wanted, dict) else bool(n == wanted)


def _woke_before(ledger: Ledger, event_id: str, wait: WaitStarted) -> bool:
    """Whether the event had woken another step of the execution when the wait began."""
    before = itertools.takewhile(lambda event: event is not wait, ledger.history)  # one that began before may be equal
    return any(isinstance(event, EventReceived) and event.event.id == event_id for event in before)


def a_sub_workflow_runs_once_for_its_step(world: World) -> None:
    """Every sub-workflow was started by a step, is there once, and what it gave is what the step got."""
    started = {
        event.child: (ledger, event)
        for ledger in world.ledgers.values()
        for event in own_events(ledger.history)
        if isinstance(event, ChildStarted)
    }
    for ledger in world.ledgers.values():
        parent = ledger.state.parent
        if parent is not None:
            assert ledger.id in started, f"execution {ledger.number} was started by no step"
            assert started[ledger.id][0].id == parent, f"execution {ledger.number} has another parent"
    for child, (ledger, event) in started.items():
        step, inner = ledger.state.steps.get(event.step), world.ledgers.get(child)
        if step is not None and event.wait and step.status is StepStatus.COMPLETED and step.child == child:
            assert inner is not None, f"{event.step} has completed, and its sub-workflow was never there"
            ends = [one for one in inner.history if isinstance(one, ExecutionCompleted)]
            assert ends, f"{event.step} has completed, and its sub-workflow has not"


def timers_fire_when_they_are_due(world: World) -> None:
    """Nothing that waits for an instant goes on before it."""
    for ledger in world.ledgers.values():
        due: dict[str, int] = {}
        for event in ledger.history:
            key = getattr(event, "step", "")
            if isinstance(event, ExecutionForked):
                due = {key: instant + event.passed for key, instant in due.items()}
            elif isinstance(event, AttemptFailed):
                due[key] = event.retry_at
            elif isinstance(event, StepScheduled) and key in due:
                assert event.at >= due.pop(key), f"{key} is tried again too early"
            elif (instant := _until(event)) is not None:
                due[key] = instant
            elif isinstance(event, (EventReceived, StepCancelled, StepReset)):
                due.pop(key, None)
            elif isinstance(event, (StepCompleted, StepFailed)) and key in due:
                assert event.at >= due.pop(key), f"{key} ends before it is due"


def _until(event: HistoryEvent) -> int | None:
    """Until when the step waits from now on, if for an instant."""
    if isinstance(event, (WaitStarted, TimerStarted)) or (isinstance(event, StepHeld) and event.reason == "delay"):
        return event.due
    return None


def every_step_is_decided_at_a_good_end(world: World) -> None:
    """A completed execution has no step that could still run."""
    for ledger in world.ledgers.values():
        if ledger.state.status == "completed" and ledger.state.failure is None:
            left = [
                name
                for name, line in ledger.witness.book.items()
                if line.group == "steps"
                and line.parent is None
                and (name not in ledger.state.steps or ledger.state.steps[name].status not in ENDED_STEP)
            ]
            assert not left, f"completed, but {left} have not ended"


def terminal_states_are_final(world: World) -> None:
    """The last event of a history is the one that ends it, and no wait, timer or inbox item of it is left."""
    for ledger in world.ledgers.values():
        assert ledger.state.status in ENDED_EXECUTION, f"execution {ledger.number} has not ended"
        assert ledger.state.in_flight == ledger.state.waiting == 0, "something runs or waits after the end"
        due = outstanding(replay(ledger.plan, ledger.history))
        assert not due, f"after the end of execution {ledger.number} this is outstanding: {due}"
    assert not any(world.content.waits.values()), "waits are left in the store"
    # An engine that died before it had deleted what was told to a sub-workflow that never was leaves it there, for
    # whoever owns that shard next; nobody has to: there is nothing to do for it.
    left = [
        item
        for item in world.content.inbox.values()
        if item.execution not in world.ledgers and not (item.kind == TELL and world.scenario.faults)
    ]
    assert not left, f"{len(left)} items are left in an inbox"


AtDispatch = Callable[["World", Assignment], None]
Always = Callable[["World"], None]

AT_DISPATCH: Final[tuple[AtDispatch, ...]] = (
    nothing_is_dispatched_before_it_is_recorded,
    what_is_recorded_does_not_run_again,
    no_more_executions_are_at_work_than_allowed,
    a_second_delivery_is_the_same_work,
    every_attempt_has_the_settings_of_the_first,
    bulkheads_hold,
    rate_limits_hold,
)
AT_DELIVERY: Final[tuple[AtDispatch, ...]] = (
    nothing_is_sent_before_it_is_recorded_nor_after_it_is_settled,
    a_second_delivery_is_the_same_work,
)
AT_REST: Final[tuple[Always, ...]] = (
    what_is_in_memory_is_what_is_recorded,
    what_is_asked_for_is_what_is_outstanding,
    nothing_lies_in_an_inbox,
    who_is_not_in_memory_needs_nothing,
)
AT_END: Final[tuple[Always, ...]] = (
    terminal_states_are_final,
    no_acknowledged_start_is_lost,
    history_replays_to_the_stored_state,
    an_attempt_has_one_result,
    what_is_recorded_is_what_the_attempt_did,
    attempts_are_as_many_as_the_policy_allows,
    an_event_wakes_a_waiter_once,
    a_signal_wakes_whom_it_is_meant_for,
    what_an_event_starts_is_started_once,
    no_event_is_missed,
    a_sub_workflow_runs_once_for_its_step,
    timers_fire_when_they_are_due,
    every_step_is_decided_at_a_good_end,
)


def check_all(world: World, invariants: tuple[Always, ...]) -> None:
    """Raises: Violation: naming the first that does not hold."""
    for invariant in invariants:
        try:
            invariant(world)
        except AssertionError as error:
            raise Violation(invariant.__name__, str(error)) from None


def check_dispatch(world: World, work: Assignment) -> None:
    """Raises: Violation: naming the first that does not hold."""
    for invariant in AT_DELIVERY if is_delivery(work.step) else AT_DISPATCH:
        try:
            invariant(world, work)
        except AssertionError as error:
            raise Violation(invariant.__name__, str(error)) from None


def ledger_rule(ledger: Ledger, error: AssertionError) -> Violation:
    """What the witness of a history says."""
    return Violation("history_follows_the_definition", f"execution {ledger.number}: {error}")
