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


@pytest.mark.parametrize(
    ("trigger", "kind"),
    [
        ("{schedule: {every: 1h}}", "schedule"),
        ("{webhook: {path: x}}", "webhook"),
        ("{topic: {name: x}}", "topic"),
    ],
)
def test_a_trigger_that_starts_nothing_yet_is_pointed_out(trigger: str, kind: str) -> None:
    loaded = check(Source("w.yaml", DOCUMENT % trigger), catalogue_of(Registries(), set(), None))
    (finding,) = loaded.diagnostics
    assert (finding.code, finding.severity, finding.span.line) == ("not-triggered", "warning", 7)
    assert kind in finding.message
    assert loaded.definition is not None
