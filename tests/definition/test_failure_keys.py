"""What a step says about failing: what stands in for it, and which types of error are tried again."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.base.durations import SECOND
from stepwell.definition.model import Fallback, StepBody
from stepwell.policy.retry import RetryPolicy
from tests.definition.documents import definition, step, steps

FALLBACKS: dict[str, tuple[str | None, str | None, Any]] = {
    "backup": ("backup", None, None),
    "nobody": (None, None, "nobody"),
    "'{{ steps.backup.output }}'": (None, None, "{{ steps.backup.output }}"),
    "\"{{ 'backup' }}\"": (None, None, "{{ 'backup' }}"),
    "5": (None, None, 5),
    "false": (None, None, False),
    "[backup]": (None, None, ["backup"]),
    "{total: 0}": (None, None, {"total": 0}),
    "{type: noop}": (None, "noop", None),
    "{type: null, config: {service: s, endpoint: /}}": (None, "service_call", None),
}


@pytest.mark.parametrize("written", FALLBACKS)
@pytest.mark.parametrize("place", ["on_failure", "on_timeout", "bulkhead"])
def test_a_fallback_is_a_step_beside_or_a_step_in_its_place_or_a_value(place: str, written: str) -> None:
    holder = "{max_concurrent: 1, fallback: F}" if place == "bulkhead" else "{action: fallback, fallback: F}"
    keys = f"timeout: 5s, {place}: {holder.replace('F', written)}"
    first, _ = definition(steps(f"- {{name: a, type: greet, {keys}}}\n- {{name: backup, type: noop}}")).steps
    fallback = getattr(first, place).fallback
    assert isinstance(fallback, Fallback)
    kind = fallback.body.type if fallback.body is not None else None
    assert (fallback.step, kind, fallback.value) == FALLBACKS[written]
    assert fallback.path == (*first.path, place, "fallback")


def test_a_step_that_stands_in_for_another_is_read_with_its_settings_and_policies() -> None:
    text = steps(
        "- {name: a, type: greet, on_failure: {action: fallback, "
        "fallback: {type: http, config: {url: 'https://x'}, retry: {max_attempts: 2}, timeout: 3s}}}"
    )
    action = definition(text).steps[0].on_failure
    assert action is not None
    assert action.fallback is not None
    assert action.fallback.body == StepBody(
        type="http",
        config={"url": "https://x"},
        retry=RetryPolicy(max_attempts=2),
        timeout=3 * SECOND,
        path=("spec", "steps", 0, "on_failure", "fallback"),
    )


@pytest.mark.parametrize(
    ("written", "retry_on", "give_up_on"),
    [
        ("{}", ("timeout",), ("x",)),
        ("{retry_on: a_b}", ("a_b",), ("x",)),
        ("{retry_on: [a_b, c_d]}", ("a_b", "c_d"), ("x",)),
        ("{retry_on: [], give_up_on: []}", (), ()),
        ("{retry_on: null}", ("timeout",), ("x",)),
    ],
)
def test_error_types_that_a_step_does_not_name_come_from_the_workflow(
    written: str, retry_on: tuple[str, ...], give_up_on: tuple[str, ...]
) -> None:
    policy = "config: {retry_policy: {max_attempts: 3, retry_on: [timeout], give_up_on: x}}"
    read = step(f"- {{name: a, type: greet, retry: {written}}}", policy).retry
    assert read is not None
    assert (read.retry_on, read.give_up_on) == (retry_on, give_up_on)
