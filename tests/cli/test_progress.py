"""Progress: the board that events are noted on, the words, and the lines."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.base.errors import ErrorInfo
from stepwell.cli.board import Board
from stepwell.cli.lines import Lines
from stepwell.cli.narration import error_text, one_line
from stepwell.cli.options import Setup
from stepwell.cli.sending import how_to_send
from stepwell.definition.model import FailureAction, WorkflowDefinition
from stepwell.execution.history import WaitStarted
from stepwell.execution.status import StepStatus
from stepwell.policy.retry import RetryPolicy
from tests.decider.story import BOOM, FLAKY, SECOND, Story, step, workflow
from tests.virtual_clock import VirtualClock

AT = 1_795_176_000 * SECOND  # 12:00:00 UTC


def a_workflow() -> WorkflowDefinition:
    return workflow(
        step("a"),
        step("b", "a", retry=RetryPolicy(max_attempts=3, initial_delay=5 * SECOND)),
        step("c", "a", on_failure=FailureAction(action="continue")),
        step("pause", "a", type="wait", config={"for": "10s"}),
        step("event", "a", type="wait_for_event", config={"event_type": "go", "timeout": "1m"}),
        step("never", "a", when="{{ false }}"),
        step("last", "b", "c", "pause", "event"),
        undo=(step("undo_a"), step("undo_b")),
    )


MOVES: list[Callable[[Story], object]] = [
    lambda story: story.done("a"),
    lambda story: story.done("b"),
    lambda story: story.failed("b", FLAKY),
    lambda story: story.failed("b", BOOM),
    lambda story: story.done("c"),
    lambda story: story.failed("c"),
    lambda story: story.event("event"),
    lambda story: story.done("last"),
    lambda story: story.failed("last"),
    lambda story: story.done("undo_a"),
    lambda story: story.failed("undo_a"),
    lambda story: story.done("undo_b"),
    lambda story: story.time(4 * SECOND),
    lambda story: story.time(20 * SECOND),
    lambda story: story.time(60 * SECOND),
]


@given(st.lists(st.sampled_from(MOVES), max_size=25))
def test_the_board_shows_every_step_as_the_execution_has_it(moves: list[Callable[[Story], object]]) -> None:
    story = Story(a_workflow(), at=AT)
    story.begin()
    for move in moves:
        move(story)
    board = Board(story.plan.definition)
    board.take(story.history)
    assert {name: row.status for name, row in board.rows.items()} == {name: story.status(name) for name in board.rows}
    assert board.status == story.state.status
    assert board.is_over() == (story.state.completed_at is not None)
    assert sum(board.counts.values()) == len(board.rows)
    assert all(board.counts[row.status] > 0 for row in board.rows.values())
    active = {StepStatus.RUNNING, StepStatus.WAITING, StepStatus.RETRYING}
    assert set(board.active) == {name for name, row in board.rows.items() if row.status in active}
    for name, row in board.rows.items():
        known = story.step(name)
        assert row.attempts == known.attempts
        if known.status in (StepStatus.COMPLETED, StepStatus.FAILED):
            assert (row.started_at, row.ended_at) == (known.started_at, known.completed_at)


def lines_of(story: Story) -> list[str]:
    board, stream = Board(story.plan.definition), io.StringIO()
    lines = Lines(board, stream, VirtualClock(AT))
    board.take(story.history)
    lines.changed(story.history)
    return stream.getvalue().splitlines()


def test_lines_tell_what_matters_to_a_person() -> None:
    story = Story(a_workflow(), at=AT)
    story.begin()
    story.done("a", after=SECOND)
    story.failed("b", FLAKY, after=SECOND)
    story.failed("c")
    story.event("event")
    story.time(10 * SECOND)
    story.failed("b", BOOM, after=2 * SECOND)
    story.done("undo_a")
    story.failed("undo_b")
    assert lines_of(story) == [
        "12:00:01 a          completed in 1.0 s",
        "12:00:01 pause      waits until 12:00:11",
        "12:00:01 event      waits for go until 12:01:01",
        "12:00:01 never      skipped: its condition does not hold",
        "12:00:02 b          attempt 1 failed: connection_error: nobody answers; tried again at 12:00:07",
        "12:00:02 c          failed: boom: it went boom; the execution goes on",
        "12:00:02 event      received go from test",
        "12:00:02 event      completed in 1.0 s",
        "12:00:12 pause      completed in 11.0 s",
        "12:00:14 b          failed: boom: it went boom",
        "12:00:14 execution  compensation begins: step 'b' failed: it went boom",
        "12:00:14 undo_a     completed in 0.0 ms",
        "12:00:14 undo_b     failed: boom: it went boom",
        "12:00:14 execution  compensation failed: not everything is undone",
        "12:00:14 execution  failed: boom: step 'b' failed: it went boom",
    ]


async def test_what_runs_for_long_is_mentioned_and_again_after_twice_the_time() -> None:
    story = Story(workflow(step("slow")), at=AT)
    story.begin()
    clock, board, stream = VirtualClock(AT), Board(story.plan.definition), io.StringIO()
    lines = Lines(board, stream, clock)
    board.take(story.history)
    lines.open()
    await clock.advance(60 * SECOND)
    lines.close()
    await clock.advance(60 * SECOND)
    assert stream.getvalue().splitlines() == [
        "12:00:10 slow       has been running for 10.0 s",
        "12:00:20 slow       has been running for 20.0 s",
        "12:00:40 slow       has been running for 40.0 s",
    ]
    assert clock.armed == 0


def test_errors_are_shown_on_one_line_that_no_terminal_acts_on() -> None:
    assert error_text(ErrorInfo("http_error", "a\n  b\x1b[2J\u202e")) == "http_error: a b�[2J�"
    assert error_text(ErrorInfo("timeout", "no answer within 5s")) == "no answer within 5s"
    assert one_line("") == ""


@pytest.mark.parametrize(
    ("filter_", "data"),
    [
        (None, "'{}'"),
        ({"user.id": "u'1"}, '\'{"user": {"id": "u\'"\'"\'1"}}\''),
        ({"a": {"~eq": 1}, "b": {"~gt": 3}}, '\'{"a": 1, "b": "..."}\''),
        ({"a": 1, "a.b": 2}, "'{\"a\": 1}'"),
    ],
)
def test_a_wait_says_how_its_event_is_sent(filter_: object, data: str) -> None:
    event = WaitStarted(AT, "hold", "go", filter_, AT + SECOND)
    definition = workflow(step("hold", type="wait_for_event", config={"event_type": "go"}))
    told = how_to_send(event, definition, Setup(store="my store.db", modules=("tasks",)))
    assert told == (
        "hold waits for the event go; to send it from another terminal:\n"
        f"    stepwell event publish go -d {data} --store 'my store.db'"
    )


def test_a_wait_for_a_condition_shows_the_condition() -> None:
    config = {"event_type": "go", "filter": "{{ event.data.n > 3 }}"}
    event = WaitStarted(AT, "hold", "go", None)
    told = how_to_send(event, workflow(step("hold", type="wait_for_event", config=config)), Setup())
    assert told.startswith("hold waits for the event go such that {{ event.data.n > 3 }}; to send it")
