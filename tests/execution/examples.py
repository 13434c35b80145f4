"""History events and states to test with: one of every kind, and random ones."""

from __future__ import annotations

from typing import Any, get_args

from hypothesis import strategies as st

from stepwell.base.errors import ErrorInfo
from stepwell.base.values import Sealed, SecretRef, SecretText
from stepwell.execution.event import Event
from stepwell.execution.history import (
    AnswerRefused,
    ApprovalRequested,
    AttemptFailed,
    BlockEntered,
    BlockStarted,
    BranchPublished,
    CancelRequested,
    CheckpointReached,
    ChildStarted,
    CompensationAwaited,
    CompensationEnded,
    CompensationStarted,
    EndTurned,
    EventIgnored,
    EventLate,
    EventReceived,
    ExecutionAdmitted,
    ExecutionCancelled,
    ExecutionCompleted,
    ExecutionCreated,
    ExecutionFailed,
    ExecutionFailing,
    ExecutionForked,
    ExecutionHeld,
    ExecutionMigrated,
    ExecutionPaused,
    ExecutionResumed,
    ExecutionStarted,
    FallbackStarted,
    HistoryEvent,
    HooksStarted,
    Intervened,
    IterationStarted,
    LateCompletion,
    LockTaken,
    NotificationRequested,
    NotificationSettled,
    RateKeyed,
    ResultKeyed,
    ResultReused,
    RolledBack,
    StepCancelled,
    StepCompensated,
    StepCompleted,
    StepFailed,
    StepHeld,
    StepReopened,
    StepReset,
    StepsAdded,
    StepScheduled,
    StepSkipped,
    TimerStarted,
    UndoingAsked,
    VariablesSet,
    WaitStarted,
)

KINDS: tuple[type, ...] = get_args(HistoryEvent)

_ERROR = ErrorInfo("http_error", "the service said no", {"status": 503}, retryable=True)
_EVENT = Event(
    id="e1", type="user.verified", source="mail", data={"user": 7}, subject="ada", time=1_700_000_000_000_000
)
_SECRETS = {"ref": SecretRef("TOKEN"), "text": SecretText(("Bearer ", SecretRef("TOKEN"), Sealed("x")))}

ONE_OF_EACH: list[HistoryEvent] = [
    ExecutionCreated(
        1, "id-1", "orders", "1.2.0", "d1", {"n": 1, "pin": Sealed("1234")}, b"\x00\xff", "key", 60_000_000, 90_000_000,
        {"v": [1, 2.5, None, True, "ü"]},
    ),
    ExecutionStarted(2),
    StepScheduled(3, "a", 1, {"task": "work", **_SECRETS}),
    StepCompleted(4, "a", 3, {"id": "u-1"}, (0, 2)),
    AttemptFailed(5, "b", 1, 4, _ERROR, 15),
    StepFailed(6, "b", 5, ErrorInfo("timeout", "too slow"), "edge", (1,)),
    StepSkipped(7, "c", "dead_path", "nothing leads here any more"),
    StepCancelled(8, "d", "the execution has failed"),
    WaitStarted(9, "e", "user.verified", {"user": 7, "pin": Sealed(1234)}, 3_600_000_009),
    TimerStarted(10, "f", 5_000_010),
    EventReceived(11, "e", _EVENT),
    EventLate(12, "g", "mail", "e2"),
    VariablesSet(13, "a", {"n": 2}),
    ExecutionFailing(14, ErrorInfo("timeout", "the workflow timed out after 1m")),
    CompensationStarted(15, "step 'b' failed: the service said no"),
    CompensationEnded(16, "done"),
    ExecutionCompleted(17, {"user_id": "u-1", "key": Sealed({"nested": [1]})}),
    ExecutionFailed(18, _ERROR),
    ExecutionCancelled(19, "ada", "no longer wanted"),
    CompensationAwaited(45, "step 'b' failed: the service said no", _ERROR, "cancel", "ada"),
    StepCompensated(46, "book[2]#3"),
    LateCompletion(47, "a", 40, {"id": "u-1", "pin": Sealed("1234")}, 2),
    UndoingAsked(48, "sub[undo]", "id-2"),
    EndTurned(49, "ada", "no longer wanted"),
    BlockStarted(20, "g", 2, "then", [1, {"pin": Sealed("1234")}], 5_000_020),
    IterationStarted(21, "g", 3),
    StepHeld(22, "m", "mutex", 5_000_022, "account-7"),
    FallbackStarted(23, "b", _ERROR, 5),
    LockTaken(24, "m", "account-7"),
    HooksStarted(25, _ERROR),
    ChildStarted(50, "sub", 2, "id-2", "child", "1.2.0", False, 5_000_050),
    BlockEntered(55, "door", "states.open.on_enter", 3, _EVENT.as_dict()),
    EventIgnored(56, "door", "closed", _EVENT),
    ApprovalRequested(57, "ok", {"prompt": "Pay?", "default": {"yes": False}}, {"step": "ok"}, 5_000_057),
    AnswerRefused(58, "ok", "eve", "eve may not answer"),
    StepsAdded(59, "d", [{"name": "x", "type": "work", "config": {"pin": Sealed("1234")}}]),
    ExecutionHeld(60, "customer-7"),
    ExecutionAdmitted(61),
    ExecutionPaused(30, "ada", "look first", "b"),
    ExecutionResumed(31, "ada", "all is well"),
    CancelRequested(32, "ada", "no longer wanted", True, True),
    Intervened(33, "rerun", "ada", "try again", {"step": "b"}),
    StepReset(34, "b", True, {"url": "https://example.org"}),
    StepReopened(35, "g", 2, 5_000_035),
    CheckpointReached(36, "c", "paid"),
    RolledBack(37, "paid"),
    ExecutionMigrated(38, "ada", "a new version", "1.3.0", "d2", {"old": "new"}),
    ExecutionForked(39, "ada", "what if", "id-3", "id-1", b"\x01\xfe", 60_000_000),
    NotificationRequested(
        62, "failure", (("slack", "ops"), ("email", "")), "orders: step 'b' failed", "it went boom", "high", "b",
    ),
    NotificationSettled(63, 1, 2, False, "the server answered 500"),
    ResultKeyed(64, "a", "5f2c"),
    ResultReused(65, "a", "id-1", 40),
    BranchPublished(66, "a", 1, {"n": 2}),
    RateKeyed(67, "a", "acme"),
]  # fmt: skip
"""One event of every kind; every field filled that it had when it was first recorded."""

