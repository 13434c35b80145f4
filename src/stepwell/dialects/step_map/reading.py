"""From a step map to the native document that means the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from stepwell.base.durations import format_duration
from stepwell.definition.findings import Findings
from stepwell.definition.model import Path
from stepwell.definition.reading import read as read_mapping
from stepwell.definition.shapes import NAME, as_names
from stepwell.dialects.dialect import Reading
from stepwell.dialects.language import Language
from stepwell.dialects.native.parts import given
from stepwell.dialects.native.policies import retry as native_retry
from stepwell.dialects.origin import Taken
from stepwell.dialects.step_map.document import (
    DEFAULT_RETRY,
    DEFAULT_TYPE,
    DEFAULT_VERSION,
    StepMapDoc,
    StepMapRetryDoc,
    StepMapStepDoc,
)
from stepwell.dialects.step_map.kinds import kind_of, settings_of
from stepwell.dialects.step_map.names import workflow_name
from stepwell.dialects.step_map.overwriting import Giver, check_overwriting
from stepwell.dialects.step_map.wiring import Dependency, results_of

NO_EXPRESSIONS: Final = Language()
"""A step map has none: braces in it are text."""


class _Written(NamedTuple):
    """A step as it is written, and the type that is meant."""

    doc: StepMapStepDoc
    kind: str
    path: Path


def read(reading: Reading) -> Any:
    """The native document; None when the step map has no form that could be gone through."""
    (_, document) = reading.documents[0]
    if isinstance(document, dict):
        document = {key: value for key, value in document.items() if key != "dialect"}
    written = read_mapping(StepMapDoc, document, (), reading.findings, {"id": "unknown"})
    if written is None:
        return None
    steps = _steps(written, reading)
    return {
        "apiVersion": "workflow/v1",
        "kind": "Workflow",
        "metadata": _metadata(written),
        "spec": {
            "config": {
                **given(max_parallel_steps=_taken(written.max_parallel_steps, ("max_parallel_steps",))),
                "retry_policy": _policy(written, reading.findings),
            },
            "steps": Taken(steps, ("steps",)),
            "output": {"values": Taken(results_of([name for name in steps if _is_name(name)]), ("steps",))},
        },
    }


def _metadata(written: StepMapDoc) -> dict[str, Any]:
    described = "description" if written.description is not None else "name"
    return {
        "name": Taken(workflow_name(written.id), ("id",)),
        "version": Taken(written.version or DEFAULT_VERSION, ("version",)),
        **given(description=_taken(getattr(written, described), (described,))),
    }


def _taken(value: Any, path: Path) -> Taken | None:
    return None if value is None else Taken(value, path)


# Retries


def _policy(written: StepMapDoc, findings: Findings) -> dict[str, Any]:
    """How steps are retried that do not say it themselves."""
    longest = DEFAULT_RETRY.max_delay or 0
    return {**(native_retry(DEFAULT_RETRY) or {}), **_retry(written.max_retries, written.retry, (), longest, findings)}


def _retry(
    retries: int | None, written: StepMapRetryDoc | None, path: Path, longest: int, findings: Findings
) -> dict[str, Any]:
    """The parts of a native retry policy that are written at `path`.

    Args:
        longest: the longest wait, in microseconds, where nothing is said.
    """
    parts: dict[str, Any] = {}
    if retries is not None:
        parts["max_attempts"] = Taken(retries + 1, (*path, "max_retries"))
    if written is None:
        return parts
    base, most = written.base_delay, written.max_delay
    if base is not None and base > _longest(written, longest):
        bound = format_duration(_longest(written, longest))
        message = f"`base_delay` is longer than `max_delay`, which is {bound}"
        findings.add("wrong-value", message, (*path, "retry", "base_delay"), hint="the longest wait bounds the first")
    if base is not None:
        parts["initial_delay"] = Taken(format_duration(base), (*path, "retry", "base_delay"))
    if most is not None:
        parts["max_delay"] = Taken(format_duration(most), (*path, "retry", "max_delay"))
    if written.retryable_errors is not None:
        parts["retry_on"] = Taken(written.retryable_errors, (*path, "retry", "retryable_errors"))
    return parts


def _longest(written: StepMapRetryDoc | None, otherwise: int) -> int:
    return otherwise if written is None or written.max_delay is None else written.max_delay


# Steps


def _steps(document: StepMapDoc, reading: Reading) -> dict[str, Any]:
    entries, longest = document.steps, _longest(document.retry, DEFAULT_RETRY.max_delay or 0)
    read_as = {name: _step(name, entry, reading) for name, entry in entries.items()}
    written = {name: step for name, step in read_as.items() if step is not None}
    wired = {name: _dependencies(name, step, written) for name, step in written.items()}
    check_overwriting({name: _giver(step, wired[name]) for name, step in written.items()}, reading.findings)
    return {
        name: _native(step, wired[name], longest, reading) if step is not None else {"type": "noop"}
        for name, step in read_as.items()
    }


def _step(name: str, entry: Any, reading: Reading) -> _Written | None:
    path = ("steps", name)
    written = read_mapping(StepMapStepDoc, {} if entry is None else entry, path, reading.findings)
    if written is None:
        return None
    if written.type is None:
        return _Written(written, DEFAULT_TYPE, path)
    return _Written(written, kind_of(written.type, reading.known, (*path, "type"), reading.findings), path)


def _dependencies(name: str, step: _Written, steps: Mapping[str, _Written]) -> Sequence[Dependency]:
    """The steps whose results the step gets. What is wrong with its dependencies is found later."""
    names = dict.fromkeys(as_names(step.doc.depends_on))
    return [Dependency(each, steps[each].kind) for each in names if each in steps and each != name and _is_name(each)]


def _is_name(name: str) -> bool:
    return NAME.fullmatch(name) is not None


def _giver(step: _Written, dependencies: Sequence[Dependency]) -> Giver:
    return Giver(step.kind, (step.doc.input or {}).get("data", ...), dependencies, step.path)


def _native(step: _Written, dependencies: Sequence[Dependency], longest: int, reading: Reading) -> Taken:
    doc, path = step.doc, step.path
    values = NO_EXPRESSIONS.template(doc.input or {}, (*path, "input"), reading.findings)
    settings = settings_of(step.kind, values, dependencies, (*path, "input"), reading.known)
    return Taken(
        {
            "type": settings.type,
            "config": Taken(settings.config, (*path, "input")),
            **given(
                description=doc.description,
                depends_on=doc.depends_on,
                timeout=format_duration(doc.timeout) if doc.timeout is not None else None,
                retry=_retry(doc.max_retries, doc.retry, path, longest, reading.findings),
            ),
        },
        path,
    )
