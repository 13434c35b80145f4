"""Channels that a workflow names and the configuration lacks."""

from __future__ import annotations

import pytest

from stepwell.definition.context import Known
from tests.definition.documents import found, marked, steps

KNOWN = Known(channels=frozenset({"slack", "email"}))
TASK = "- {name: a, type: noop"


def on_failure(notify: str) -> str:
    return steps(TASK + ", on_failure: {action: continue, notify: " + notify + "}}")


@pytest.mark.parametrize(
    "text",
    [
        on_failure("{channels: [slak]}"),
        steps("- {name: a, type: notify, config: {channels: [slak], message: m}}"),
        steps(TASK + ", compensate: {type: notify, config: {channels: [slak], message: m}}}"),
        steps(TASK + "}").replace("steps:", "config: {on_error: {notify: {channels: [slak]}}}\n  steps:"),
        steps(TASK + ", compensate: {type: noop}}").replace(
            "steps:", "compensation: {notification: {channels: [slak]}}\n  steps:"
        ),
    ],
    ids=["on_failure", "step", "compensate", "on_error", "compensation"],
)
def test_an_unknown_channel_is_a_warning_wherever_it_is_named(text: str) -> None:
    (finding,) = found(text, known=KNOWN)
    assert (finding.code, finding.severity) == ("unknown-channel", "warning")
    assert marked(text, finding).startswith("slak")
    assert "'slak'" in finding.message
    assert "'slack'" in (finding.hint or "")


def test_known_channels_and_expressions_are_fine() -> None:
    text = steps("- {name: a, type: notify, config: {channels: [slack, '{{ input.c }}'], message: m}}")
    assert found(text, known=KNOWN) == []
    assert found(on_failure("true"), known=KNOWN) == []


def test_nothing_is_said_where_the_configuration_is_not_known() -> None:
    assert found(on_failure("{channels: [slak]}")) == []


def test_where_nobody_can_be_told_it_is_said() -> None:
    for text in (on_failure("true"), on_failure("{message: m}")):
        (finding,) = found(text, known=Known(channels=frozenset()))
        assert finding.code == "unknown-channel"
        assert "nobody is told" in finding.message
    assert found(on_failure("false"), known=Known(channels=frozenset())) == []


def test_a_priority_is_one_of_four() -> None:
    for text in (
        on_failure("{priority: soon}"),
        steps("- {name: a, type: notify, config: {message: m, priority: soon}}"),
    ):
        (finding,) = found(text)
        assert finding.severity == "error"
        assert "urgent" in f"{finding.message} {finding.hint}"
    assert found(on_failure("{priority: '{{ input.p }}'}")) == []


def test_a_wait_may_be_tried_again_only_when_it_has_a_timeout() -> None:
    wait = "- {name: w, type: wait, config: {for: 5s}, retry: {max_attempts: 2}"
    assert [finding.code for finding in found(steps(wait + "}"))] == ["no-effect"]
    assert found(steps(wait + ", timeout: 1s}")) == []
