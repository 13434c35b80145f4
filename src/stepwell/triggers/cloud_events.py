"""CloudEvents 1.0 over HTTP: structured, binary and batched, in and out.

Beside them an event may come in its short form, `{"event": TYPE, "payload": ...}`. Everything that is wrong with a
request is found, not only the first of it.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import quote, unquote

from stepwell.base.errors import InvalidInput
from stepwell.base.instants import from_rfc3339, to_rfc3339
from stepwell.base.values import check_json
from stepwell.execution.event import Event, reserved_problem

STRUCTURED: Final = "application/cloudevents+json"
BATCH: Final = "application/cloudevents-batch+json"
JSON: Final = "application/json"
MOST: Final = 1_000
"""So many events may be in one batch."""

LONGEST: Final = 1_024
"""The longest attribute, in characters."""

_ATTRIBUTE: Final = re.compile(r"[a-z0-9]{1,20}", re.ASCII)
_MEDIA_TYPE: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+(\s*;.*)?", re.ASCII)
_TIME: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII
)  # RFC 3339, which asks for an offset
_TEXTS: Final = ("id", "source", "type", "subject", "time", "datacontenttype", "dataschema")
_KNOWN: Final = frozenset({"specversion", "data", "data_base64", *_TEXTS})
_SHORT: Final = frozenset({"event", "payload", "id", "source", "subject", "time"})
_SOURCE: Final = "http"
"""Of an event in its short form that names none."""

Problem = tuple[str, str]
"""Where (a JSON Pointer into the body, or `header NAME`) and what."""


class BadEvents(InvalidInput):
    """A request that is no event, or no batch of them; `problems` holds all of it."""

    code = "invalid-event"

    def __init__(self, problems: Sequence[Problem]) -> None:
        first = f"{problems[0][0]}: {problems[0][1]}" if problems[0][0] else problems[0][1]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(f"not a CloudEvent: {first}{more}", problems=tuple(problems))


class Received(NamedTuple):
    """An event that came in.

    Attributes:
        extensions: its further attributes, such as `traceparent`.
    """

    event: Event
    extensions: Mapping[str, Any]


def content_type(headers: Mapping[str, str]) -> str:
    """The media type of a request, in lower case and without parameters."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def is_binary(headers: Mapping[str, str]) -> bool:
    """Whether the attributes are in headers, and the body is the data."""
    return "ce-specversion" in headers and not content_type(headers).startswith("application/cloudevents")


def received(body: Any, new_id: str, now: int) -> Received:
    """The event of a request whose body is JSON.

    Args:
        body: the JSON value that came.
        new_id: the id of an event in its short form that names none.
        now: the time of an event that names none.

    Raises:
        BadEvents: naming everything that is wrong.
    """
    problems: list[Problem] = []
    found = _one(body, "", new_id, now, problems)
    if found is None or problems:
        raise BadEvents(problems)
    return found


def received_batch(body: Any, new_id: str, now: int) -> list[Received]:
    """The events of a request whose body is a JSON array of them.

    Args:
        new_id: what the ids of events in their short form begin with when these name none.

    Raises:
        BadEvents: naming everything that is wrong; then nothing is to be done with any of them.
    """
    if not isinstance(body, list):
        raise BadEvents([("", f"a batch is a list of events, saw {_kind_of(body)}")])
    if len(body) > MOST:
        raise BadEvents([("", f"a batch holds at most {MOST:,} events, and this one {len(body):,}")])
    problems: list[Problem] = []
    found = [_one(each, f"/{place}", f"{new_id}-{place}", now, problems) for place, each in enumerate(body)]
    if problems:
        raise BadEvents(problems)
    return [each for each in found if each is not None]


