"""Policies that steps name, and timeouts: whether they exist, fit, and can be met."""

from __future__ import annotations

from collections.abc import Mapping

from stepwell.base.durations import format_duration
from stepwell.definition.building import Parts
from stepwell.definition.context import Context
from stepwell.definition.model import Bulkhead, CircuitBreaker, Path, RateLimit, Step
from stepwell.definition.settings_checks import check_known

_PARKED = frozenset({"wait", "wait_for_event", "approval", "workflow"})
"""Types whose time is spent waiting, which the workflow's timeout does not count."""

_TIMED = frozenset({"wait_for_event", "approval", "service_call", "http"})
"""Types that can time out although the step says nothing: by default, or by the configuration of a service."""

_KINDS = (("circuit_breaker", CircuitBreaker), ("bulkhead", Bulkhead), ("rate_limit", RateLimit))


def check_policies(steps: list[Step], parts: Parts, context: Context) -> None:
    """Check the policies and workflows that steps name."""
    declared, configured = parts.config.policies, context.known.policies
    for key, kind in _KINDS:
        fitting = {name for name, policy in declared.items() if isinstance(policy, kind)}
        if isinstance(configured, Mapping):
            fitting |= {
                name for name, policy in configured.items() if isinstance(policy, kind) and name not in declared
            }
        elif configured is not None:
            fitting |= configured - declared.keys()
        for step in steps:
            named = getattr(step, key)
            if isinstance(named, str) and named not in fitting:
                exists = named in declared or named in (configured or ())
                _unknown_policy(key, named, exists, fitting, (*step.path, key), context)
    for step in steps:
        for action in (step.on_failure, step.on_timeout):
            if action is not None:
                workflow, known = action.compensation_workflow, context.known.workflows
                check_known("unknown-workflow", "compensation_workflow", workflow, known, action.path, context)


def _unknown_policy(key: str, named: str, exists: bool, fitting: set[str], path: Path, context: Context) -> None:
    """A policy that is not there, or of another kind than is needed here."""
    findings = context.findings
    if exists:
        hint = findings.hint_for(named, fitting) if fitting else None
        findings.add("unknown-policy", f"the policy {named!r} is not a {key}", path, hint=hint)
    elif context.known.policies is None:
        meant = findings.meant(named, fitting)
        hint = f"did you mean {meant!r}?" if meant is not None else "or declare it in `spec.config.policies`"
        message = f"the {key} {named!r} is not declared here, so it must be in the server's configuration"
        findings.add("undeclared-policy", message, path, hint=hint)
    else:
        hint = findings.hint_for(named, fitting)
        findings.add("unknown-policy", f"there is no policy {named!r}", path, hint=hint)


def check_timeouts(steps: list[Step], parts: Parts, context: Context) -> None:
    """Check that timeouts can be met, and that what follows one can happen."""
    longest = parts.config.timeout
    for step in steps:
        if longest is not None and step.timeout is not None and step.timeout > longest and step.type not in _PARKED:
            message = f"the step may take {format_duration(step.timeout)}, the workflow {format_duration(longest)}"
            hint = "the workflow's timeout ends it first"
            context.findings.add("timeout-too-long", message, (*step.path, "timeout"), hint=hint)
        if not _can_time_out(step):
            _no_timeout(step, context)


def _can_time_out(step: Step) -> bool:
    breaker = step.circuit_breaker
    bounded = isinstance(breaker, str) or (breaker is not None and breaker.call_timeout is not None)
    return step.timeout is not None or step.type in _TIMED or "timeout" in step.config or bounded


def _no_timeout(step: Step, context: Context) -> None:
    places = [edge.path for edge in step.edges if edge.on == "timeout"]
    if step.on_timeout is not None:
        places.append(step.on_timeout.path)
    for path in places[:1]:
        message = f"{step.name!r} has no timeout, so this never happens"
        context.findings.add("no-timeout", message, path, hint="give the step a `timeout`")
