"""What an execution that has not ended waits for. One function for each kind of reason; `REASONS` lists them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from stepwell.app.explanation import Reason, View, clause_of
from stepwell.app.waking import publish_command, respond_command
from stepwell.base.durations import SECOND, format_duration
from stepwell.base.values import masked
from stepwell.decider.approval import question_of
from stepwell.decider.graph import Node
from stepwell.decider.keys import UNDO
from stepwell.decider.locks import WHOLE
from stepwell.decider.region import Arrivals, Instance, Region
from stepwell.execution.event import ANSWER
from stepwell.execution.history import (
    AnswerRefused,
    AttemptFailed,
    CancelRequested,
    CompensationAwaited,
    CompensationStarted,
    ExecutionFailing,
    ExecutionHeld,
    ExecutionPaused,
    HooksStarted,
    StepFailed,
    StepHeld,
    StepScheduled,
)
from stepwell.execution.state import StepState
from stepwell.execution.status import ENDED_STEP, ExecutionStatus, StepStatus
from stepwell.ports.records import Lock
from stepwell.worker.queues import LEASE

_SHOWN: Final = 8
"""Names that a sentence lists."""


def nobody_runs_it(view: View) -> Iterator[Reason]:
    """No engine owns its shard: nothing goes on, whatever else is said."""
    if view.engine is None:
        command = f"stepwell run --resume {view.state.id}{view.options}"
        yield Reason(kind="engine", text="no engine runs it at the moment", wakes=command)


def waits_in_line(view: View) -> Iterator[Reason]:
    """It has not begun: the engine's limit of workflows."""
    if view.state.status is ExecutionStatus.PENDING and not view.state.held_for:
        place = f", in place {view.place:,} of the line" if view.place is not None else ""
        text = f"it has not begun: it waits for a place under the engine's limit (max_workflows){place}"
        yield Reason(kind="line", text=text, since=view.state.created_at, wakes="the end of one of those at work")


def waits_for_its_key(view: View) -> Iterator[Reason]:
    """It has not begun: its workflow's limit of executions with the same key."""
    state = view.state
    if state.status is ExecutionStatus.PENDING and state.held_for:
        held, wakes = _holders(view, state.held_for, WHOLE)
        text = f"it has not begun: it waits for the place {state.held_for!r} of its workflow's concurrency{held}"
        yield Reason(kind="concurrency", text=text, since=view.at(ExecutionHeld), wakes=wakes)


def is_failing(view: View) -> Iterator[Reason]:
    """It has failed, and what is at work may still finish."""
    state = view.state
    if state.failure is None or state.status is not ExecutionStatus.RUNNING:
        return
    name = state.failed_step
    what = f"step {name!r} failed: {clause_of(state.failure)}" if name is not None else clause_of(state.failure)
    goes_on = "what can still be reached runs on" if view.plan.drains else "nothing new starts"
    since = view.at(StepFailed, name) if name is not None else view.at(ExecutionFailing)
    text = f"it has failed, and {goes_on}: {what}"
    yield Reason(kind="failing", text=text, since=since, wakes="the end of what is at work")


def hooks_run(view: View) -> Iterator[Reason]:
    """The steps of `on_error` run."""
    if view.state.hooks_began and view.state.status is ExecutionStatus.RUNNING:
        yield Reason(kind="hooks", text="the steps of on_error run", since=view.at(HooksStarted), wakes="their end")


def is_paused(view: View) -> Iterator[Reason]:
    """Somebody, or the failure of a step, has halted it."""
    state = view.state
    if state.status is not ExecutionStatus.PAUSED:
        return
    by = f" by {state.paused_by}" if state.paused_by else ""
    why = f": {state.pause_reason}" if state.pause_reason else ""
    again = f"; then {_names(state.paused_steps)} will be tried again" if state.paused_steps else ""
    text = f"it is paused{by}{why}; what runs may end, and nothing new starts{again}"
    command = f"stepwell execution resume {state.id}{view.options}"
    yield Reason(kind="paused", text=text, since=view.at(ExecutionPaused), wakes=command)


def is_being_cancelled(view: View) -> Iterator[Reason]:
    """Somebody ends it, and what runs may finish."""
    state = view.state
    if state.cancel is None:
        return
    by = f" by {state.cancel.by}" if state.cancel.by else ""
    why = f": {state.cancel.reason}" if state.cancel.reason else ""
    then = "; then what was done is undone" if state.cancel.compensate else ""
    text = f"it is being cancelled{by}{why}; nothing new starts{then}"
    yield Reason(kind="cancelling", text=text, since=view.at(CancelRequested), wakes="the end of what is at work")


