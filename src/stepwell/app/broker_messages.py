"""What brokers are told: lifecycle events, and events of steps, as messages."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, Literal

from stepwell.app.broker_events import TRACE
from stepwell.app.emitted import execution_of
from stepwell.app.lifecycle import LifecycleEvent
from stepwell.app.outgoing import body_of
from stepwell.app.reading import Reading
from stepwell.app.telemetry_sections import TracingSection
from stepwell.base.errors import StoreError
from stepwell.execution.codec import Codec
from stepwell.execution.event import Event
from stepwell.execution.history import ExecutionCreated, HistoryEvent
from stepwell.ports.brokers import CE, CONTENT_TYPE, Outgoing
from stepwell.ports.store import Store
from stepwell.telemetry.tracing import TraceParent, is_sampled, parsed, span_of, trace_of
from stepwell.triggers.cloud_events import JSON, STRUCTURED, structured

Form = Literal["structured", "binary", "notification"]

_REMEMBERED: Final = 4_096


class Traces:
    """The trace of each execution, for the header `traceparent` of messages about it."""

    def __init__(self, store: Store, codec: Codec, tracing: TracingSection) -> None:
        self._store = store
        self._codec = codec
        self._rate = tracing.sampling_rate if tracing.enabled else None
        self._known: OrderedDict[str, str] = OrderedDict()

    def note(self, execution: str, event: HistoryEvent) -> None:
        """Remember what the first event of an execution says about it."""
        if isinstance(event, ExecutionCreated):
            self._known[execution] = event.trace
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)

    async def of(self, execution: str) -> str:
        """The header; empty for none.

        Raises:
            StoreError: the history cannot be read.
        """
        if execution not in self._known:
            self._known[execution] = ""
            for row in await self._store.history(execution, 0, 1):
                with suppress(StoreError):  # it is damaged: then nothing is known of its trace
                    for event in self._codec.decode_events(row.events):
                        self.note(execution, event)
        began_in = self._known[execution]
        if self._rate is None:
            return began_in if parsed(began_in) is not None else ""
        place = trace_of(execution, began_in)
        return TraceParent(place.trace, span_of(execution)).header(sampled=is_sampled(execution, self._rate))


async def lifecycle_message(form: Form, workflow: str, event: LifecycleEvent, trace: str, reading: Reading) -> Outgoing:
    """The message about something that happened. Those of one execution have the same key."""
    cloud_event = event.as_cloud_event()
    id_, key = cloud_event["id"], event.execution_id
    if form == "notification":
        kind, body = await body_of("notification", workflow, event, reading)
        return Outgoing(id=id_, body=body, headers=_headers({CONTENT_TYPE: kind}, trace), key=key)
    cloud_event["data"] = {"workflow": workflow, **cloud_event["data"]}
    return _message(form, cloud_event, key, trace)


def emitted_message(form: Form, event: Event, trace: str) -> Outgoing:
    """The message about an event of a step. Those with the same subject have the same key, and those of one execution
    where there is none."""
    return _message(form, structured(event), event.subject or execution_of(event), trace)


def _message(form: Form, cloud_event: Mapping[str, Any], key: str, trace: str) -> Outgoing:
    whole = {**cloud_event, "partitionkey": key, **({TRACE: trace} if trace else {})}
    if form == "binary":
        data = whole.pop("data", None)
        whole.pop("datacontenttype", None)
        headers = {f"{CE}{name}": str(value) for name, value in whole.items()}
        return Outgoing(
            id=whole["id"], body=_json(data), headers=_headers({**headers, CONTENT_TYPE: JSON}, trace), key=key
        )
    return Outgoing(id=whole["id"], body=_json(whole), headers=_headers({CONTENT_TYPE: STRUCTURED}, trace), key=key)


def _headers(headers: Mapping[str, str], trace: str) -> dict[str, str]:
    return {**headers, **({TRACE: trace} if trace else {})}


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
