"""`execution why`: what an execution waits for, or why it ended as it did."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Final

from stepwell.app.explanation import Explanation, Reason, explanation_document
from stepwell.base.clock import SystemClock
from stepwell.cli.documents import emit
from stepwell.cli.narration import one_line
from stepwell.cli.options import Setup
from stepwell.cli.streams import speaks_unicode
from stepwell.cli.subjects.executions import open_executions
from stepwell.cli.subjects.opening import run_in
from stepwell.cli.symbols import symbol_of
from stepwell.cli.words import moment, took

_MOST: Final = 50
"""Reasons that are shown of one execution; a document has all."""


def explain_execution(execution: str, setup: Setup, output: str) -> int:
    """Print why the execution does what it does."""
    now = SystemClock().now()
    explanation = run_in(open_executions(setup), lambda executions: executions.explanation(execution, now))
    emit(explanation_document(explanation), output, lambda: explained(explanation, now))
    return 0


def explained(explanation: Explanation, now: int) -> str:
    """The explanation as text; `now` is the instant at which it is read."""
    return "\n".join(line.rstrip() for line in _lines(explanation, now))


def _lines(explanation: Explanation, now: int) -> Iterator[str]:
    yield _headline(explanation, now)
    for reason in explanation.reasons[:_MOST]:
        yield ""
        yield from (f"  {line}" for line in _reason(reason, now, is_over=explanation.ended_at is not None))
    if len(explanation.reasons) > _MOST:
        yield f"\n  and {len(explanation.reasons) - _MOST:,} more; -o json shows all"


def _headline(explanation: Explanation, now: int) -> str:
    symbol = symbol_of(explanation.status, unicode=speaks_unicode(sys.stdout))
    named = f"{symbol} {explanation.workflow} {explanation.version} ({explanation.execution})"
    if explanation.ended_at is not None:
        return f"{named} {explanation.status} at {moment(explanation.ended_at, now)}"
    by = f", run by {explanation.engine}" if explanation.engine is not None else ""
    return f"{named} is {explanation.status}{by}"


def _reason(reason: Reason, now: int, *, is_over: bool) -> Iterator[str]:
    yield one_line(f"{reason.step}: {reason.text}" if reason.step is not None else reason.text)
    times = ", ".join(_times(reason, now))
    if is_over and reason.since is not None:
        yield f"  at {moment(reason.since, now)}"
    elif times:
        yield f"  {times}"
    if reason.wakes is not None:
        yield f"  wakes it: {one_line(reason.wakes)}"
    if reason.why is not None:
        yield from (f"  {line}" for line in _lines(reason.why, now))


def _times(reason: Reason, now: int) -> Iterator[str]:
    if reason.since is not None:
        yield f"since {moment(reason.since, now)} ({took(now - reason.since)} ago)"
    if reason.until is not None:
        left = reason.until - now
        yield f"until {moment(reason.until, now)} ({f'in {took(left)}' if left > 0 else 'that is now'})"