def received_binary(headers: Mapping[str, str], body: bytes, now: int) -> Received:
    """The event of a request in binary mode: attributes in `ce-` headers, the data as the body.

    Raises:
        BadEvents: naming everything that is wrong.
    """
    problems: list[Problem] = []
    attributes: dict[str, Any] = {}
    for name, value in headers.items():
        if name.startswith("ce-"):
            attributes[name.removeprefix("ce-")] = _unquoted(name, value, problems)
    if "content-type" in headers:
        attributes["datacontenttype"] = headers["content-type"]
    forbidden = [name for name in ("data", "data_base64") if attributes.pop(name, None) is not None]
    problems += [(f"header ce-{name}", "the data is the body") for name in forbidden]
    data = _data_of_bytes(body, attributes.get("datacontenttype"), "", problems)
    found = _event(attributes, data, "header ce-", now, problems)
    if found is None or problems:
        raise BadEvents(problems)
    return found


def _one(body: Any, where: str, new_id: str, now: int, problems: list[Problem]) -> Received | None:
    if not isinstance(body, Mapping):
        problems.append((where, f"an event is an object, saw {_kind_of(body)}"))
        return None
    if "specversion" not in body and "event" in body:
        return _short(body, where, new_id, now, problems)
    attributes = {
        name: value for name, value in body.items() if name not in ("data", "data_base64") and value is not None
    }
    data = _data(body, where, problems)
    return _event(attributes, data, f"{where}/", now, problems)


def _short(body: Mapping[str, Any], where: str, new_id: str, now: int, problems: list[Problem]) -> Received | None:
    """`{event, payload}`."""
    before = len(problems)
    problems += [(f"{where}/{name}", "there is no such key") for name in body if name not in _SHORT]
    problems += [] if "payload" in body else [(f"{where}/payload", "is missing")]
    attributes = {"specversion": "1.0", "type": body["event"], "id": body.get("id") or new_id}
    attributes["source"] = body.get("source") or _SOURCE
    attributes |= {name: body[name] for name in ("subject", "time") if body.get(name) is not None}
    found = _event(attributes, body.get("payload"), f"{where}/", now, problems)
    if len(problems) > before:
        renamed = [(at.replace(f"{where}/type", f"{where}/event"), what) for at, what in problems[before:]]
        problems[before:] = renamed
        return None
    return found


def _event(attributes: Mapping[str, Any], data: Any, where: str, now: int, problems: list[Problem]) -> Received | None:
    """The event with these attributes; None when one of them is wrong."""
    before = len(problems)
    version = attributes.get("specversion")
    if version != "1.0":
        problems.append((f"{where}specversion", "is missing" if version is None else f"expected 1.0, saw {version!r}"))
    problems += [(f"{where}{name}", "is missing") for name in ("id", "source", "type") if name not in attributes]
    for name, value in attributes.items():
        problem = _attribute_problem(name, value)
        if problem is not None:
            problems.append((f"{where}{name}", problem))
    _check_data(data, where, problems)
    if len(problems) > before:
        return None
    time = attributes.get("time")
    event = Event(
        id=attributes["id"],
        type=attributes["type"],
        source=attributes["source"],
        data=data,
        subject=attributes.get("subject"),
        time=from_rfc3339(time.upper()) if time is not None else now,
    )
    reserved = reserved_problem(event)
    if reserved is not None:
        problems.append((f"{where}{'type' if 'type' in reserved else 'source'}", reserved))
        return None
    extensions = {name: value for name, value in attributes.items() if name not in _KNOWN}
    return Received(event, extensions)


def _attribute_problem(name: str, value: Any) -> str | None:
    if name == "specversion":
        return None
    if name not in _KNOWN and not _ATTRIBUTE.fullmatch(name):
        return "the name of an attribute is made of at most 20 lower-case letters and digits"
    if name in _KNOWN and not isinstance(value, str):
        return f"a text is expected, saw {_kind_of(value)}"
    if not isinstance(value, (str, bool, int)):
        return f"an attribute is a text, a number or a boolean, saw {_kind_of(value)}"
    return _text_problem(name, value) if isinstance(value, str) else None


