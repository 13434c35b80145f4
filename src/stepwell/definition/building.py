"""From a whole document as it is written to the canonical model; the semantic checks come after."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar

from stepwell.definition import document as doc
from stepwell.definition.building_bodies import Around
from stepwell.definition.building_policies import Policy, build_policy, plain
from stepwell.definition.building_retry import build_retry
from stepwell.definition.building_steps import build_steps
from stepwell.definition.building_triggers import build_triggers
from stepwell.definition.context import Context
from stepwell.definition.json_schemas import check_schema
from stepwell.definition.model import (
    Compensation,
    Concurrency,
    ErrorStrategy,
    Path,
    Step,
    Trigger,
    WorkflowConfig,
)
from stepwell.definition.places import CONCURRENCY_KEY, FAILURE, UNDO, UNDO_WHEN, VARS, WORKFLOW_OUTPUT
from stepwell.definition.reading import read, wrong_type
from stepwell.definition.shapes import Doc
from stepwell.definition.words import check_variable

D = TypeVar("D", bound=Doc)


@dataclass(slots=True)
class Parts:
    """What a document says, as far as it could be read."""

    name: str = ""
    version: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    config: WorkflowConfig = field(default_factory=WorkflowConfig)
    input_schema: dict[str, Any] | None = None
    vars: tuple[tuple[str, Any], ...] = ()
    triggers: tuple[Trigger, ...] = ()
    steps: tuple[Step, ...] = ()
    compensation: Compensation = field(default_factory=Compensation)
    output_schema: dict[str, Any] | None = None
    output_values: dict[str, Any] | None = None
    output_on_failure: bool = False


def build(document: dict[str, Any], context: Context) -> Parts:
    """Everything that can be read of a document; what is wrong is recorded in the context's findings."""
    parts = Parts()
    read(doc.WorkflowDoc, document, (), context.findings)
    if "metadata" in document:
        _metadata(read(doc.MetadataDoc, document["metadata"], ("metadata",), context.findings), parts)
    spec = document.get("spec")
    if not isinstance(spec, dict):
        if "spec" in document:
            wrong_type("a mapping", spec, ("spec",), context.findings)
        return parts
    read(doc.SpecDoc, spec, ("spec",), context.findings)
    _config(_part(doc.ConfigDoc, spec, "config", context), parts, context)
    _input(_part(doc.InputDoc, spec, "input", context), parts, context)
    _vars(spec, parts, context)
    parts.triggers = build_triggers(spec.get("triggers"), ("spec", "triggers"), context)
    around = Around(retry=parts.config.retry)
    if "steps" in spec:
        parts.steps = build_steps(spec["steps"], ("spec", "steps"), context, around)
    _compensation(_part(doc.CompensationDoc, spec, "compensation", context), parts, context)
    _output(_part(doc.OutputDoc, spec, "output", context), parts, context)
    return parts


def _part(model: type[D], spec: dict[str, Any], key: str, context: Context) -> D | None:
    """The section `key` of `spec`, when it is there."""
    value = spec.get(key)
    return read(model, value, ("spec", key), context.findings) if value is not None else None


def _metadata(metadata: doc.MetadataDoc | None, parts: Parts) -> None:
    if metadata is not None:
        parts.name = metadata.name
        parts.version = metadata.version
        parts.description = metadata.description or ""
        parts.tags = tuple(metadata.tags or ())


def _config(written: doc.ConfigDoc | None, parts: Parts, context: Context) -> None:
    if written is None:
        return
    path: Path = ("spec", "config")
    retry = build_retry(written.retry_policy, None, (*path, "retry_policy"), context)
    policy, compensates = _cancellation(written.cancellation)
    parts.config = WorkflowConfig(
        timeout=written.timeout,
        deadline=written.deadline,
        retry=retry,
        max_parallel_steps=written.max_parallel_steps,
        failure_mode=written.failure_mode or "fail_fast",
        concurrency=_concurrency(written.concurrency, (*path, "concurrency"), context),
        cancellation=policy,
        compensate_on_cancel=compensates,
        on_error=_on_error(
            written.on_error, (*path, "on_error"), Around(retry=retry, config=UNDO, when=UNDO_WHEN), context
        ),
        policies=_policies(written.policies, (*path, "policies"), context, Around(retry=retry)),
        strict_failures=bool(written.strict_failures),
        branches=written.branches or "shared",
        checkpoints=written.checkpoints or "named",
        enabled=written.enabled is not False,
    )