def is_compensating(view: View) -> Iterator[Reason]:
    """What was done is undone, or waits for somebody to have it undone."""
    state = view.state
    if state.status is not ExecutionStatus.COMPENSATING:
        return
    if state.compensation_awaited:
        text = f"it waits for an operator to start the compensation: {state.compensation_reason}"
        command = f"stepwell execution compensate {state.id}{view.options}"
        since = view.at(CompensationAwaited)
        yield Reason(kind="compensation_awaited", text=text, since=since, wakes=command)
    else:
        text = f"it undoes what was done: {state.compensation_reason}"
        since, due = view.at(CompensationStarted), state.compensation_due
        yield Reason(kind="compensation", text=text, since=since, until=due, wakes="the end of the compensation")


def attempts_run(view: View) -> Iterator[Reason]:
    """Work that was handed out, and has no result yet."""
    for one, step in view.open_steps():
        if step.status is not StepStatus.RUNNING or step.block is not None:
            continue
        since = view.at(StepScheduled, one.key) or step.scheduled_at
        if one.node.step.queue is not None:
            yield _fetched(view, one, step, since)
            continue
        timeout = one.node.timeout
        until = since + timeout if since is not None and timeout is not None else None
        text = f"{_attempt(one.node, step, 0)} is at work"
        if until is None:
            text += ", and has no timeout of the step's own"
        yield Reason(kind="attempt", step=one.key, text=text, since=since, until=until, wakes="its result")


def _fetched(view: View, one: Instance, step: StepState, since: int | None) -> Reason:
    """Work of a queue: whether somebody has it, as far as that is known here."""
    queue, labels = one.node.step.queue, ", ".join(f"{name}={value}" for name, value in one.node.step.labels.items())
    attempt, place = _attempt(one.node, step, 0), f"the queue {queue!r}"
    asked = f" with the labels {labels}" if labels else ""
    found = view.fetched(f"{view.state.id}/{one.key}/{step.attempts}")
    worker, until, wakes = f"a worker{asked}", None, "its result"
    if found is None:
        text = f"{attempt} is at work, or waits in {place} for {worker}"
    elif found.worker is not None:
        text, until = f"{attempt} is with worker {found.worker!r}", found.deadline
        silent = view.now - found.heard_at if found.heard_at is not None else 0
        if silent > LEASE // 2:
            text += f", which was not heard of for {format_duration(silent // SECOND * SECOND)}"
    else:
        known = f"{found.able} known here" if found.able else "none is known here"
        text, wakes = f"{attempt} waits in {place} for {worker}: {known}", f"a worker of {place}"
        if found.refusal is not None:
            text += f"; the last one said: {found.refusal}"
    return Reason(kind="attempt", step=one.key, text=text, since=since, until=until, wakes=wakes)


def retries_are_due(view: View) -> Iterator[Reason]:
    """A try has failed, and the next one comes later."""
    wakes = "the end of the pause" if view.state.status is ExecutionStatus.PAUSED else "the time"
    for one, step in view.open_steps():
        if step.status is StepStatus.RETRYING and step.error is not None:
            text = f"{_attempt(one.node, step, 1)} is due, after: {clause_of(step.error)}"
            since = view.at(AttemptFailed, one.key)
            until = step.due if one.key not in view.state.paused_steps else None
            yield Reason(kind="retry", step=one.key, text=text, since=since, until=until, wakes=wakes)


def _attempt(node: Node, step: StepState, further: int) -> str:
    """Its present attempt, or the next one, among those that its policy allows since it was last reset."""
    most = max(node.retry.policy.max_attempts, node.timeout_retry.policy.max_attempts)
    number = step.attempts - step.attempts_before + further
    if number > most or (most == 1 and step.attempts_before):  # an operator allows further ones
        return "another attempt"
    return f"attempt {number:,} of {most:,}" if most > 1 else "its only attempt"


