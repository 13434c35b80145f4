"""Questions to people: which wait for an answer, and answering them. A wrong answer is refused before it is sent."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Final

import msgspec

from stepwell.app.reading import Reading
from stepwell.app.recorded import Recorded
from stepwell.app.report import shown_status
from stepwell.app.waking import respond_command
from stepwell.base.errors import Conflict, NotFound, StepwellError, StoreError, UsageError
from stepwell.base.instants import to_rfc3339
from stepwell.base.suggest import hint_for
from stepwell.base.values import check_json, masked
from stepwell.decider.approval import answer_problem, question_of, waited_for
from stepwell.decider.keys import split_key
from stepwell.decider.plan import Plan
from stepwell.execution.codec import UNREADABLE
from stepwell.execution.event import ANSWER, Event, check_size
from stepwell.execution.history import ApprovalRequested, EventReceived
from stepwell.execution.matching import matches
from stepwell.execution.state import ExecutionState, StepState
from stepwell.execution.status import StepStatus
from stepwell.ports.store import Store

SOURCE: Final = "stepwell.approval"
"""Where the events come from that carry answers."""

_log = logging.getLogger(__name__)
_decode_event = msgspec.msgpack.Decoder(Event).decode


class Approvals:
    """The questions of the executions of a store.

    Args:
        options: what commands need to find the same store, with a space before it.
    """

    def __init__(self, store: Store, reading: Reading, options: str = "") -> None:
        self._store = store
        self._reading = reading
        self._options = options

    async def list(
        self, *, namespaces: Sequence[str] | None = None, limit: int = 50, cursor: str | None = None
    ) -> dict[str, Any]:
        """A page of the questions that wait for an answer, those of the oldest executions first:
        `{"items": [...], "next": cursor or null}`.

        Args:
            namespaces: those of the workflows; None means any.

        Raises:
            UsageError: the cursor is not one that a list returned.
        """
        page = await self._store.waiting(ANSWER, namespaces=namespaces, limit=limit, cursor=cursor)
        items: list[dict[str, Any]] = []
        for execution, waits in groupby(page.items, key=lambda waiting: waiting.execution):
            keys = [waiting.step for waiting in waits]
            try:
                items += await self._asked(await self._reading.state(execution), keys)
            except StoreError as error:
                if error.code not in UNREADABLE:
                    raise
                _log.warning("what execution %s asks is left out of the list: %s", execution, error)
        return {"items": items, "next": page.next}

    async def of_execution(self, execution: str) -> Sequence[dict[str, Any]]:
        """All that an execution asks now, as in a list.

        Raises:
            NotFound: code `unknown-execution`.
        """
        state = await self._reading.state(execution)
        return await self._asked(state, list(state.steps))

    async def _asked(self, state: ExecutionState, keys: Sequence[str]) -> Sequence[dict[str, Any]]:
        """What those of the steps ask that ask something."""
        found = [(key, question) for key in keys if (question := _question(state.steps.get(key))) is not None]
        answered = await self._on_their_way(state.id) if found else {}
        return [
            self._report(state, key, question, _first_taken(question, answered.get(key, ()))) for key, question in found
        ]

    async def question(self, execution: str, step: str) -> dict[str, Any]:
        """What a step asks, as in a list.

        Raises:
            NotFound, Conflict: as `answer` does.
        """
        state = await self._reading.state(execution)
        question = _question(state.steps.get(step))
        if question is None:
            raise _not_asked(await self._reading.recorded(execution, whole=True), step)
        event = _first_taken(question, (await self._on_their_way(execution)).get(step, ()))
        return self._report(state, step, question, event)

    async def settings(self, execution: str, step: str) -> Mapping[str, Any]:
        """What a step asks, as its settings have it; secrets masked.

        Raises:
            NotFound, Conflict: as `answer` does.
        """
        question = _question((await self._reading.state(execution)).steps.get(step))
        if question is None:
            raise _not_asked(await self._reading.recorded(execution, whole=True), step)
        shown: dict[str, Any] = masked(dict(question))
        return shown

    async def answer(
        self, execution: str, step: str, response: Any, by: str, at: int, *, acting_for: str | None = None
    ) -> Event:
        """The event that answers a question, to be published.

        Args:
            step: the key of the step, such as `approve` or `approve[2]`.
            response: a JSON value.
            by: who answers.
            acting_for: who is asked, and in whose place he answers; None for himself.

        Raises:
            NotFound: (code `unknown-execution`, `unknown-step`) there is no such execution or step. Conflict: (code
            `already-answered`, `not-waiting`) the step waits for no answer. UsageError: (code `invalid-answer`) this
            person may not answer, or not in this way; (code `event-too-large`) the response is too much.
        """
        state = await self._reading.state(execution)
        question = _question(state.steps.get(step))
        if question is None:
            raise _not_asked(await self._reading.recorded(execution, whole=True), step)
        _check_answer(question, step, by, response, acting_for)
        earlier = _first_taken(question, (await self._on_their_way(execution)).get(step, ()))
        if earlier is not None:
            message = f"step {step!r} of execution {execution} was answered already{_by(earlier)}"
            hint = f"the answer is taken when the execution goes on: stepwell run --resume {execution}{self._options}"
            raise Conflict(message, code="already-answered", hint=hint)
        data = {**waited_for(execution, step), "response": response, "by": by}
        if acting_for is not None:
            data["for"] = acting_for
        check_size(data)
        return Event(id=secrets.token_hex(16), type=ANSWER, source=SOURCE, data=data, time=at)

    async def _on_their_way(self, execution: str) -> Mapping[str, Sequence[Event]]:
        """Answers that were given, and that no engine has taken yet, by the step."""
        found: dict[str, list[Event]] = {}
        shard, after = await self._reading.shard_of(execution), 0
        while items := await self._store.inbox(shard, after):
            for item in items:
                if item.execution == execution and item.step is not None and item.kind in ("event", "early_event"):
                    event = _decode_event(item.payload)
                    if event.type == ANSWER and matches(waited_for(execution, item.step), event.data):
                        found.setdefault(item.step, []).append(event)
            after = items[-1].id
        return found

    def _report(
        self, state: ExecutionState, key: str, question: Mapping[str, Any], answer: Event | None
    ) -> dict[str, Any]:
        """A question as users see it; `default` only when there is one, `answered_by` only when it has an answer that
        no engine has taken yet."""
        step, shown = state.steps[key], masked(dict(question))
        people = shown.get("assigned_to")
        return {
            "execution_id": state.id,
            "workflow": state.workflow,
            "version": state.version,
            "status": shown_status(state),
            "step": key,
            "prompt": shown.get("prompt"),
            "assigned_to": [people] if people and not isinstance(people, list) else people or None,
            "response_schema": shown.get("response_schema"),
            **({"default": shown["default"]} if "default" in shown else {}),
            **({"answered_by": _given(answer)[0] or None} if answer is not None else {}),
            "since": to_rfc3339(step.started_at) if step.started_at is not None else None,
            "due_at": to_rfc3339(step.due) if step.due is not None else None,
            "respond": respond_command(state.id, key, shown, self._options),
        }


def _question(step: StepState | None) -> Mapping[str, Any] | None:
    """What a step asks now; None when it asks nothing."""
    if step is None or step.status is not StepStatus.WAITING or step.event_type != ANSWER or step.held:
        return None
    return question_of(step)


def _check_answer(question: Mapping[str, Any], step: str, by: str, response: Any, acting_for: str | None) -> None:
    try:
        check_json(response, what="the response")
        check_json(by, what="the name of who answers")
    except ValueError as error:
        raise UsageError(str(error), code="invalid-answer") from None
    problem = _problem(question, acting_for or by, response)
    if problem is not None:
        raise UsageError(f"step {step!r} cannot take this answer: {problem}", code="invalid-answer")


def _problem(question: Mapping[str, Any], by: str, response: Any) -> str | None:
    """Why the answer cannot be taken. What depends on secrets is left to the engine, which can open them."""
    return answer_problem(dict(question), by, response) if masked(question) == question else None


def _first_taken(question: Mapping[str, Any], answers: Sequence[Event]) -> Event | None:
    """The first of the answers that the question can take."""
    return next((event for event in answers if _problem(question, *_place(event)) is None), None)


def _given(event: Event) -> tuple[str, Any]:
    data = event.data if isinstance(event.data, dict) else {}
    return str(data.get("by") or ""), data.get("response")


def _place(event: Event) -> tuple[str, Any]:
    """In whose place it was answered, and what."""
    by, response = _given(event)
    return str((event.data or {}).get("for") or by), response


def _by(event: Event | None) -> str:
    who = _given(event)[0] if event is not None else ""
    return f" by {who}" if who else ""


def _not_asked(recorded: Recorded, key: str) -> StepwellError:
    """Why a step waits for no answer."""
    state, plan = recorded.state, Plan(recorded.definition)
    node, step = plan.node(split_key(key)[0]), state.steps.get(key)
    asked = [name for name, each in state.steps.items() if _question(each) is not None]
    if node is None and step is None:
        known = hint_for(key, asked or plan.nodes)
        return NotFound(f"execution {state.id} has no step {key!r}", code="unknown-step", hint=known)
    where, hint = f"step {key!r} of execution {state.id}", f"asked now: {', '.join(asked)}" if asked else None
    has_asked = any(isinstance(event, ApprovalRequested) and event.step == key for event in recorded.events)
    if node is not None and node.step.type != "approval" and not has_asked:
        return Conflict(f"{where} asks nobody: its type is {node.step.type}", code="not-waiting", hint=hint)
    if step is None:
        message = f"{where} has not asked yet; the execution is {shown_status(state)}"
        return Conflict(message, code="not-waiting", hint=hint)
    answers = [event.event for event in recorded.events if isinstance(event, EventReceived) and event.step == key]
    if step.status is StepStatus.COMPLETED and answers:
        return Conflict(f"{where} was answered already{_by(answers[-1])}", code="already-answered", hint=hint)
    ended = "took its default answer" if step.status is StepStatus.COMPLETED else f"is {step.status}"
    why = f": {step.error.message}" if step.error is not None else ""
    return Conflict(f"{where} waits for no answer: it {ended}{why}", code="not-waiting", hint=hint)
