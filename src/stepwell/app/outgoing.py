"""Messages about lifecycle events: what is in them, and sending one."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from yarl import URL

from stepwell.app.lifecycle import TYPES, LifecycleEvent, lifecycle_event
from stepwell.app.reading import Reading
from stepwell.app.report import event_report
from stepwell.app.subscription_documents import Format
from stepwell.base.durations import SECOND
from stepwell.base.errors import StoreError
from stepwell.base.version import VERSION
from stepwell.execution.codec import UNREADABLE, Codec
from stepwell.execution.history import HistoryEvent
from stepwell.execution.status import StepStatus
from stepwell.ports.store import Store
from stepwell.ports.work import TaskError
from stepwell.tasks.client import HttpClient
from stepwell.tasks.headers import Headers
from stepwell.tasks.requests import HttpRequest

TIMEOUT: Final = 15 * SECOND
"""How long the receiver may take."""

_log = logging.getLogger(__name__)

_MOST_BYTES: Final = 64 * 1024
_WORKING: Final = frozenset({StepStatus.RUNNING, StepStatus.RETRYING, StepStatus.WAITING})
_STATUSES: Final[Mapping[str, str]] = {
    "created": "pending",
    "started": "running",
    "resumed": "running",
    "waiting": "waiting",
    "cancelling": "running",
}
"""The status that an event of this name tells of, where it is not called like it."""


class Answered(NamedTuple):
    """What came of sending a message: the status of the answer, if there was one, and what went wrong, if anything."""

    status: int | None
    problem: str | None = None


Send = Callable[[str, Mapping[str, str], bytes], Awaitable[Answered]]
"""Sends a body with headers to a URL. Raises nothing but cancellation."""


def sender(client: HttpClient) -> Send:
    """Sends messages with this client, which says where it may connect to. Redirects are not followed."""

    async def send(url: str, headers: Mapping[str, str], body: bytes) -> Answered:
        sent = Headers()
        for name, value in {"User-Agent": f"stepwell/{VERSION}", **headers}.items():
            sent.set(name, value)
        request = HttpRequest("POST", URL(url), sent, body, TIMEOUT, _MOST_BYTES, follows=False)
        try:
            reply = await client.exchange(request)
        except TaskError as error:
            if error.type == "response_too_large":
                return Answered(200)  # it was accepted, and what the receiver has to say about it does not matter
            status = (error.details or {}).get("status")
            return Answered(status, f"answered {status}" if status is not None else error.message)
        except Exception as error:  # a defect must not hold up all that is to be sent after this
            _log.exception("a message to %s could not be sent", request)
            return Answered(None, f"it could not be sent: {type(error).__name__}")
        return Answered(reply.status)

    return send


def lifecycle_events(codec: Codec, execution: str, last: int, encoded: bytes) -> Iterator[LifecycleEvent]:
    """The lifecycle events in a row of history whose last event has this number; of a row that cannot be read none, so
    that it keeps nobody from those behind it."""
    try:
        events: list[HistoryEvent] = codec.decode_events(encoded)
    except StoreError as error:
        if error.code not in UNREADABLE:
            raise
        _log.error("what happened in execution %s up to event %d cannot be told: %s", execution, last, error)
        return
    for seq, event in enumerate(events, start=last - len(events) + 1):
        if type(event).__name__ in TYPES:
            yield lifecycle_event(execution, event_report(seq, event))


async def lifecycle_event_at(store: Store, codec: Codec, execution: str, seq: int) -> LifecycleEvent | None:
    """The lifecycle event with this number; None when there is none."""
    for row in await store.history(execution, seq - 1, 1):
        for event in lifecycle_events(codec, execution, row.seq, row.events):
            if event.seq == seq:
                return event
    return None


async def body_of(format_: Format, workflow: str, event: LifecycleEvent, reading: Reading) -> tuple[str, bytes]:
    """The content type and the body of a message."""
    if format_ == "notification":
        return "application/json", _json(await _notification(workflow, event, reading))
    cloud_event = event.as_cloud_event()
    cloud_event["data"] = {"workflow": workflow, **cloud_event["data"]}
    return "application/cloudevents+json", _json(cloud_event)


async def _notification(workflow: str, event: LifecycleEvent, reading: Reading) -> dict[str, Any]:
    _, kind, what, _ = event.type.split(".")
    state = await reading.state(event.execution_id)
    return {
        "notification_type": f"{'workflow' if kind == 'execution' else 'task'}.{what}",
        "entity_type": "workflow" if kind == "execution" else "task",
        "entity_id": event.execution_id if event.step is None else f"{event.execution_id}/{event.step}",
        "workflow_ref": workflow,
        "status": _STATUSES.get(what, what),
        "current_tasks": [key for key, step in state.steps.items() if step.status in _WORKING],
        "timestamp": event.time,
    }


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogatepass")
