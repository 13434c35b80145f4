"""Events of `emit_event` steps that brokers are told: one document for each sink that wants one, written in the
transaction that stores the event, and deleted once the broker has confirmed it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from stepwell.app.broker_sections import SinkSection
from stepwell.app.subscription_documents import matches_any
from stepwell.base.derive import digest
from stepwell.base.sensitive import seal_by_name
from stepwell.base.values import unsealed
from stepwell.execution.codec import Codec
from stepwell.execution.event import Event
from stepwell.ports.ledger import Document, Write

SOURCE: Final = "stepwell/"
"""What the sources of such events begin with; then comes the name of the workflow."""


class Emitted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event to be told.

    Attributes:
        event: without its data; `data` is that, as the codec encodes it.
        trace: the trace that the step was in; empty for none.
    """

    event: Event
    data: bytes
    trace: str = ""


class Outbox:
    """Writes down what sinks are to be told.

    Args:
        sinks: those of the configuration.
    """

    def __init__(self, sinks: Mapping[str, SinkSection], codec: Codec) -> None:
        self._sinks = {name: sink for name, sink in sinks.items() if "emitted" in sink.send}
        self._codec = codec

    def writes(self, event: Event, trace: str, now: int) -> Sequence[Write]:
        """The documents for an event that a step emitted."""
        workflow = workflow_of(event)
        wanting = [
            name
            for name, sink in self._sinks.items()
            if matches_any(sink.types, event.type) and matches_any(sink.workflows, workflow)
        ]
        if not wanting:
            return ()
        data = self._codec.encode_value(seal_by_name({"data": event.data}))
        body = _encode(Emitted(event=msgspec.structs.replace(event, data=None), data=data, trace=trace))
        key = f"{now:020d}-{digest(event.id.encode(errors='surrogatepass'))[:32]}"
        return [Write(kind=outbox_of(name), key=key, body=body) for name in wanting]


def workflow_of(event: Event) -> str:
    """The name of the workflow whose step emitted the event."""
    return event.source.removeprefix(SOURCE)


def execution_of(event: Event) -> str:
    """The id of the execution whose step emitted the event."""
    return event.id.partition("/")[0]


def outbox_of(sink: str) -> str:
    """The kind of the documents for a sink."""
    return f"emitted:{sink}"


def emitted_in(document: Document, codec: Codec) -> tuple[Event, str]:
    """The event in a document, and the trace that it came from.

    Raises:
        StoreError: it cannot be read.
    """
    kept = _decode(document.body)
    data = unsealed(codec.decode_value(kept.data))["data"]
    return msgspec.structs.replace(kept.event, data=data), kept.trace


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Emitted).decode