def _text_problem(name: str, text: str) -> str | None:
    if not text:
        return "is empty"
    if len(text) > LONGEST:
        return f"is longer than {LONGEST} characters"
    if any(
        ord(character) < 32 or 127 <= ord(character) < 160 or 0xD800 <= ord(character) < 0xE000 for character in text
    ):
        return "holds a character that no attribute may hold"
    if name == "time" and not _is_time(text):
        return f"{text!r} is not a time; write it as 2026-11-20T10:00:00Z"
    if name == "datacontenttype" and not _MEDIA_TYPE.fullmatch(text):
        return f"{text!r} is not a media type"
    return None


def _is_time(text: str) -> bool:
    if not _TIME.fullmatch(text):
        return False
    try:
        from_rfc3339(text.upper())
    except (ValueError, OverflowError):
        return False
    return True


def _data(body: Mapping[str, Any], where: str, problems: list[Problem]) -> Any:
    """The data of an event in structured mode."""
    if "data_base64" not in body:
        return body.get("data")
    written = body["data_base64"]
    if "data" in body:
        problems.append((f"{where}/data_base64", "there is `data` too, and only one of them may be"))
        return None
    try:
        content = base64.b64decode(written, validate=True)
    except (binascii.Error, ValueError, TypeError):
        problems.append((f"{where}/data_base64", "is not base64"))
        return None
    return _data_of_bytes(content, body.get("datacontenttype"), f"{where}/data_base64", problems)


def _data_of_bytes(content: bytes, kind: Any, where: str, problems: list[Problem]) -> Any:
    """Bytes as a value: JSON is read, text is text, and everything else stays base64."""
    if not content:
        return None
    named = str(kind or JSON).partition(";")[0].strip().lower()
    try:
        if named == JSON or named.endswith("+json"):
            return json.loads(content)
        if named.startswith("text/") or named.endswith("xml"):
            return content.decode()
    except UnicodeDecodeError:
        problems.append((where, f"is not UTF-8 text, which {named} is"))
        return None
    except (ValueError, RecursionError):
        problems.append((where, f"is not JSON, which {named} is"))
        return None
    return base64.b64encode(content).decode()


def _check_data(data: Any, where: str, problems: list[Problem]) -> None:
    try:
        check_json(data, what="it")
    except (ValueError, RecursionError) as error:
        problems.append(("" if where.startswith("header") else f"{where}data", str(error)))


def _unquoted(name: str, value: str, problems: list[Problem]) -> str:
    """The value of a header: what is not printable ASCII is percent-encoded."""
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError:
        problems.append((f"header {name}", "its percent-encoding is not UTF-8"))
        return value


def _kind_of(value: Any) -> str:
    match value:
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case Mapping():
            return "an object"
        case _:
            return "null"


# Out


def structured(event: Event) -> dict[str, Any]:
    """The event as a JSON object; with `STRUCTURED` as content type."""
    made = {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "subject": event.subject,
        "time": to_rfc3339(event.time),
        "datacontenttype": JSON,
        "data": event.data,
    }
    return {name: value for name, value in made.items() if value is not None}


def binary(event: Event) -> tuple[dict[str, str], bytes]:
    """The event as headers and body."""
    headers = {
        f"ce-{name}": quote(str(value), safe=_UNQUOTED)
        for name, value in structured(event).items()
        if name not in ("data", "datacontenttype")
    }
    body = json.dumps(event.data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    return {**headers, "content-type": JSON}, body


def batch(events: Sequence[Event]) -> list[dict[str, Any]]:
    """Events as one JSON array; with `BATCH` as content type."""
    return [structured(event) for event in events]


_UNQUOTED: Final = "!#$&'()*+,/:;<=>?@[\\]^_`{|}~-."
"""Printable ASCII but for the space, the double quote and the percent sign."""
