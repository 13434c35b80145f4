"""Messages of brokers as events."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.app.broker_events import MessageReader, content_of, trace_of
from stepwell.base.errors import StepwellError
from stepwell.base.instants import from_rfc3339
from stepwell.execution.event import Event
from stepwell.ports.brokers import CONTENT_TYPE, Message
from stepwell.triggers.cloud_events import BATCH, STRUCTURED, binary, structured

NOW = from_rfc3339("2026-11-20T10:00:00Z")
READER = MessageReader("kafka")
EVENT = Event(id="e1", type="order:paid", source="shop/50% off", data={"n": 1}, subject="o 7", time=NOW)


def message(body: Any, headers: dict[str, str] | None = None, **more: Any) -> Message:
    written = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Message(topic="orders", body=written, headers=headers or {}, place="0/7/1", **more)


def test_a_structured_event_is_taken_as_it_is_whether_or_not_its_content_type_says_so() -> None:
    for headers in ({CONTENT_TYPE: STRUCTURED}, {CONTENT_TYPE: "application/json"}, {}):
        assert READER.read(message(structured(EVENT), headers), NOW).event == EVENT


def test_a_binary_event_has_its_attributes_in_headers_which_are_plain_text() -> None:
    headers, body = binary(EVENT)
    plain = {**headers, "ce-source": EVENT.source, "ce-subject": EVENT.subject or ""}
    assert READER.read(message(body, plain), NOW).event == EVENT


def test_a_plain_message_becomes_an_event_by_rules() -> None:
    found = READER.read(message({"total": 5}, key="o7", at=NOW - 5), NOW).event
    assert found == Event(
        id="0/7/1",
        type="topic:orders",
        source="brokers/kafka/orders",
        data={"total": 5},
        subject="o7",
        time=NOW - 5,
    )


def test_the_id_that_the_sender_gave_goes_before_the_place_and_without_both_it_is_a_new_one() -> None:
    assert READER.read(message({}, own_id="x1"), NOW).event.id == "x1"
    assert len(READER.read(message({}, own_id="x" * 999), NOW).event.id) < 100
    bare = Message(topic="orders", body=b"{}")
    assert READER.read(bare, NOW).event.id != READER.read(bare, NOW).event.id


def test_the_short_form_without_an_id_or_a_source_is_known_by_where_it_is_kept() -> None:
    found = READER.read(message({"event": "order:paid", "payload": {"n": 1}}), NOW).event
    assert (found.id, found.type, found.source, found.data) == ("0/7/1", "order:paid", "brokers/kafka/orders", {"n": 1})
    other = READER.read(message({"event": "order:paid", "payload": 1, "kind": "x"}), NOW).event
    assert (other.type, other.data["kind"]) == ("topic:orders", "x")


@pytest.mark.parametrize(
    ("body", "kind", "data"),
    [
        (b"", "", None),
        (b"[1, 2]", "application/octet-stream", [1, 2]),
        (b"hello", "text/plain", "hello"),
        (b"a=1&b=2", "application/x-www-form-urlencoded", {"a": "1", "b": "2"}),
    ],
)
def test_what_can_be_read_is_the_data(body: bytes, kind: str, data: Any) -> None:
    assert READER.read(message(body, {CONTENT_TYPE: kind}), NOW).event.data == data


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        (b"{no json", {}, "invalid-body"),
        (b"\xff\xfe", {}, "invalid-body"),
        (b"[" * 5_000, {}, "invalid-body"),
        (b"\x00", {CONTENT_TYPE: "image/png"}, "unsupported-media-type"),
        (b"[]", {CONTENT_TYPE: BATCH}, "invalid-event"),
        (b"[]", {CONTENT_TYPE: STRUCTURED}, "invalid-event"),
        (b'{"specversion": "1.0"}', {}, "invalid-event"),
        (b"{}", {"ce-specversion": "1.0", "ce-id": "x"}, "invalid-event"),
        (json.dumps({**structured(EVENT), "type": "stepwell.x"}).encode(), {}, "invalid-event"),
        (json.dumps({"x": "y" * 300_000}).encode(), {}, "event-too-large"),
    ],
)
def test_what_is_no_event_is_said(body: bytes, headers: dict[str, str], code: str) -> None:
    with pytest.raises(StepwellError) as raised:
        READER.read(message(body, headers), NOW)
    assert raised.value.code == code


def test_the_trace_comes_from_the_header_or_from_the_event() -> None:
    trace = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    plain = message({}, {"traceparent": trace})
    assert trace_of(plain, READER.read(plain, NOW)) == trace
    inside = message({**structured(EVENT), "traceparent": trace})
    assert trace_of(inside, READER.read(inside, NOW)) == trace
    assert trace_of(message({}), READER.read(message({}), NOW)) == ""


@given(
    st.binary(max_size=200), st.dictionaries(st.sampled_from(["content-type", "ce-specversion", "ce-id"]), st.text())
)
def test_garbage_is_an_event_or_is_refused_with_a_message(body: bytes, headers: dict[str, str]) -> None:
    given_ = message(body, headers)
    content_of(given_)
    with suppress(StepwellError):
        assert READER.read(given_, NOW).event.type
