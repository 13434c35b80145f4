"""What a document says about the engine and not about the workflow: limits, logging, tracing, resources."""

from __future__ import annotations

from typing import Any, Final, TypeVar

from stepwell.definition.findings import Findings
from stepwell.definition.reading import read
from stepwell.definition.shapes import Doc, amount
from stepwell.dialects.execution.models import ConcurrencyDoc, LoggingDoc, ResourcesDoc, TracingDoc
from stepwell.dialects.execution.whole import given
from stepwell.dialects.native.parts import duration

D = TypeVar("D", bound=Doc)

_NOT_APPLIED: Final = {
    "resources": "activities run with what the machine has; this version sets no limits",
}


def settings_of(document: dict[str, Any], findings: Findings) -> dict[str, Any]:
    """The settings in the form of the configuration. What is wrong with them, or is not applied, is recorded."""
    concurrency = _part(ConcurrencyDoc, "concurrency", document, findings)
    logging = _part(LoggingDoc, "logging", document, findings)
    resources = _part(ResourcesDoc, "resources", document, findings)
    tracing = _part(TracingDoc, "tracing", document, findings)
    if resources is not None:
        _check_amounts(resources, findings)
    for key, message in _NOT_APPLIED.items():
        if document.get(key) is not None:
            findings.add("not-applied", message, (key,), key=True)
    return given(
        execution=_limits(concurrency) or None if concurrency is not None else None,
        logging=_logging(logging) or None if logging is not None else None,
        tracing=_tracing(tracing) or None if tracing is not None else None,
    )


def _logging(written: LoggingDoc) -> dict[str, Any]:
    """The fields of `format` are fields of every line of the form `json`."""
    fields = "json" if written.format is not None else None
    return given(level=written.level, components=written.components, format=fields)


def _tracing(written: TracingDoc) -> dict[str, Any]:
    return given(enabled=written.enabled, sampling_rate=written.sampling_rate, components=written.components)


def _limits(written: ConcurrencyDoc) -> dict[str, Any]:
    queuing = written.queuing
    waits = given(strategy=queuing.strategy, timeout=duration(queuing.timeout)) if queuing is not None else None
    return given(
        max_workflows=written.max_workflows, max_concurrent_tasks=written.max_activities, queuing=waits or None
    )


def _check_amounts(written: ResourcesDoc, findings: Findings) -> None:
    for key in written.given("cpu", "memory"):
        asked = getattr(written, key)
        if asked.request is not None and asked.limit is not None and amount(asked.request) > amount(asked.limit):
            message = f"{asked.request} are asked for, and {asked.limit} may be used"
            findings.add("wrong-value", message, ("resources", key, "request"), hint="`request` is at most `limit`")


def _part(model: type[D], key: str, document: dict[str, Any], findings: Findings) -> D | None:
    value = document.get(key)
    return read(model, value, (key,), findings) if value is not None else None