def _cancellation(written: Any) -> tuple[Any, bool]:
    if isinstance(written, doc.CancellationDoc):
        return written.policy or "allow_finish", bool(written.compensate)
    return written or "allow_finish", False


def _concurrency(written: doc.ConcurrencyDoc | None, path: Path, context: Context) -> Concurrency | None:
    if written is None:
        return None
    context.template(written.key, (*path, "key"), CONCURRENCY_KEY)
    return Concurrency(limit=written.limit, key=written.key, on_limit=written.on_limit or "queue")


def _on_error(written: doc.ErrorStrategyDoc | None, path: Path, around: Around, context: Context) -> ErrorStrategy:
    if written is None:
        return ErrorStrategy()
    notify = plain(written.notify)
    context.template(notify, (*path, "notify"), FAILURE)
    steps = build_steps(written.steps, (*path, "steps"), context, around) if written.steps is not None else ()
    return ErrorStrategy(strategy=written.strategy, notify=notify, steps=steps)


def _policies(
    written: dict[str, doc.PolicyDoc] | None, path: Path, context: Context, around: Around
) -> dict[str, Policy]:
    built = {name: build_policy(policy, (*path, name), context, around) for name, policy in (written or {}).items()}
    return {name: policy for name, policy in built.items() if policy is not None}


def _input(written: doc.InputDoc | None, parts: Parts, context: Context) -> None:
    schema = written.schema_ if written is not None else None
    if schema is not None and check_schema(schema, ("spec", "input", "schema"), context.findings):
        parts.input_schema = schema


def _vars(spec: dict[str, Any], parts: Parts, context: Context) -> None:
    findings = context.findings
    if spec.get("vars") is not None and spec.get("variables") is not None:
        message = "`vars` and `variables` mean the same; only one of them can be given"
        findings.add("conflicting-keys", message, ("spec", "variables"), key=True)
    key = "vars" if spec.get("vars") is not None else "variables"
    written = spec.get(key)
    if written is None:
        return
    if not isinstance(written, dict):
        wrong_type("a mapping from name to first value", written, ("spec", key), findings)
        return
    for name, value in written.items():
        check_variable(name, ("spec", key, name), context)
        context.template(value, ("spec", key, name), VARS)
    parts.vars = tuple(written.items())


def _compensation(written: doc.CompensationDoc | None, parts: Parts, context: Context) -> None:
    if written is None:
        return
    path: Path = ("spec", "compensation", "steps")
    around = Around(retry=parts.config.retry, config=UNDO, when=UNDO_WHEN)
    steps = build_steps(written.steps, path, context, around) if written.steps is not None else ()
    for step in steps:
        if step.depends_on or step.edges:
            message = f"{step.name!r} has edges, but compensation steps run in the order in which they are listed"
            place = (step.depends_on or step.edges)[0].path
            context.findings.add("misplaced-key", message, place, hint="use `when` to leave a step out")
    notification = plain(written.notification)
    context.template(notification, ("spec", "compensation", "notification"), FAILURE)
    parts.compensation = Compensation(
        strategy=written.strategy,
        mode=written.mode or "automatic",
        timeout=written.timeout,
        steps=steps,
        declared=True,
        notification=notification,
    )


def _output(written: doc.OutputDoc | None, parts: Parts, context: Context) -> None:
    if written is None:
        return
    path: Path = ("spec", "output")
    if written.schema_ is not None:
        check_schema(written.schema_, (*path, "schema"), context.findings)
    context.template(written.values, (*path, "values"), WORKFLOW_OUTPUT)
    parts.output_schema = written.schema_
    parts.output_values = written.values
    parts.output_on_failure = bool(written.on_failure)
