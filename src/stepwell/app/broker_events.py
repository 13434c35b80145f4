"""Messages of brokers as events.

A message is a CloudEvent, structured or binary, as the bindings for Kafka, NATS and AMQP have it; or an event in its
short form; or anything else that can be read, which is then the data of an event:

    type     topic:TOPIC
    source   brokers/BROKER/TOPIC
    id       the id that its sender gave the message, else where the broker keeps it, else a new one
    subject  its key
    time     when it was published, else now
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any, Final

from stepwell.base.derive import digest
from stepwell.base.errors import ErrorInfo, StepwellError
from stepwell.execution.event import Event, check_size
from stepwell.ports.brokers import CE, CONTENT_TYPE, Message
from stepwell.telemetry.tracing import parsed
from stepwell.triggers.bodies import BadBody, read_body, read_json
from stepwell.triggers.cloud_events import (
    BATCH,
    JSON,
    STRUCTURED,
    BadEvents,
    Received,
    content_type,
    is_binary,
    received,
    received_binary,
)

TYPE: Final = "topic:"
"""What the types of plain messages begin with."""
TRACE: Final = "traceparent"

_LONGEST_ID: Final = 200
_PROVES: Final = re.compile("authorization|cookie|signature|token|secret|password|api-?key")
"""In the names of headers that no expression sees."""
_SHORT: Final = frozenset({"event", "payload", "id", "source", "subject", "time"})
_BYTES: Final = "application/octet-stream"


class MessageReader:
    """Reads the messages of one broker.

    Args:
        broker: what it is called.
    """

    def __init__(self, broker: str) -> None:
        self._broker = broker

    def read(self, message: Message, now: int) -> Received:
        """The event that a message is.

        Raises:
            StepwellError: it is none, or one that is not taken.
        """
        found = self._read(message, now)
        check_size(found.event.data)
        return found

    def source(self, message: Message) -> str:
        """The source of a plain message."""
        return f"brokers/{self._broker}/{message.topic}"

    def id_of(self, message: Message) -> str:
        """The id of a plain message: the same each time it is delivered, if there is anything to tell it by."""
        given = message.own_id or message.place
        if given is None:
            return secrets.token_hex(16)
        is_plain = len(given) <= _LONGEST_ID and given.isprintable()
        return given if is_plain else digest(given.encode(errors="surrogatepass"))

    def _read(self, message: Message, now: int) -> Received:
        headers, at = message.headers, message.at if message.at is not None else now
        kind = content_type(headers)
        if kind == BATCH:
            raise BadEvents([("", "a message holds one event, and this one holds a batch")])
        if is_binary(headers):
            return received_binary(_quoted(headers), message.body, at)
        if kind == STRUCTURED:
            return self._structured(message, read_json(message.body), at)
        body = read_body({CONTENT_TYPE: kind if kind not in ("", _BYTES) else JSON}, message.body)
        if isinstance(body, Mapping) and ("specversion" in body or _is_short(body)):
            return self._structured(message, body, at)
        event = Event(
            id=self.id_of(message),
            type=f"{TYPE}{message.topic}",
            source=self.source(message),
            data=body,
            subject=message.key or None,
            time=at,
        )
        return Received(event, {})

    def _structured(self, message: Message, body: Any, at: int) -> Received:
        new_id = self.id_of(message)
        if isinstance(body, Mapping) and _is_short(body) and not body.get("source"):
            body = {**body, "source": self.source(message)}
        return received(body, new_id, at)


def seen(message: Message, event: Event, broker: str) -> dict[str, Any]:
    """What expressions of a trigger see as `event`."""
    return {**event.as_dict(), **beside(message, broker)}


def beside(message: Message, broker: str) -> dict[str, Any]:
    """What of that is not in the event itself."""
    headers = {
        name: value for name, value in message.headers.items() if not name.startswith(CE) and not _PROVES.search(name)
    }
    return {"headers": headers, "topic": message.topic, "broker": broker, "key": message.key}


def trace_of(message: Message, found: Received) -> str:
    """The trace that the message is part of, as the W3C writes it; empty for none."""
    given = str(message.headers.get(TRACE) or found.extensions.get(TRACE) or "")
    return given if parsed(given) is not None else ""


def refusal_of(error: StepwellError) -> ErrorInfo:
    """Why a message was not taken."""
    return ErrorInfo(error.code, str(error))


def content_of(message: Message) -> Any:
    """What is in a message that is no event: JSON if it is, else text; what is no UTF-8 is escaped."""
    try:
        return read_json(message.body)
    except BadBody:
        return message.body.decode(errors="backslashreplace")


def _is_short(body: Mapping[str, Any]) -> bool:
    return "event" in body and "payload" in body and body.keys() <= _SHORT and isinstance(body["event"], str)


def _quoted(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers as over HTTP, where what stands behind a percent sign is a code."""
    return {name: value.replace("%", "%25") if name.startswith(CE) else value for name, value in headers.items()}
