"""From the canonical model back to a native document: all that a definition means, in the plainest form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stepwell.definition.model import (
    Compensation,
    Concurrency,
    ErrorStrategy,
    Trigger,
    WorkflowConfig,
    WorkflowDefinition,
    all_steps,
)
from stepwell.definition.words import RESERVED
from stepwell.dialects.dialect import Writing
from stepwell.dialects.native.parts import duration, given
from stepwell.dialects.native.policies import breaker, bulkhead, rate_limit, retry
from stepwell.dialects.native.steps import steps
from stepwell.policy.limits import Bulkhead, CircuitBreaker, Policy


def write(writing: Writing) -> dict[str, Any]:
    """The document of a definition; the native language can say everything but some names of steps."""
    for step in all_steps(writing.definition.steps):
        if step.name in RESERVED:
            writing.lost(step.path, f"the name {step.name!r} of a step, which means something else in expressions")
    return document_of(writing.definition)


def document_of(definition: WorkflowDefinition) -> dict[str, Any]:
    """The native document that means what the definition means. Loading it gives an equal definition."""
    return {
        "apiVersion": "workflow/v1",
        "kind": "Workflow",
        "metadata": given(
            name=definition.name,
            version=definition.version,
            description=definition.description,
            tags=list(definition.tags),
        ),
        "spec": given(
            config=_config(definition.config),
            input=given(schema=definition.input_schema),
            vars=dict(definition.vars),
            triggers=[_trigger(trigger) for trigger in definition.triggers],
            steps=steps(definition.steps),
            compensation=_compensation(definition.compensation),
            output=given(
                schema=definition.output_schema,
                values=definition.output_values,
                on_failure=definition.output_on_failure or None,
            ),
        ),
    }


def _config(config: WorkflowConfig) -> dict[str, Any]:
    return given(
        timeout=duration(config.timeout),
        deadline=duration(config.deadline),
        retry_policy=retry(config.retry),
        max_parallel_steps=config.max_parallel_steps,
        failure_mode=config.failure_mode if config.failure_mode != "fail_fast" else None,
        concurrency=_concurrency(config.concurrency),
        cancellation=_cancellation(config),
        on_error=_on_error(config.on_error),
        policies={name: _policy(policy) for name, policy in config.policies.items()},
        strict_failures=config.strict_failures or None,
        branches=config.branches if config.branches != "shared" else None,
        checkpoints=config.checkpoints if config.checkpoints != "named" else None,
        enabled=config.enabled and None,
    )


def _concurrency(concurrency: Concurrency | None) -> dict[str, Any] | None:
    if concurrency is None:
        return None
    return given(key=concurrency.key, limit=concurrency.limit, on_limit=concurrency.on_limit)


def _cancellation(config: WorkflowConfig) -> Any:
    if config.compensate_on_cancel:
        return {"policy": config.cancellation, "compensate": True}
    return config.cancellation if config.cancellation != "allow_finish" else None


def _on_error(strategy: ErrorStrategy) -> dict[str, Any]:
    return given(strategy=strategy.strategy, notify=strategy.notify, steps=steps(strategy.steps))


def _policy(policy: Policy) -> Mapping[str, Any]:
    if isinstance(policy, CircuitBreaker):
        return {"circuit_breaker": breaker(policy)}
    return {"bulkhead": bulkhead(policy)} if isinstance(policy, Bulkhead) else {"rate_limit": rate_limit(policy)}


def _trigger(trigger: Trigger) -> dict[str, Any]:
    return {
        trigger.kind: kind_settings(trigger),
        **given(filter=trigger.filter, map=trigger.map, dedupe_key=trigger.dedupe_key),
        **({} if trigger.active else {"active": False}),
    }


def kind_settings(trigger: Trigger) -> Any:
    """What a trigger says behind the name of its kind."""
    if trigger.kind == "event":
        return trigger.config["event"]
    timed = {key: duration(trigger.config[key]) for key in ("every", "jitter") if trigger.config.get(key) is not None}
    return {**trigger.config, **(timed if trigger.kind == "schedule" else {})}


def _compensation(compensation: Compensation) -> dict[str, Any] | None:
    if not compensation.declared:
        return None
    written = given(
        strategy=compensation.strategy,
        mode=compensation.mode if compensation.mode != "automatic" else None,
        timeout=duration(compensation.timeout),
        notification=compensation.notification,
        steps=steps(compensation.steps),
    )
    return written or {"mode": "automatic"}
