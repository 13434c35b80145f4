"""From the canonical model to a document of the dialect, as far as that can say it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from stepwell.definition.model import (
    Bulkhead,
    CircuitBreaker,
    Compensation,
    Step,
    Trigger,
    WorkflowConfig,
    WorkflowDefinition,
)
from stepwell.dialects.dialect import Writing
from stepwell.dialects.execution.expressions import EVENT_MAP
from stepwell.dialects.execution.outward import Outward
from stepwell.dialects.execution.reading import DEFAULT_VERSION, STRATEGIES
from stepwell.dialects.execution.steps_writing import Steps
from stepwell.dialects.native.parts import duration, given

_SAID: Final = frozenset({"retry", "on_error", "policies"})
"""What of the workflow's configuration the dialect can say."""
_STRATEGIES: Final = {native: ours for ours, native in STRATEGIES.items()}


def write(writing: Writing) -> dict[str, Any]:
    """The document of a definition. What it cannot say is noted, and left out."""
    definition = writing.definition
    published = frozenset(name for step in definition.steps for name, _ in step.publish)
    has_event = any(trigger.map == EVENT_MAP for trigger in definition.triggers)
    outward = Outward(published, has_event, writing)
    _note_whole(definition, writing)
    made = Steps(definition, outward, writing)
    activities = made.activities()
    document = {
        "execution": {
            "workflow": definition.name,
            **given(
                version=definition.version if definition.version != DEFAULT_VERSION else None,
                description=definition.description,
                trigger=_trigger(definition.triggers, writing),
            ),
            "activities": activities,
        },
        **given(
            error_handling=_error_handling(definition.config, made, writing),
            compensation=_compensation(definition.compensation, made, writing),
            circuit_breaker=_breaker(made.shared("circuit_breaker")),
            bulkhead=_bulkhead(made.shared("bulkhead"), made),
            activities=made.manifests(),
        ),
    }
    made.note_other_policies()
    return document


def _note_whole(definition: WorkflowDefinition, writing: Writing) -> None:
    """Note what is said of the workflow as a whole and has no place in the dialect."""
    config, usual = definition.config, WorkflowConfig()
    for name in config.__struct_fields__:
        if name not in _SAID and getattr(config, name) != getattr(usual, name):
            writing.lost(("spec", "config", name), f"`{name}` of the workflow")
    whole: Mapping[str, Any] = {
        "input": definition.input_schema,
        "vars": definition.vars,
        "output": definition.output_schema or definition.output_values,
    }
    for key, there in whole.items():
        if there:
            writing.lost(("spec", key), f"the `{key}` of the workflow")
    if config.on_error.steps:
        writing.lost(("spec", "config", "on_error", "steps"), "steps that run after a failure")
    if definition.tags:
        writing.dropped(("metadata", "tags"), "the tags")


def _trigger(triggers: Sequence[Trigger], writing: Writing) -> dict[str, Any] | None:
    """The first trigger by an event; there is no other way to say what starts the workflow."""
    events = [trigger for trigger in triggers if trigger.kind == "event"]
    for trigger in triggers:
        if trigger not in events[:1]:
            writing.lost(
                trigger.path, f"a further trigger ({trigger.kind})" if events else f"a trigger ({trigger.kind})"
            )
    if not events:
        return None
    trigger = events[0]
    for key in ("map", "dedupe_key"):
        value = getattr(trigger, key)
        if value is not None and value != EVENT_MAP:
            writing.lost((*trigger.path, key), f"the `{key}` of a trigger")
    is_filter = isinstance(trigger.filter, dict)
    if trigger.filter is not None and not is_filter:
        writing.lost((*trigger.path, "filter"), "a filter that is an expression")
    return {
        "event": trigger.config["event"],
        **given(conditions=trigger.filter if is_filter else None),
        **({} if trigger.active else {"active": False}),
    }


def _error_handling(config: WorkflowConfig, made: Steps, writing: Writing) -> dict[str, Any]:
    error, path = config.on_error, ("spec", "config", "on_error")
    notify = dict(error.notify or {})
    channels, recipients = notify.pop("channels", None), notify.pop("recipients", None)
    if notify or (recipients and not channels):
        writing.lost((*path, "notify"), "what is said to whom after a failure, beyond channels and recipients")
    return given(
        activity_error=given(retry=made.retry(config.retry, ("spec", "config", "retry_policy"))),
        workflow_error=given(
            strategy=_STRATEGIES[error.strategy] if error.strategy is not None else None,
            notification=given(channels=channels, recipients=recipients) if channels else None,
        ),
    )


def _compensation(written: Compensation, made: Steps, writing: Writing) -> dict[str, Any] | None:
    if not written.declared:
        return None
    path = ("spec", "compensation")
    strategy = written.strategy
    if strategy is None and written.steps:
        strategy = "forward"
        if any(step.compensate is not None for step in writing.definition.steps):
            writing.lost(path, "a list that runs as it stands, after what steps undo in reverse order")
    if written.notification not in (None, True, False):
        writing.lost((*path, "notification"), "who is told about the compensation")
    return given(
        strategy=strategy or "reverse",
        mode=written.mode if written.mode != "automatic" else None,
        timeout=duration(written.timeout),
        notification=None if written.notification is None else bool(written.notification),
        activities=list(_listed(written.steps, made, writing)),
    )


def _listed(steps: Sequence[Step], made: Steps, writing: Writing) -> Iterator[dict[str, Any]]:
    for step in steps:
        work = made.call(step.name, step.type, step.config, step.path)
        if step.when is not None or step.retry is not None or step.timeout is not None or step.on_failure is not None:
            writing.lost(step.path, f"how the compensation step {step.name!r} is run")
        params = work.pop("input", None)
        yield {"name": step.name, **work, **({"params": params} if params is not None else {})}


def _breaker(policy: Any) -> dict[str, Any] | None:
    if not isinstance(policy, CircuitBreaker):
        return None
    return given(threshold=policy.threshold, timeout=duration(policy.call_timeout), reset=duration(policy.open_for))


def _bulkhead(policy: Any, made: Steps) -> dict[str, Any] | None:
    if not isinstance(policy, Bulkhead):
        return None
    return {
        "max_concurrent": policy.max_concurrent,
        "max_queue_size": policy.max_queue_size,
        **given(timeout=duration(policy.timeout), fallback=made.rejected(policy.fallback)),
    }