def events_are_awaited(view: View) -> Iterator[Reason]:
    """A wait for an event."""
    for one, step in view.open_steps():
        if step.status is StepStatus.WAITING and step.event_type not in (None, ANSWER) and not step.held:
            written = one.node.step.config.get("filter")
            filter_ = written if isinstance(written, str) else step.filter
            with_data = f" for which {_filter(filter_)}" if filter_ else ""
            yield Reason(
                kind="event",
                step=one.key,
                text=f"it waits for an event {step.event_type!r}{with_data}",
                since=step.scheduled_at,
                until=step.due,
                wakes=publish_command(step.event_type, filter_, view.options),
            )


def _filter(filter_: Any) -> str:
    return filter_ if isinstance(filter_, str) else json.dumps(masked(filter_), ensure_ascii=False)


def answers_are_awaited(view: View) -> Iterator[Reason]:
    """A question to people."""
    for one, step in view.open_steps():
        if step.status is StepStatus.WAITING and step.event_type == ANSWER and not step.held:
            question = masked(question_of(step) or {})
            parts = [f"it asks: {question.get('prompt')}"]
            if question.get("assigned_to"):
                parts.append(f"for {_listed(question['assigned_to'])}")
            if "default" in question and step.due is not None:
                default = json.dumps(question["default"], ensure_ascii=False)
                parts.append(f"without an answer in time, the answer is {default}")
            refused = view.latest(AnswerRefused, one.key)
            if refused is not None:
                parts.append(f"the last answer was refused: {refused.reason}")
            yield Reason(
                kind="approval",
                step=one.key,
                text="; ".join(parts),
                since=step.started_at,
                until=step.due,
                wakes=respond_command(view.state.id, one.key, question, view.options),
            )


def _listed(people: Any) -> str:
    return ", ".join(map(str, people)) if isinstance(people, list) else str(people)


def timers_run(view: View) -> Iterator[Reason]:
    """A wait for a time."""
    for one, step in view.open_steps():
        is_timer = step.event_type is None and not step.held and not awaited_execution(step)
        if step.status is StepStatus.WAITING and is_timer and step.due is not None:
            since = step.scheduled_at
            yield Reason(kind="timer", step=one.key, text="it waits", since=since, until=step.due, wakes="the time")


def workflows_are_awaited(view: View) -> Iterator[Reason]:
    """Another execution: one that a step has started, or that undoes what it did for it."""
    for one, step in view.open_steps():
        other = awaited_execution(step)
        if other:
            doing = ", which undoes what it did" if step.block == UNDO else ", which it started"
            yield Reason(
                kind="workflow",
                step=one.key,
                text=f"it waits for execution {other}{doing}",
                since=step.scheduled_at,
                until=step.due,
                wakes="the end of that execution",
                why=view.children.get(other),
            )


def awaited_execution(step: StepState) -> str:
    """The id of the execution that a step waits for; empty for none."""
    if step.status is not StepStatus.WAITING or step.held:
        return ""
    return step.message if step.block == UNDO else step.child


def starts_are_delayed(view: View) -> Iterator[Reason]:
    """A step that is due, and starts later."""
    for one, step in view.open_steps():
        if step.held == "delay":
            since = view.at(StepHeld, one.key)
            text = "it is due, and its start is delayed"
            yield Reason(kind="delay", step=one.key, text=text, since=since, until=step.due, wakes="the time")


def locks_are_awaited(view: View) -> Iterator[Reason]:
    """A step that is due, and wants a lock that others hold."""
    for one, step in view.open_steps():
        if step.held == "mutex":
            held, wakes = _holders(view, step.message, one.key)
            yield Reason(
                kind="lock",
                step=one.key,
                text=f"it waits for the lock {step.message!r}{held}",
                since=view.at(StepHeld, one.key),
                until=step.due,
                wakes=wakes,
            )


def _holders(view: View, name: str, key: str) -> tuple[str, str]:
    """Who has the lock and how many are before this one, in words; and what would free it."""
    line = view.locks.get(name, ())
    holders = [lock for lock in line if lock.held]
    before = 0
    for lock in line:
        if (lock.execution, lock.step) == (view.state.id, key):
            break
        before += not lock.held
    shown = [_holder(lock) for lock in holders[:_SHOWN]]
    more = f" and {len(holders) - _SHOWN:,} more" if len(holders) > _SHOWN else ""
    held = f", which {' and '.join(shown)}{more} {'has' if len(holders) == 1 else 'have'}" if holders else ""
    ahead = f"; {before:,} more wait before it" if before else ""
    others = [lock.execution for lock in holders if lock.execution != view.state.id]
    look = f": stepwell execution why {others[0]}{view.options}" if others else ""
    return held + ahead, f"the end of what holds it{look}"