WITH_LATER_FIELDS: list[HistoryEvent] = [
    ExecutionCreated(
        1, "id-2", "child", "1.2.0", "d1", {"n": 1}, b"\x00", None, None, None, {}, "id-1", "sub[2]", 3,
    ),
    StepCompleted(4, "a", 3, {"id": "u-1"}, (), {"event": {"id": "e1"}}),
    StepFailed(6, "b", 5, _ERROR, "fallback", (), {"id": "instead"}),
    StepSkipped(7, "c", "condition", "its condition does not hold", (1,)),
    CompensationStarted(
        15, "no longer wanted", _ERROR, ("b", "a[2]"), "cancel", "ada", 5_000_015, False, "b", "bob", "now",
    ),
    CompensationEnded(16, "failed", "its time was up"),
    TimerStarted(10, "f", 5_000_010, True),
    ExecutionFailed(18, _ERROR, {"n": 1}),
]  # fmt: skip
"""Events with the fields that were added to their kinds, all filled."""

names = st.text(min_size=1, max_size=8)
instants = st.integers(-(2**50), 2**50)
_plain = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=8)
plain_values: st.SearchStrategy[Any] = st.recursive(
    _plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
"""JSON values without secrets."""
_refs = st.builds(SecretRef, names)
_sealed = st.builds(Sealed, plain_values)
_texts = st.builds(
    lambda parts: SecretText(tuple(parts)), st.lists(names | _refs | st.builds(Sealed, names), max_size=3)
)
values: st.SearchStrategy[Any] = st.recursive(
    _plain | _refs | _sealed | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
"""JSON values with secrets of every kind in them."""
objects = st.dictionaries(st.text(max_size=4), values, max_size=3)
errors = st.builds(ErrorInfo, names, names, st.none() | st.dictionaries(names, plain_values, max_size=2), st.booleans())
_events = st.builds(
    Event, id=names, type=names, source=names, data=plain_values, subject=st.none() | names, time=instants
)
_taken = st.lists(st.integers(0, 9), max_size=2).map(tuple)
_limits = st.none() | st.integers(0, 2**50)

RANDOM: dict[type, st.SearchStrategy[Any]] = {
    ExecutionCreated: st.builds(
        ExecutionCreated, instants, names, names, names, names, values, st.binary(max_size=16), st.none() | names,
        _limits, _limits, objects,
    ),
    ExecutionStarted: st.builds(ExecutionStarted, instants),
    StepScheduled: st.builds(StepScheduled, instants, names, st.integers(1, 99), st.none() | objects),
    StepCompleted: st.builds(StepCompleted, instants, names, instants, values, _taken, st.none() | objects),
    AttemptFailed: st.builds(AttemptFailed, instants, names, st.integers(1, 99), instants, errors, instants),
    StepFailed: st.builds(StepFailed, instants, names, instants, errors, names, _taken, values),
    StepSkipped: st.builds(StepSkipped, instants, names, names, names, _taken),
    StepCancelled: st.builds(StepCancelled, instants, names, names),
    WaitStarted: st.builds(WaitStarted, instants, names, names, values, st.none() | instants),
    TimerStarted: st.builds(TimerStarted, instants, names, instants, st.booleans()),
    EventReceived: st.builds(EventReceived, instants, names, _events),
    EventLate: st.builds(EventLate, instants, names, names, names),
    VariablesSet: st.builds(VariablesSet, instants, names, objects),
    ExecutionFailing: st.builds(ExecutionFailing, instants, errors),
    CompensationStarted: st.builds(
        CompensationStarted, instants, names, st.none() | errors, st.lists(names, max_size=3).map(tuple), names, names,
        _limits, st.booleans(), names, names, names,
    ),
    CompensationEnded: st.builds(CompensationEnded, instants, names, names),
    ExecutionCompleted: st.builds(ExecutionCompleted, instants, values),
    ExecutionFailed: st.builds(ExecutionFailed, instants, errors),
    ExecutionCancelled: st.builds(ExecutionCancelled, instants, names, names),
    CompensationAwaited: st.builds(CompensationAwaited, instants, names, st.none() | errors, names, names),
    StepCompensated: st.builds(StepCompensated, instants, names),
    LateCompletion: st.builds(LateCompletion, instants, names, instants, values, st.integers(-1, 99)),
    UndoingAsked: st.builds(UndoingAsked, instants, names, names),
    EndTurned: st.builds(EndTurned, instants, names, names),
    BlockStarted: st.builds(
        BlockStarted, instants, names, st.integers(1, 99), names, st.none() | st.lists(values, max_size=3), _limits,
    ),
    IterationStarted: st.builds(IterationStarted, instants, names, st.integers(0, 99)),
    StepHeld: st.builds(StepHeld, instants, names, names, _limits, names),
    FallbackStarted: st.builds(FallbackStarted, instants, names, errors, instants),
    LockTaken: st.builds(LockTaken, instants, names, names),
    HooksStarted: st.builds(HooksStarted, instants, st.none() | errors),
    ChildStarted: st.builds(
        ChildStarted, instants, names, st.integers(1, 99), names, names, st.none() | names, st.booleans(), _limits,
    ),
    BlockEntered: st.builds(BlockEntered, instants, names, names, st.integers(0, 99), st.none() | objects),
    EventIgnored: st.builds(EventIgnored, instants, names, names, _events),
    ApprovalRequested: st.builds(ApprovalRequested, instants, names, objects, objects, _limits),
    AnswerRefused: st.builds(AnswerRefused, instants, names, names, names),
    StepsAdded: st.builds(StepsAdded, instants, names, st.lists(values, max_size=3)),
    ExecutionHeld: st.builds(ExecutionHeld, instants, names),
    ExecutionAdmitted: st.builds(ExecutionAdmitted, instants),
    ExecutionPaused: st.builds(ExecutionPaused, instants, names, names, names),
    ExecutionResumed: st.builds(ExecutionResumed, instants, names, names),
    CancelRequested: st.builds(CancelRequested, instants, names, names, st.booleans(), st.booleans()),
    Intervened: st.builds(Intervened, instants, names, names, names, objects),
    StepReset: st.builds(StepReset, instants, names, st.booleans(), st.none() | objects),
    StepReopened: st.builds(StepReopened, instants, names, st.integers(-1, 99), _limits),
    CheckpointReached: st.builds(CheckpointReached, instants, names, names),
    RolledBack: st.builds(RolledBack, instants, names),
    ExecutionMigrated: st.builds(
        ExecutionMigrated, instants, names, names, names, names, st.dictionaries(names, names, max_size=2),
    ),
    ExecutionForked: st.builds(
        ExecutionForked, instants, names, names, names, names, st.binary(max_size=16), st.integers(0, 2**50),
    ),
    NotificationRequested: st.builds(
        NotificationRequested, instants, names, st.lists(st.tuples(names, names), max_size=3).map(tuple), names, names,
        names, names,
    ),
    NotificationSettled: st.builds(
        NotificationSettled, instants, st.integers(1, 99), st.integers(1, 99), st.booleans(), names,
    ),
    ResultKeyed: st.builds(ResultKeyed, instants, names, names),
    ResultReused: st.builds(ResultReused, instants, names, names, instants),
    BranchPublished: st.builds(BranchPublished, instants, names, st.none() | st.integers(0, 9), objects),
    RateKeyed: st.builds(RateKeyed, instants, names, names),
}  # fmt: skip
"""Random events, by kind."""
