"""`event publish`: an event for whatever waits or is started by it, in this process or another."""

from __future__ import annotations

import uuid
from typing import Any, assert_never

from msgspec import to_builtins

from stepwell.app.triggering import Firing, PublishedEvent
from stepwell.base.clock import SystemClock
from stepwell.base.durations import format_duration
from stepwell.base.errors import UsageError
from stepwell.base.values import check_json
from stepwell.cli.documents import emit
from stepwell.cli.given import read_json
from stepwell.cli.options import Setup
from stepwell.cli.streams import say
from stepwell.cli.subjects.events import open_events
from stepwell.cli.subjects.opening import run_in
from stepwell.cli.words import count
from stepwell.definition.diagnostics import printable
from stepwell.execution.event import Event, check_size, reserved_problem


def publish_event(
    type_: str,
    given: str | None,
    setup: Setup,
    output: str,
    *,
    source: str,
    subject: str | None,
    id_: str | None,
    quiet: bool,
) -> int:
    """Store the event, and say whom it woke."""
    data = read_json(given, "the data") if given is not None else None
    event = _event(type_, source, id_ if id_ is not None else str(uuid.uuid4()), subject, data)
    published, keep = run_in(open_events(setup), lambda events: events.publish(event))
    document = {
        "id": event.id,
        "type": event.type,
        "source": event.source,
        "subject": event.subject,
        "duplicate": published.duplicate,
        "waits": published.waits,
        "engine_present": published.engine_present,
        "firings": [to_builtins(firing) for firing in published.firings],
    }
    emit(document, output, lambda: "" if quiet else _told(event, published, keep))
    if not published.engine_present and not quiet:
        if published.waits:
            say("no engine is running on this store: the event is kept, and is seen when the execution is resumed")
        if published.started:
            say("no engine is running on this store: what it starts begins when an engine takes up what is unfinished")
    return 0


def _event(type_: str, source: str, id_: str, subject: str | None, data: Any) -> Event:
    """The event, checked.

    Raises:
        UsageError: an empty name, data that cannot be stored or is too much, or a name that is the engine's own.
    """
    for name, text in (("TYPE", type_), ("--source", source), ("--id", id_)):
        if not text.strip():
            raise UsageError(f"{name} must not be empty")
    try:
        for name, value in (("TYPE", type_), ("--source", source), ("--id", id_), ("--subject", subject or "")):
            check_json(value, what=name)
        check_json(data, what="the data")
    except ValueError as error:
        raise UsageError(str(error), code="invalid-event") from None
    event = Event(id=id_, type=type_, source=source, subject=subject, data=data, time=SystemClock().now())
    problem = reserved_problem(event)
    if problem is not None:
        raise UsageError(problem, code="reserved-event")
    check_size(data)
    return event


def _told(event: Event, published: PublishedEvent, keep: int | None) -> str:
    if published.duplicate:
        return f"event {event.id} from {event.source} was accepted before; nothing was done"
    did = []
    if published.waits:
        does = "it woke" if published.engine_present else "it is for"
        did.append(f"{does} {count(published.waits, 'wait')}")
    if published.started:
        did.append(f"it starts {count(len(published.started), 'execution')}")
    if not did:
        kept = f" for {format_duration(keep)}" if keep is not None else ""
        did.append(f"nothing waits for it yet, and it is kept{kept} for waits that begin later")
    lines = [f"event {event.id} accepted; {', and '.join(did)}"]
    return "\n".join([*lines, *(f"  {printable(_line(firing))}" for firing in published.firings)])


def _line(firing: Firing) -> str:
    """What a trigger made of the event, for people."""
    workflow = f"{firing.workflow} {firing.version}"
    match firing.outcome:
        case "started":
            return f"started {workflow}: execution {firing.execution_id}"
        case "present":
            return f"started {workflow} before: execution {firing.execution_id}"
        case "filtered":
            return f"did not start {workflow}: {firing.reason}"
        case "refused":
            return f"cannot start {workflow}: {firing.reason}"
        case _:
            assert_never(firing.outcome)
