"""How history and states are written down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.base.errors import StoreError
from stepwell.base.values import Sealed, SecretRef, SecretText
from stepwell.execution.codec import FORMAT, Codec
from stepwell.execution.evolve import fold
from stepwell.execution.history import ExecutionStarted, StepCompleted, VariablesSet
from tests.decider.story import SECOND, Story, begun, retries, step, workflow
from tests.execution.ciphers import Toy
from tests.execution.examples import KINDS, ONE_OF_EACH, RANDOM, WITH_LATER_FIELDS, plain_values, values

CODEC = Codec(Toy())
GOLDEN = Path(__file__).parent / "golden"


def refused(row: bytes, code: str) -> StoreError:
    """The error that decoding this row raises."""
    with pytest.raises(StoreError) as caught:
        CODEC.decode_events(row)
    assert caught.value.code == code
    assert caught.value.exit_status == 4
    return caught.value


# Round trips


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_every_kind_of_event_comes_back_as_it_was(kind: type, data: st.DataObject) -> None:
    event = data.draw(RANDOM[kind])
    assert CODEC.decode_events(CODEC.encode_events([event])) == [event]


@settings(max_examples=25, deadline=None)
@given(events=st.lists(st.one_of(*RANDOM.values()), max_size=5))
def test_the_events_of_a_row_keep_their_order(events: list[Any]) -> None:
    assert CODEC.decode_events(CODEC.encode_events(events)) == events


def test_types_are_kept_exactly() -> None:
    event = VariablesSet(
        1, "a", {"int": 1, "float": 1.0, "big": 2**64 - 1, "small": -(2**63), "yes": True, "none": None}
    )
    (back,) = CODEC.decode_events(CODEC.encode_events([event]))
    assert isinstance(back, VariablesSet)
    assert {name: type(value) for name, value in back.values.items()} == {
        "int": int, "float": float, "big": int, "small": int, "yes": bool, "none": type(None),
    }  # fmt: skip


def test_the_usual_event_is_small() -> None:
    assert len(CODEC.encode_events([StepCompleted(1_700_000_000_000_000, "step", 1_700_000_000_000_000, None)])) < 40


# Secrets


@settings(max_examples=50, deadline=None)
@given(secret=st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=6), other=plain_values)
def test_a_sealed_value_is_not_readable_in_the_row(secret: str, other: Any) -> None:
    for hidden in (secret, [secret, 1], {"in": {"deep": secret}}):
        row = CODEC.encode_events([VariablesSet(1, "a", {"x": Sealed(hidden)})])
        assert secret.encode() not in row
    text = SecretText(("Bearer ", Sealed(secret)))
    assert secret.encode() not in CODEC.encode_events([VariablesSet(1, "a", {"x": text})])
    assert secret.encode() not in CODEC.encode_value(Sealed({"a": secret}))


def test_of_a_secret_of_the_secret_store_only_its_name_is_written() -> None:
    row = CODEC.encode_events([VariablesSet(1, "a", {"x": SecretRef("TOKEN"), "y": SecretText((SecretRef("TOKEN"),))})])
    assert row.count(b"TOKEN") == 2


def test_what_no_store_can_hold_is_refused() -> None:
    with pytest.raises(TypeError, match="object cannot be stored"):
        CODEC.encode_events([VariablesSet(1, "a", {"x": object()})])


# What cannot be read


def test_a_row_of_a_newer_format_is_told_from_a_damaged_one() -> None:
    newer = msgspec.msgpack.encode((FORMAT + 1, [ExecutionStarted(1)]))
    assert "newer stepwell" in refused(newer, "newer-history").message
    refused(msgspec.msgpack.encode((FORMAT + 1, {"rows": "of another shape"})), "newer-history")
    refused(msgspec.msgpack.encode((0, [ExecutionStarted(1)])), "damaged-history")


def test_an_unknown_kind_of_event_is_of_a_newer_version() -> None:
    row = msgspec.msgpack.encode((FORMAT, [[2, 1], [99, 2, "what?"]]))
    error = refused(row, "newer-history")
    assert error.hint == "upgrade this one"


def test_an_unknown_kind_of_value_is_of_a_newer_version() -> None:
    row = msgspec.msgpack.encode((FORMAT, [[13, 1, "a", {"x": msgspec.msgpack.Ext(77, b"?")}]]))
    refused(row, "newer-history")


def test_fields_that_a_newer_version_added_are_passed_over() -> None:
    row = msgspec.msgpack.encode((FORMAT, [[2, 1, "added later"]]))
    assert CODEC.decode_events(row) == [ExecutionStarted(1)]


def test_fields_that_an_older_version_did_not_have_get_their_defaults() -> None:
    row = msgspec.msgpack.encode((FORMAT, [[4, 1, "a", 0, None]]))
    assert CODEC.decode_events(row) == [StepCompleted(1, "a", 0, None, ())]


@pytest.mark.parametrize(
    "row",
    [
        b"",
        b"\xc1",
        b"not msgpack",
        msgspec.msgpack.encode(5),
        msgspec.msgpack.encode([1]),
        msgspec.msgpack.encode((1, 5)),
        msgspec.msgpack.encode((1, [5])),
        msgspec.msgpack.encode((1, [[]])),
        msgspec.msgpack.encode((1, [[{"a": 1}]])),
        msgspec.msgpack.encode((1, [[[1]]])),
        msgspec.msgpack.encode((1, [[2, "not a time"]])),
        msgspec.msgpack.encode((1, [[7, 1, "too short"]])),
        b"\x92\x01\x91\x93\x08\x01\xa1\xff",  # text that is no UTF-8
        b"\x92\x01\x91\x94\x0d\x01\xa1a\x81\xa1x" + b"\x91" * 5_000,  # nested without end
        b"\x92\x01\x91\x94\x0d\x01\xa1a\x81\xa1x\xc7\x01\x02\xff",  # a secret's name that is no UTF-8
    ],
)
def test_damaged_bytes_are_told_as_that(row: bytes) -> None:
    refused(row, "damaged-history")


@settings(max_examples=200, deadline=None)
@given(event=st.sampled_from(ONE_OF_EACH), data=st.data())
def test_no_damage_of_any_kind_raises_anything_else(event: Any, data: st.DataObject) -> None:
    row = bytearray(CODEC.encode_events([event]))
    for _ in range(data.draw(st.integers(1, 3))):
        row[data.draw(st.integers(0, len(row) - 1))] = data.draw(st.integers(0, 255))
    row = row[: data.draw(st.integers(0, len(row)))]
    try:
        CODEC.decode_events(bytes(row))
    except StoreError as error:
        assert error.code in ("damaged-history", "newer-history")  # noqa: PT017


# Snapshots


def rich_story() -> Story:
    """An execution with something in every part of its state."""
    story = begun(
        workflow(
            step("flaky", retry=retries(3), config={"task": "work", "args": {"n": "{{ vars.n }}"}}),
            step("wait", type="wait_for_event", config={"event_type": "go", "filter": {"n": "{{ input.password }}"}}),
            step("second", type="wait_for_event", config={"event_type": "go"}),
            step("broken", on_failure=None),
            step("done", publish=(("n", 2),)),
            step("skipped", when=False),
            undo=(step("undo"),),
            vars=(("n", 1),),
            timeout=60 * SECOND,
            failure_mode="drain",
        ),
        {"password": "hunter2"},
    )
    story.failed("flaky", after=3)
    story.event("second")
    story.failed("broken")
    story.done("done", {"key": Sealed("x")})
    return story


def test_a_snapshot_comes_back_as_it_was() -> None:
    state = rich_story().state
    snapshot = CODEC.encode_state(state)
    assert CODEC.decode_state(snapshot) == state
    assert b"hunter2" not in snapshot


def test_folding_goes_on_from_a_snapshot_as_if_it_had_never_stopped() -> None:
    story = rich_story()
    for cut in range(1, len(story.history)):
        snapshot = CODEC.decode_state(CODEC.encode_state(fold(story.history[:cut])))
        assert fold(story.history[cut:], snapshot) == story.state


@pytest.mark.parametrize(
    ("snapshot", "code"),
    [
        (b"", "damaged-history"),
        (msgspec.msgpack.encode((1, {})), "damaged-history"),
        (msgspec.msgpack.encode((FORMAT + 1, {})), "newer-history"),
        (msgspec.msgpack.encode((FORMAT + 1, "what?")), "newer-history"),
    ],
)
def test_a_snapshot_that_cannot_be_read_is_told(snapshot: bytes, code: str) -> None:
    with pytest.raises(StoreError) as caught:
        CODEC.decode_state(snapshot)
    assert caught.value.code == code


@settings(max_examples=30, deadline=None)
@given(value=values)
def test_any_value_can_be_written_alone(value: Any) -> None:
    assert isinstance(CODEC.encode_value(value), bytes)


# Recorded rows


def golden_rows() -> list[tuple[str, bytes]]:
    """The recorded rows of format 1."""
    lines = (GOLDEN / "history-format-1.txt").read_text("ascii").splitlines()
    pairs = [line.split() for line in lines if not line.startswith("#")]
    return [(kind, bytes.fromhex(row)) for kind, row in pairs]


@pytest.mark.parametrize(("kind", "row"), golden_rows(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_recorded_row_still_means_what_it_meant(kind: str, row: bytes) -> None:
    expected = {type(event).__name__: event for event in ONE_OF_EACH}
    later = {f"{type(event).__name__}+": event for event in WITH_LATER_FIELDS}
    assert CODEC.decode_events(row) == [{**expected, **later}[kind]]


def test_there_is_a_recorded_row_of_every_kind() -> None:
    kinds = [kind for kind, _ in golden_rows() if not kind.endswith("+")]
    assert sorted(kinds) == sorted(kind.__name__ for kind in KINDS)


def test_there_is_a_recorded_row_of_every_kind_that_got_further_fields() -> None:
    later = [kind.removesuffix("+") for kind, _ in golden_rows() if kind.endswith("+")]
    assert sorted(later) == sorted(type(event).__name__ for event in WITH_LATER_FIELDS)


def test_tags_are_never_given_to_another_kind() -> None:
    tags = [kind.__struct_config__.tag for kind in KINDS]  # type: ignore[attr-defined]
    assert len(set(tags)) == len(tags)
