"""Questions to people, of a step of type `approval` or of a task.

An answer comes as an event; who may answer, and what, is checked here.
"""

from __future__ import annotations

from typing import Any, Final

from stepwell.base.durations import parse_duration
from stepwell.base.errors import ErrorInfo
from stepwell.base.values import SECRETS, masked, transform_leaves
from stepwell.decider.checking import SchemaCheck, opened
from stepwell.decider.failure import fail
from stepwell.decider.leaf import complete
from stepwell.decider.region import Instance
from stepwell.decider.turn import Turn
from stepwell.decider.values import storable
from stepwell.execution.commands import AwaitEvent, ForgetWait
from stepwell.execution.event import ANSWER, Event
from stepwell.execution.history import AnswerRefused, ApprovalRequested, EventReceived
from stepwell.execution.state import StepState

_SHOWN: Final = ("prompt", "response_schema", "assigned_to", "default", "reminder", "escalation")


def start_approval(turn: Turn, one: Instance, config: dict[str, Any]) -> None:
    """`approval {prompt, response_schema, assigned_to, timeout, default}`."""
    question = storable({name: config[name] for name in _SHOWN if name in config})
    problem, allowed = assignment_problem(question.get("assigned_to")) or schema_problem(question), None
    try:
        allowed = sooner(one.node.timeout, config.get("timeout"))
    except ValueError as error:
        problem = f"timeout: {error}"
    if problem is not None:
        fail(turn, one, ErrorInfo("invalid_config", f"approval: {problem}"), turn.at)
        return
    ask(turn, one, question, turn.at + allowed if allowed is not None else None)


def ask(turn: Turn, one: Instance, question: dict[str, Any], due: int | None) -> None:
    """Ask people, at most until `due`: the step waits for their answer."""
    filter_ = waited_for(turn.state.id, one.key)
    turn.emit(ApprovalRequested(turn.at, one.key, question, filter_, due))
    turn.run.begin(one)
    if due is not None:
        turn.run.arm(due, one.key)
    turn.command(AwaitEvent(one.key, ANSWER, filter_))


def assignment_problem(assigned: Any) -> str | None:
    """Why nobody could ever answer a question to these, or None."""
    names = assigned if isinstance(assigned, list) else [assigned] if assigned is not None else []
    if any(isinstance(name, SECRETS) for name in names):
        return "assigned_to must not hold a secret: who is asked is stored and shown"
    wrong = next((name for name in names if not isinstance(name, str)), None)
    return f"assigned_to must be a name or a list of names, not {masked(wrong)!r}" if wrong is not None else None


def schema_problem(question: dict[str, Any]) -> str | None:
    """What is wrong with the schema of answers, or with the default answer by that."""
    schema = question.get("response_schema")
    if schema is None:
        return None
    if not isinstance(schema, dict):
        return "response_schema must be a JSON Schema, which is an object"
    try:
        check = SchemaCheck(transform_leaves(schema, opened))
    except ValueError as error:
        return _unusable(error)
    problems = check.problems(question["default"]) if "default" in question else []
    return "; ".join(f"default: {path + ': ' if path else ''}{message}" for path, message in problems) or None


def _unusable(error: Exception) -> str:
    return f"response_schema cannot be used: {str(error).partition(chr(10))[0]}"


def asks(one: Instance, step: StepState) -> bool:
    """Whether the step that waits asks people: by its type, or because its task does."""
    return one.node.kind == "approval" or step.question is not None


def question_of(step: StepState) -> dict[str, Any] | None:
    """What a step asks that waits for an answer; None for one that waits for the event as such."""
    return step.question if step.question is not None else step.input


def waited_for(execution: str, step: str) -> dict[str, Any]:
    """What the data of an answer must say: which question it is for."""
    return {"execution": execution, "step": step}


def sooner(timeout: int | None, setting: Any) -> int | None:
    """The shorter of a step's `timeout`, in microseconds, and the one in its settings; None when there is neither.

    Raises:
        ValueError: the setting is not a duration.
    """
    said = [each for each in (timeout, parse_duration(setting) if setting is not None else None) if each is not None]
    return min(said, default=None)


def take_answer(turn: Turn, one: Instance, step: StepState, event: Event) -> None:
    """Somebody has answered: the step completes, or the answer is refused and it waits on."""
    data = event.data if isinstance(event.data, dict) else {}
    by, response = str(data.get("by") or ""), data.get("response")
    problem = answer_problem(question_of(step) or {}, str(data.get("for") or by), response)
    turn.emit(EventReceived(turn.at, one.key, event))
    if problem is not None:
        turn.emit(AnswerRefused(turn.at, one.key, by, problem))
        return
    turn.command(ForgetWait(one.key, ANSWER, step.filter))
    began = step.started_at if step.started_at is not None else turn.at
    complete(turn, one, {"response": response, "by": by or None}, began, {"event": event.as_dict()})


def answer_problem(question: dict[str, Any], by: str, response: Any) -> str | None:
    """Why this answer by this person cannot be taken, or None."""
    assigned = question.get("assigned_to")
    if assigned:
        allowed = assigned if isinstance(assigned, list) else [assigned]
        if by not in allowed:
            return f"{by or 'nobody'} may not answer; it is for {', '.join(str(name) for name in allowed)}"
    schema = question.get("response_schema")
    if schema is None:
        return None
    try:
        problems = SchemaCheck(transform_leaves(schema, opened)).problems(response)
    except (ValueError, TypeError) as error:  # of a question that was asked by a version that let it pass
        return _unusable(error)
    return "; ".join(f"{path or 'response'}: {message}" for path, message in problems) or None


def end_approval(turn: Turn, one: Instance, step: StepState) -> bool:
    """The time to answer is up: the default is the answer. False when there is none."""
    question = question_of(step) or {}
    if "default" not in question:
        return False
    turn.command(ForgetWait(one.key, ANSWER, step.filter))
    began = step.started_at if step.started_at is not None else turn.at
    complete(turn, one, {"response": question["default"], "by": None, "timed_out": True}, began)
    return True
