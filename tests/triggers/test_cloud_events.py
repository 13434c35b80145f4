"""CloudEvents over HTTP."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.base.instants import from_rfc3339
from stepwell.execution.event import Event
from stepwell.triggers.cloud_events import (
    JSON,
    LONGEST,
    MOST,
    BadEvents,
    batch,
    binary,
    is_binary,
    received,
    received_batch,
    received_binary,
    structured,
)

NOW = from_rfc3339("2026-11-20T10:00:00Z")
LEAST = {"specversion": "1.0", "id": "e1", "source": "/shop", "type": "paid"}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3),
    max_leaves=8,
)
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)
events = st.builds(
    Event,
    id=texts,
    type=texts.filter(lambda text: not text.startswith("stepwell.")),
    source=texts.filter(lambda text: not text.startswith("stepwell.")),
    data=json_values,
    subject=st.none() | texts,
    time=st.integers(0, from_rfc3339("2200-01-01T00:00:00Z")),
)


def problems(body: Any, take: Callable[[Any, str, int], object] = received) -> list[tuple[str, str]]:
    with pytest.raises(BadEvents) as refused:
        take(body, "new", NOW)
    return list(refused.value.problems)


@given(events)
def test_what_is_written_is_read_again(event: Event) -> None:
    assert received(structured(event), "new", NOW).event == event
    headers, body = binary(event)
    assert is_binary(headers)
    assert all(value.isascii() and value.isprintable() for value in headers.values())
    assert received_binary(headers, body, NOW).event == event
    both = [event, Event(id="x" + event.id, type="t", source="s", time=NOW)]
    assert [each.event for each in received_batch(batch(both), "new", NOW)] == both


def test_the_least_event_has_the_time_at_which_it_came() -> None:
    assert received(LEAST, "new", NOW).event == Event(id="e1", type="paid", source="/shop", time=NOW)
    traced = received({**LEAST, "traceparent": "00-1", "n": 7}, "new", NOW)
    assert traced.extensions == {"traceparent": "00-1", "n": 7}


def test_the_short_form_is_taken_too() -> None:
    found = received({"event": "ticket:created", "payload": {"n": 1}}, "new", NOW)
    assert found.event == Event(id="new", type="ticket:created", source="http", data={"n": 1}, time=NOW)
    several = [{"event": "a", "payload": 1}, {"event": "b", "payload": 2, "id": "mine", "source": "s"}]
    found_all = received_batch(several, "new", NOW)
    assert [(each.event.id, each.event.source) for each in found_all] == [("new-0", "http"), ("mine", "s")]
    assert problems({"event": "a"}) == [("/payload", "is missing")]
    assert problems({"event": 5, "payload": 1, "extra": 1}) == [
        ("/extra", "there is no such key"),
        ("/event", "a text is expected, saw a number"),
    ]


def test_data_may_be_base64() -> None:
    def data(kind: str, content: bytes) -> Any:
        encoded = base64.b64encode(content).decode()
        body = {**LEAST, "datacontenttype": kind, "data_base64": encoded}
        return received(body, "new", NOW).event.data

    assert data("application/json", b'{"a": 1}') == {"a": 1}
    assert data("text/plain", "hä".encode()) == "hä"
    assert data("image/png", b"\x89PNG") == base64.b64encode(b"\x89PNG").decode()


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"specversion": None}, "/specversion"),
        ({"specversion": "0.3"}, "/specversion"),
        ({"id": None}, "/id"),
        ({"id": ""}, "/id"),
        ({"id": 7}, "/id"),
        ({"source": ["x"]}, "/source"),
        ({"type": "x" * (LONGEST + 1)}, "/type"),
        ({"type": "a\nb"}, "/type"),
        ({"subject": {}}, "/subject"),
        ({"time": "yesterday"}, "/time"),
        ({"time": "2026-11-20T10:00:00"}, "/time"),
        ({"time": "2026-13-20T10:00:00Z"}, "/time"),
        ({"datacontenttype": "json"}, "/datacontenttype"),
        ({"Extension": "x"}, "/Extension"),
        ({"extension": 1.5}, "/extension"),
        ({"data_base64": "%%"}, "/data_base64"),
        ({"data_base64": "QQ==", "data": 1}, "/data_base64"),
        ({"data": 2**70}, "/data"),
        ({"type": "stepwell.approval.answered"}, "/type"),
        ({"source": "stepwell.signal"}, "/source"),
    ],
)
def test_each_violation_is_named(changes: dict[str, Any], pointer: str) -> None:
    found = problems({key: value for key, value in {**LEAST, **changes}.items() if value is not None})
    assert [where for where, _ in found] == [pointer]
    assert all(what for _, what in found)


def test_all_violations_are_named_and_a_batch_is_taken_as_a_whole() -> None:
    body = [LEAST, {"id": 1}, "x", {**LEAST, "time": "x"}]
    assert [where for where, _ in problems(body, received_batch)] == [
        "/1/specversion", "/1/source", "/1/type", "/1/id", "/2", "/3/time",
    ]  # fmt: skip
    assert problems({}, received_batch) == [("", "a batch is a list of events, saw an object")]
    assert problems([LEAST] * (MOST + 1), received_batch)[0][0] == ""
    assert received_batch([], "new", NOW) == []
    assert problems("x") == [("", "an event is an object, saw a text")]
    assert problems([LEAST]) == [("", "an event is an object, saw a list")]


def test_an_event_in_binary_mode_names_its_violations() -> None:
    headers = {"ce-specversion": "1.0", "ce-type": "paid", "ce-time": "x", "ce-a_b": "1", "content-type": JSON}
    with pytest.raises(BadEvents) as refused:
        received_binary(headers, b"{no", NOW)
    assert [where for where, _ in refused.value.problems] == [
        "", "header ce-id", "header ce-source", "header ce-time", "header ce-a_b",
    ]  # fmt: skip
    with pytest.raises(BadEvents):
        received_binary({"ce-specversion": "1.0", "ce-id": "%ff", "ce-source": "s", "ce-type": "t"}, b"", NOW)


@given(json_values, st.sampled_from([received, received_batch]))
def test_whatever_comes_is_read_or_refused(body: Any, take: Callable[[Any, str, int], object]) -> None:
    try:
        take(body, "new", NOW)
    except BadEvents as error:
        json.dumps(error.problems)
