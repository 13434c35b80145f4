"""`execution pause` and the other verbs of operators, and `dlq retry`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from stepwell.app.operating import Done, Move, names_of
from stepwell.app.who import this_user
from stepwell.base.errors import UsageError
from stepwell.cli.documents import emit
from stepwell.cli.given import read_json
from stepwell.cli.narration import one_line
from stepwell.cli.options import Setup
from stepwell.cli.subjects.opening import run_in
from stepwell.cli.subjects.operating import Operating, open_operating
from stepwell.execution.status import ExecutionStatus
from stepwell.execution.verbs import (
    Cancel,
    Compensate,
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

_AT_WORK: Final = frozenset({ExecutionStatus.RUNNING.value, ExecutionStatus.COMPENSATING.value})
_Result = TypeVar("_Result")


class Asking(NamedTuple):
    """How something is asked for: by whom, why, where, how long an engine may take, and how it is printed."""

    by: str | None
    reason: str | None
    wait: int | None
    setup: Setup
    output: str

    @property
    def person(self) -> dict[str, str]:
        """Who and why, as verbs take it."""
        return {"by": self.by or this_user(), "reason": self.reason or ""}


def pause(execution: str, asking: Asking) -> int:
    """Start nothing new."""
    return _ask(execution, Pause(**asking.person), asking)


def resume(execution: str, asking: Asking) -> int:
    """Go on after a pause."""
    return _ask(execution, Resume(**asking.person), asking)


def cancel(execution: str, stop: bool | None, compensate: bool | None, asking: Asking) -> int:
    """End it once what runs has ended, or has been stopped."""
    by, reason = asking.person.values()
    return _ask(execution, Cancel(by=by, reason=reason, stop=stop, compensate=compensate), asking)


def terminate(execution: str, asking: Asking) -> int:
    """End it at once."""
    return _ask(execution, Terminate(**asking.person), asking)


def compensate(execution: str, asking: Asking) -> int:
    """Start the compensation that waits for that."""
    return _ask(execution, Compensate(**asking.person), asking)


def retry(execution: str, steps: tuple[str, ...], asking: Asking) -> int:
    """Try failed steps again."""
    by, reason = asking.person.values()
    return _ask(execution, Retry(by=by, reason=reason, steps=steps), asking)


def rerun(execution: str, step: str, given: str | None, keep_items: bool, asking: Asking) -> int:
    """Run a step and all behind it again."""
    by, reason = asking.person.values()
    settings = _settings(given)
    return _ask(execution, Rerun(by=by, reason=reason, step=step, settings=settings, keep_items=keep_items), asking)


def rollback(execution: str, checkpoint: str, asking: Asking) -> int:
    """Undo what came after a checkpoint, and go on from there."""
    by, reason = asking.person.values()
    return _ask(execution, Rollback(by=by, reason=reason, checkpoint=checkpoint), asking)


def skip_step(execution: str, step: str, force: bool, asking: Asking) -> int:
    """Let a step count as skipped."""
    by, reason = asking.person.values()
    return _ask(execution, SkipStep(by=by, reason=reason, step=step, force=force), asking)


def complete_step(execution: str, step: str, given: str | None, force: bool, asking: Asking) -> int:
    """Let a step count as completed with that output."""
    by, reason = asking.person.values()
    value = read_json(given, "the output") if given is not None else None
    return _ask(execution, CompleteStep(by=by, reason=reason, step=step, output=value, force=force), asking)


def retry_letter(id_: str, given: str | None, asking: Asking) -> int:
    """Try the step of a dead letter again."""
    by, reason = asking.person.values()
    settings = _settings(given)

    return _tell(_run(lambda operating: operating.retry_letter(id_, settings, by=by, reason=reason), asking), asking)


def fork(execution: str, at_event: int, asking: Asking) -> int:
    """Begin another execution with the history of this one."""
    by, reason = asking.person.values()

    forked = _run(lambda operating: operating.fork(execution, at_event, by=by, reason=reason), asking)
    setup = asking.setup
    going_on = f"stepwell run --resume {forked.execution}{setup.same_store()}" if setup.server is None else None
    document = {
        "execution_id": forked.execution,
        "forked_from": forked.origin,
        "seq": forked.seq,
        "next": going_on,
    }
    rounded = f" (the turn of event {at_event} ends there)" if forked.seq != at_event else ""
    told = f"{forked.execution}: forked from {execution} at event {forked.seq}{rounded}"
    emit(document, asking.output, lambda: f"{told}\nto run it: {going_on}" if going_on else told)
    return 0


def signal(execution: str, type_: str, given: str | None, asking: Asking) -> int:
    """Send an event to the execution alone."""
    data = read_json(given, "the data") if given is not None else None
    document = _run(lambda operating: operating.signal(execution, type_, data), asking)
    emit(document, asking.output, lambda: f"{type_} sent to execution {execution}")
    return 0


def migrate(
    executions: Sequence[str],
    to: str,
    mapping: Sequence[str],
    source: tuple[str, str] | None,
    dry_run: bool,
    asking: Asking,
) -> int:
    """Move executions to another version; 1 when one of them cannot be moved."""
    by, reason = asking.person.values()
    names = names_of(mapping)

    async def moving(operating: Operating) -> list[Move]:
        chosen = list(executions)
        if source is not None:
            chosen += [id_ async for id_ in operating.executions_of(*source)]
        return [await operating.move(id_, to, names, by=by, reason=reason, dry_run=dry_run) for id_ in chosen]

    moves = _run(moving, asking)
    emit(
        {"items": [msgspec.to_builtins(move) for move in moves], "next": None},
        asking.output,
        lambda: "\n".join(map(_move_line, moves)) or "no executions",
    )
    return 1 if any(move.problems for move in moves) else 0


def _move_line(move: Move) -> str:
    way = f"{move.workflow} {move.version} → {move.to}"
    if move.problems:
        return one_line(f"{move.execution}: {way} cannot be: {'; '.join(move.problems)}")
    return f"{move.execution}: {way}" + ("" if move.moved else " can be")


def _settings(given: str | None) -> dict[str, Any] | None:
    if given is None:
        return None
    settings = read_json(given, "the input")
    if not isinstance(settings, dict):
        raise UsageError("the input must be a JSON object: what is put over the settings of the step")
    return settings


def _ask(execution: str, verb: Verb, asking: Asking) -> int:
    return _tell(_run(lambda operating: operating.ask(execution, verb), asking), asking)


def _tell(done: Done, asking: Asking) -> int:
    answer = done.answer
    needs_engine = answer.execution and answer.changed and not done.has_engine and answer.status in _AT_WORK
    going_on = f"stepwell run --resume {answer.execution}{asking.setup.same_store()}" if needs_engine else None
    document = {
        "execution_id": answer.execution or None,
        "verb": answer.verb,
        "changed": answer.changed,
        "message": answer.said,
        "status": answer.status,
        "next": going_on,
    }
    line = one_line(f"{answer.execution}: {answer.said}" if answer.execution else answer.said)
    emit(document, asking.output, lambda: f"{line}\nno engine runs it: {going_on}" if going_on else line)
    return 0


def _run(work: Callable[[Operating], Awaitable[_Result]], asking: Asking) -> _Result:
    return run_in(open_operating(asking.setup, asking.by, asking.wait), work)
