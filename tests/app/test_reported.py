"""History events out of their reports."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from stepwell.app.report import event_report
from stepwell.app.reported import event_of
from stepwell.execution.history import HistoryEvent
from tests.execution.examples import ONE_OF_EACH, WITH_LATER_FIELDS


def _as_sent(event: HistoryEvent) -> Any:
    return json.loads(msgspec.json.encode(event_report(7, event)))


@pytest.mark.parametrize("event", [*ONE_OF_EACH, *WITH_LATER_FIELDS], ids=lambda event: type(event).__name__)
def test_every_kind_of_event_comes_back_as_it_was(event: HistoryEvent) -> None:
    back = event_of(_as_sent(event))
    assert back is not None
    assert type(back) is type(event)
    assert _as_sent(back) == _as_sent(event)
    if "***" not in json.dumps(_as_sent(event)) and "seed" not in event.__struct_fields__:
        assert back == event


def test_an_event_of_a_kind_that_is_not_known_is_left_out() -> None:
    assert event_of({"seq": 1, "at": "2026-11-20T10:00:00Z", "event": "StepDreamt"}) is None


def test_what_is_no_report_is_refused() -> None:
    with pytest.raises(ValueError, match="StepCompleted"):
        event_of({"seq": 1, "at": "2026-11-20T10:00:00Z", "event": "StepCompleted", "step": 3})
