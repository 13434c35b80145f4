"""Alert rules: what they look at, when they fire, and when that is over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Literal

import msgspec

from stepwell.app.configuration import Configuration
from stepwell.app.monitoring import Monitoring
from stepwell.app.telemetry_sections import AlertSection, SlaSection
from stepwell.base.durations import HOUR, SECOND
from stepwell.base.errors import ConfigurationError, UsageError
from stepwell.base.suggest import hint_for
from stepwell.ports.listings import ExecutionQuery
from stepwell.ports.store import Store
from stepwell.telemetry.metrics import Gauges

Status = Literal["ok", "pending", "firing"]
"""Of a rule: not beyond its threshold; beyond it, but not yet for long enough; beyond it."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule. Durations in microseconds.

    Attributes:
        metric: one of `METRICS`.
        resolve_at: beyond which value it is over, on the other side; the threshold itself unless it is given.
        channels: over which somebody is told; None for all.
        source: `configuration`, `api`, or `sla` for what is promised of a workflow.
    """

    name: str
    metric: str
    threshold: float
    op: Literal[">", ">=", "<", "<="] = ">"
    resolve_at: float | None = None
    window: int = HOUR
    for_: int = msgspec.field(default=0, name="for")
    workflow: str | None = None
    channels: tuple[str, ...] | None = None
    recipients: tuple[str, ...] = ()
    enabled: bool = True
    source: Literal["configuration", "api", "sla"] = "api"

    def is_beyond(self, value: float) -> bool:
        """Whether the value is one to tell of."""
        match self.op:
            case ">":
                return value > self.threshold
            case ">=":
                return value >= self.threshold
            case "<":
                return value < self.threshold
            case "<=":
                return value <= self.threshold

    def is_back(self, value: float) -> bool:
        """Whether the value is one at which it is over: not beyond `resolve_at` either."""
        resolve_at = self.resolve_at if self.resolve_at is not None else self.threshold
        return not msgspec.structs.replace(self, threshold=resolve_at).is_beyond(value)


class RuleState(msgspec.Struct, frozen=True, kw_only=True):
    """How a rule stands.

    Attributes:
        since: when it came to be so.
        value: what was seen then; None before anything was.
        is_told: whoever is to be told of that was.
    """

    status: Status = "ok"
    since: int = 0
    value: float | None = None
    is_told: bool = True


def moved(rule: Rule, state: RuleState, value: float | None, now: int) -> RuleState:
    """How the rule stands when the metric has this value now; the same state when nothing changes.

    Without a value, as a rate has none when nothing ran, it stays as it is.
    """
    if value is None:
        return state
    if state.status == "firing":
        return RuleState(status="ok", since=now, value=value, is_told=False) if rule.is_back(value) else state
    if not rule.is_beyond(value):
        return state if state.status == "ok" else RuleState(status="ok", since=now, value=value)
    since = state.since if state.status == "pending" else now
    if now - since >= rule.for_:
        return RuleState(status="firing", since=now, value=value, is_told=False)
    return state if state.status == "pending" else RuleState(status="pending", since=now, value=value)


class Figures:
    """The values of metrics.

    Args:
        gauges: looks up what an engine has in line, its circuit breakers and so on.
    """

    def __init__(
        self, store: Store, monitoring: Monitoring, gauges: Callable[[], Awaitable[Gauges]], now: Callable[[], int]
    ) -> None:
        self._store = store
        self._monitoring = monitoring
        self._gauges = gauges
        self._now = now

    async def value(self, rule: Rule) -> float | None:
        """The value that a rule looks at; None when there is none."""
        kind, name = METRICS[rule.metric]
        match kind:
            case "summary":
                summary = await self._monitoring.metrics(rule.window, workflow=rule.workflow)
                rate: float | None = {**summary, **summary["execution_time"]}[name]
                return rate
            case "today":
                count: int = (await self._monitoring.monitoring(workflow=rule.workflow))[name]
                return count
            case "gauge":
                return await self._gauge(name, rule.workflow)
            case "longest":
                return await self._longest(rule)

    async def _gauge(self, name: str, workflow: str | None) -> float:
        gauges = await self._gauges()
        match name:
            case "queue_depth":
                return sum(gauges.queues.values())
            case "waits":
                return gauges.waits
            case "open_breakers":
                ours = f"{workflow}/" if workflow is not None else ""
                return sum(state == "open" for gate, state in gauges.breakers.items() if gate.startswith(ours))
            case _:
                return (await self._monitoring.census()).dead_letters

    async def _longest(self, rule: Rule) -> float | None:
        """The longest that one took which ended within the window; or the age of one that has not ended, if that is
        beyond the threshold."""
        now = self._now()
        ended = await self._monitoring.longest(rule.window, workflow=rule.workflow)
        older = ExecutionQuery(
            workflow=rule.workflow, statuses=UNFINISHED, created_to=now - round(rule.threshold * SECOND), limit=1
        )
        ages = [now - item.created.created_at for item in (await self._store.list(older)).items]
        times = [*([ended] if ended is not None else []), *ages]
        return max(times) / SECOND if times else None


UNFINISHED: Final = ("pending", "running", "waiting", "paused", "compensating")

METRICS: Final[Mapping[str, tuple[Literal["summary", "today", "gauge", "longest"], str]]] = {
    "execution_time.avg": ("summary", "avg"),
    "execution_time.p95": ("summary", "p95"),
    "execution_time.p99": ("summary", "p99"),
    "execution_time.max": ("longest", ""),
    "success_rate": ("summary", "success_rate"),
    "error_rate": ("summary", "error_rate"),
    "throughput": ("summary", "throughput"),
    "active_workflows": ("today", "active_workflows"),
    "completed_today": ("today", "completed_today"),
    "failed_today": ("today", "failed_today"),
    "queue_depth": ("gauge", "queue_depth"),
    "waits": ("gauge", "waits"),
    "open_breakers": ("gauge", "open_breakers"),
    "dead_letters": ("gauge", "dead_letters"),
}
"""What rules may look at: times in seconds, rates in percent, throughput in executions per hour, and counts."""


def rules_of(configuration: Configuration) -> dict[str, Rule]:
    """The rules of the configuration by name, those of service levels among them.

    Raises:
        ConfigurationError: one looks at a metric that there is not, or names a channel that is not configured.
    """
    rules = {name: rule_of(name, section, "configuration") for name, section in configuration.alerts.items()}
    for workflow, section in configuration.sla.items():
        rules |= {rule.name: rule for rule in _promised(workflow, section)}
    for rule in rules.values():
        problem = problem_of(rule, configuration)
        if problem is not None:
            raise ConfigurationError(f"{'sla' if rule.source == 'sla' else 'alerts'}.{rule.name}: {problem[1]}")
    return rules


def rule_of(name: str, section: AlertSection, source: Literal["configuration", "api"]) -> Rule:
    """The rule that a section of the configuration, or the body of a request, describes."""
    return Rule(name=name, source=source, **section.model_dump())


def problem_of(rule: Rule, configuration: Configuration) -> tuple[str, str] | None:
    """Which field of a rule is wrong, and why."""
    if rule.metric not in METRICS:
        return "metric", f"there is no metric {rule.metric!r} ({hint_for(rule.metric, METRICS)})"
    if rule.resolve_at is not None and not _is_apart(rule.op, rule.threshold, rule.resolve_at):
        return "resolve_at", "it lies beyond the threshold: the alert would be over while it holds"
    for channel in rule.channels or ():
        if channel not in configuration.notifications:
            hint = hint_for(channel, configuration.notifications)
            return "channels", f"the channel {channel!r} is not configured under `notifications` ({hint})"
    return None


def _is_apart(op: str, threshold: float, resolve_at: float) -> bool:
    return resolve_at <= threshold if op in (">", ">=") else resolve_at >= threshold


def checked(rule: Rule, configuration: Configuration) -> Rule:
    """The rule itself.

    Raises:
        UsageError: (code `invalid-alert`) something is wrong with it.
    """
    problem = problem_of(rule, configuration)
    if problem is not None:
        raise UsageError(f"{problem[0]}: {problem[1]}", code="invalid-alert")
    return rule


def _promised(workflow: str, section: SlaSection) -> list[Rule]:
    def promised(about: str, metric: str, op: Literal[">", "<"], threshold: float) -> Rule:
        return Rule(
            name=f"{workflow}.{about}",
            metric=metric,
            op=op,
            threshold=threshold,
            window=section.window,
            workflow=workflow,
            channels=section.channels,
            recipients=section.recipients,
            source="sla",
        )

    rules = []
    if section.max_duration is not None:
        rules.append(promised("max_duration", "execution_time.max", ">", section.max_duration / SECOND))
    if section.success_rate is not None:
        rules.append(promised("success_rate", "success_rate", "<", section.success_rate))
    return rules
