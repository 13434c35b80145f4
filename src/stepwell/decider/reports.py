"""What a worker's report means: the attempt has failed, has a result, or asks people.

A task asks by returning `{"__inquiry": {prompt, response_schema, assigned_to, timeout_seconds, default}}`. Its step
then waits as one of type `approval` does, and `{response, by}` is its result.
"""

from __future__ import annotations

from typing import Any, Final

from stepwell.base.durations import parse_duration
from stepwell.base.errors import ErrorInfo
from stepwell.base.values import SECRETS
from stepwell.decider.advance import ended
from stepwell.decider.approval import ask, assignment_problem, schema_problem
from stepwell.decider.caching import keep_result
from stepwell.decider.failure import fail, fail_or_retry, retry_result
from stepwell.decider.leaf import complete
from stepwell.decider.region import Instance
from stepwell.decider.turn import Turn
from stepwell.execution.history import StepCancelled
from stepwell.execution.status import StepStatus
from stepwell.execution.work import Report

INQUIRY: Final = "__inquiry"
"""The only key of a result that is a question to people."""
_SAYS: Final = ("prompt", "response_schema", "assigned_to", "timeout_seconds", "default")
_RUNNING: Final = StepStatus.RUNNING


def finish_attempt(turn: Turn, one: Instance, report: Report) -> None:
    """An attempt has ended. When it is no longer the current one nothing changes."""
    step = turn.state.steps.get(one.key)
    if step is None or step.status is not _RUNNING or step.attempts != report.attempt or step.block is not None:
        return
    result = report.result
    if report.error is not None:
        fail_or_retry(turn, one, report.error, report.started_at)
    elif type(result) is dict and len(result) == 1 and isinstance(result.get(INQUIRY), dict):
        _inquire(turn, one, result[INQUIRY], report.started_at)
    elif not one.node.retry.asks_result or not retry_result(turn, one, result, report.started_at, report.scope):
        complete(turn, one, result, report.started_at, report.scope)
        if one.node.cache_key is not None:
            keep_result(turn, one, report)


def _inquire(turn: Turn, one: Instance, asked: dict[str, Any], started_at: int) -> None:
    """Ask people what the task asks; where nothing may begin to wait any more, nobody is asked."""
    said = {name: value for name, value in asked.items() if value is not None or name == "default"}
    problem = _problem(said)
    if problem is not None:
        fail(turn, one, ErrorInfo("invalid_inquiry", f"what the task asks cannot be asked: {problem}"), started_at)
    elif one.region.stopped:
        turn.emit(StepCancelled(turn.at, one.key, "it was to ask people when nothing was to begin any more"))
        turn.run.end(one)
        ended(turn, one)
    else:
        seconds = said.pop("timeout_seconds", None)
        ask(turn, one, said, turn.at + parse_duration(seconds) if seconds is not None else None)


def _problem(said: dict[str, Any]) -> str | None:
    """Why the question cannot be asked, or None."""
    unknown = next((name for name in said if name not in _SAYS), None)
    if unknown is not None:
        return f"{INQUIRY} has {unknown!r}; expected {', '.join(_SAYS)}"
    prompt = said.get("prompt")
    if not isinstance(prompt, (str, *SECRETS)) or not prompt:
        return "prompt must be text that is not empty"
    problem = assignment_problem(said.get("assigned_to"))
    return problem or _timeout_problem(said.get("timeout_seconds")) or schema_problem(said)


def _timeout_problem(seconds: Any) -> str | None:
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or seconds <= 0:
        return "timeout_seconds must be a positive number"
    try:
        parse_duration(seconds)
    except ValueError as error:
        return f"timeout_seconds: {error}"
    return None
