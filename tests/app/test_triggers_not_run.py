"""What would start a workflow and does not is said, not passed over."""

from __future__ import annotations

import pytest

from stepwell.app.checking import catalogue_of, check
from stepwell.app.registries import Registries
from stepwell.base.spans import Source

DOCUMENT = """\
apiVersion: workflow/v1
kind: Workflow
metadata: {name: w, version: "1.0.0"}
spec:
  triggers:
    - {event: "ticket:created"}
    - %s
  steps: [{name: a, type: noop}]
"""


def findings(trigger: str, *brokers: str) -> list[tuple[str, str, int]]:
    loaded = check(Source("w.yaml", DOCUMENT % trigger), catalogue_of(Registries(), set(), None, brokers=brokers))
    return [(finding.code, finding.severity, finding.span.line) for finding in loaded.diagnostics]


@pytest.mark.parametrize(
    ("trigger", "brokers"),
    [
        ("{topic: {name: x}}", ()),
        ("{topic: {name: x}}", ("kafka", "nats")),
        ("{topic: {broker: nats, name: x}}", ("kafka",)),
    ],
)
def test_a_trigger_whose_broker_is_not_configured_is_pointed_out(trigger: str, brokers: tuple[str, ...]) -> None:
    assert findings(trigger, *brokers) == [("not-triggered", "warning", 7)]


@pytest.mark.parametrize("trigger", ["{topic: {name: x}}", "{topic: {broker: kafka, name: x, filter: {a: 1}}}"])
def test_a_trigger_whose_broker_is_configured_is_right(trigger: str) -> None:
    assert findings(trigger, "kafka") == []


def test_a_filter_is_given_once() -> None:
    trigger = "{topic: {name: x, filter: {a: 1}}, filter: {b: 1}}"
    assert findings(trigger, "kafka") == [("conflicting-keys", "error", 7)]


@pytest.mark.parametrize(
    "trigger",
    [
        "{schedule: {every: 1h}}",
        "{webhook: {path: a/b, verify: {scheme: github, secret: '{{ secrets.GITHUB }}'}}}",
        "{webhook: {path: x, verify: {scheme: hmac, header: X-S, secret: ['{{ secrets.A }}', '{{ secrets.B }}']}}}",
        "{webhook: {path: x, verify: {scheme: slack, secret: '{{ secrets.A }}', tolerance: 1m}}}",
    ],
)
def test_schedules_and_verified_webhooks_are_right(trigger: str) -> None:
    assert findings(trigger) == []


@pytest.mark.parametrize(
    ("trigger", "code", "severity"),
    [
        ("{webhook: {path: x}}", "unverified-webhook", "warning"),
        ("{webhook: {path: '/x', verify: {scheme: github, secret: '{{ secrets.A }}'}}}", "bad-webhook", "error"),
        ("{webhook: {path: x, verify: {scheme: github, secret: plain}}}", "bad-webhook", "error"),
        ("{webhook: {path: x, verify: {scheme: md5, secret: '{{ secrets.A }}'}}}", "wrong-value", "error"),
        ("{webhook: {path: x, verify: {scheme: hmac, secret: '{{ secrets.A }}'}}}", "bad-verification", "error"),
        (
            "{webhook: {path: x, verify: {scheme: github, header: X, secret: '{{ secrets.A }}'}}}",
            "bad-verification",
            "error",
        ),
        ("{schedule: {cron: '61 * * * *'}}", "bad-schedule", "error"),
        ("{schedule: {cron: '0 0 31 2 *'}}", "bad-schedule", "error"),
        ("{schedule: {cron: '0 9 * * *', timezone: Mars/Olympus}}", "bad-schedule", "error"),
        ("{schedule: {every: 100ms}}", "bad-schedule", "error"),
        ("{schedule: {every: 1h, catch_up: never}}", "wrong-value", "error"),
        ("{schedule: {every: 1h, overlap: queue}}", "wrong-value", "error"),
    ],
)
def test_what_is_wrong_with_a_trigger_is_one_finding(trigger: str, code: str, severity: str) -> None:
    assert findings(trigger) == [(code, severity, 7)]


def test_a_path_starts_one_thing() -> None:
    webhook = "{webhook: {path: x, verify: {scheme: github, secret: '{{ secrets.A }}'}}}"
    assert findings(f"{webhook}\n    - {webhook}") == [("bad-webhook", "error", 8)]
