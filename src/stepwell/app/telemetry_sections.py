"""The sections of the configuration about what is seen of an engine: logs, traces, alerts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from stepwell.app.sections import Duration, PositiveDuration, Section
from stepwell.base.durations import DAY, HOUR, MINUTE, SECOND

Level = Literal["debug", "info", "warning", "error"]

LogComponent = Literal[
    "engine", "worker", "tasks", "store", "api", "notifications", "triggers", "app",
    "workflow_engine", "activity_executor", "state_manager",
]  # fmt: skip
"""Parts of the program that log. The last three are what documents of the activities dialect call the engine, the
worker with its tasks, and the store."""

TraceComponent = Literal[
    "execution", "step", "attempt", "state", "workflow", "activity",
    "workflow_engine", "activity_executor", "state_manager",
]  # fmt: skip
"""What has spans. From `workflow` on: other names of executions; steps and attempts; and so on again, and `state`."""


class ExecutionLogsSection(Section):
    """The logs that a server keeps of each execution: what its tasks log from `level` on, and for how long."""

    level: Level = "info"
    keep: PositiveDuration = 7 * DAY


class LoggingSection(Section):
    """What is logged, to standard error: by whom (all when empty), how severe, and in which form."""

    level: Level = "warning"
    components: tuple[LogComponent, ...] = ()
    format: Literal["text", "json"] = "text"
    executions: ExecutionLogsSection = ExecutionLogsSection()


class TracingSection(Section):
    """Traces, sent to an OTLP endpoint over HTTP (`http://localhost:4318/v1/traces`); without one, to what the
    environment variables of OpenTelemetry name."""

    enabled: bool = False
    sampling_rate: float = Field(default=1.0, ge=0, le=1, allow_inf_nan=False)
    components: tuple[TraceComponent, ...] = ()
    endpoint: Annotated[str, Field(pattern=r"^https?://")] | None = None


class AlertSection(Section):
    """Tell somebody when a metric is beyond a threshold for as long as `for`, and again when it is back.

    It is back when it is on the other side of `resolve_at`, which is the threshold when nothing is said. `window`: over
    what time rates and durations are taken. `workflow`: of which workflow; all when nothing is said.
    """

    metric: str
    op: Literal[">", ">=", "<", "<="] = ">"
    threshold: float = Field(allow_inf_nan=False)
    resolve_at: float | None = Field(default=None, allow_inf_nan=False)
    window: PositiveDuration = HOUR
    for_: Annotated[Duration, Field(alias="for", ge=0)] = 0
    workflow: str | None = None
    channels: tuple[str, ...] | None = None
    recipients: tuple[str, ...] = ()
    enabled: bool = True

    @model_validator(mode="after")
    def _resolves(self) -> AlertSection:
        if self.resolve_at is not None and (
            self.resolve_at > self.threshold if self.op in (">", ">=") else self.resolve_at < self.threshold
        ):
            side = "above" if self.op in (">", ">=") else "below"
            raise ValueError(f"resolve_at must not lie {side} the threshold, or the alert would end while it holds")
        return self


class SlaSection(Section):
    """What is promised of a workflow; who is told when it does not hold over the `window`."""

    max_duration: PositiveDuration | None = None
    success_rate: float | None = Field(default=None, ge=0, le=100)
    window: PositiveDuration = DAY
    channels: tuple[str, ...] | None = None
    recipients: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _promises(self) -> SlaSection:
        if self.max_duration is None and self.success_rate is None:
            raise ValueError("a service level promises max_duration, success_rate or both")
        return self


class AlertingSection(Section):
    """How often alert rules are looked at."""

    every: Annotated[PositiveDuration, Field(ge=SECOND)] = MINUTE // 2