def _holder(lock: Lock) -> str:
    return f"step {lock.step!r} of execution {lock.execution}" if lock.step != WHOLE else f"execution {lock.execution}"


def milestones_are_awaited(view: View) -> Iterator[Reason]:
    """A step that is due, and may start only after others."""
    for one, step in view.open_steps():
        if step.held == "milestone" and one.node.step.milestone is not None:
            text = f"it is due, and may start only once {_names(one.node.step.milestone.after)} have completed"
            since = view.at(StepHeld, one.key)
            yield Reason(kind="milestone", step=one.key, text=text, since=since, wakes="their completion")


def places_are_awaited(view: View) -> Iterator[Reason]:
    """Steps that are due, and for which the workflow's own limit has no place."""
    at_work = [one.key for one, step in view.open_steps() if step.status is StepStatus.RUNNING and step.block is None]
    limit = view.plan.max_parallel_steps
    if not at_work or limit is None:
        return
    for _, _, key, _ in sorted(view.run.ready, key=lambda each: each[:3]):
        text = f"it is due, and waits for a place: max_parallel_steps is {limit:,}, and {_names(at_work)} run"
        yield Reason(kind="place", step=key, text=text, wakes="the end of one of them")


def joins_are_open(view: View) -> Iterator[Reason]:
    """Steps of which some edges are decided, and not enough."""
    for region in view.regions():
        for name, arrivals in region.arrivals.items():
            node = region.graph.nodes[name]
            if not arrivals.settled and node.inbound > 1:
                yield _open_join(view, region, node, arrivals)


def _open_join(view: View, region: Region, node: Node, arrivals: Arrivals) -> Reason:
    sources = [other for other in region.graph.nodes.values() if any(link.target is node for link in other.links)]
    undecided = [other.name for other in sources if not _has_ended(view, region, other)]
    decided = [f"{arrivals.taken:,} taken"] + ([f"{arrivals.dead:,} dead"] if arrivals.dead else [])
    text = f"its join ({node.join}) is open: of {node.inbound:,} edges {' and '.join(decided)}"
    wakes = f"the end of {_names(undecided)}" if undecided else None
    return Reason(kind="join", step=region.key_of(node.name), text=text, wakes=wakes)


def _has_ended(view: View, region: Region, node: Node) -> bool:
    step = view.state.steps.get(region.key_of(node.name))
    return step is not None and step.status in ENDED_STEP


def constructs_have_a_timeout(view: View) -> Iterator[Reason]:
    """What runs inside a step whose time will be up."""
    for one, step in view.open_steps():
        if step.status is StepStatus.RUNNING and step.block is not None and step.due is not None:
            text, since = "what is inside it runs, up to its timeout", step.started_at
            yield Reason(kind="inside", step=one.key, text=text, since=since, until=step.due, wakes="its end")


def its_time_ends(view: View) -> Iterator[Reason]:
    """The bounds of the execution as a whole."""
    state = view.state
    if state.status is not ExecutionStatus.RUNNING:
        return
    active_until = view.run.active_until()
    if active_until is not None and state.timeout is not None:
        text = f"its timeout of {format_duration(state.timeout)} of active time ends it"
        yield Reason(kind="timeout", text=text, until=active_until)
    if state.deadline is not None:
        yield Reason(kind="deadline", text="its deadline ends it", until=state.deadline)


def _names(names: Sequence[str]) -> str:
    shown = [repr(name) for name in names[:_SHOWN]]
    if len(names) > _SHOWN:
        return f"{', '.join(shown)} and {len(names) - _SHOWN:,} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


REASONS: Final[Sequence[Callable[[View], Iterator[Reason]]]] = (
    nobody_runs_it,
    waits_in_line,
    waits_for_its_key,
    is_paused,
    is_being_cancelled,
    is_failing,
    hooks_run,
    is_compensating,
    attempts_run,
    retries_are_due,
    events_are_awaited,
    answers_are_awaited,
    timers_run,
    workflows_are_awaited,
    starts_are_delayed,
    locks_are_awaited,
    milestones_are_awaited,
    places_are_awaited,
    joins_are_open,
    constructs_have_a_timeout,
    its_time_ends,
)
"""In the order in which they are told."""
