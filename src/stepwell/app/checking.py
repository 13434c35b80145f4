"""What a definition must satisfy to be run by this engine, beyond being right in itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Set
from typing import Final

from stepwell.app.capabilities import NEEDED
from stepwell.app.plugins import Plugins
from stepwell.app.registries import Registries
from stepwell.app.trigger_checks import TRIGGER_CODES, trigger_findings
from stepwell.base.spans import Source
from stepwell.decider.unsupported import unsupported
from stepwell.definition.codes import Code
from stepwell.definition.context import Known
from stepwell.definition.diagnostics import Diagnostic
from stepwell.definition.loading import Loaded
from stepwell.definition.model import LEAF_TYPES, Path, WorkflowDefinition, all_steps
from stepwell.dialects.loading import load
from stepwell.policy.limits import Policy
from stepwell.tasks.rules import BUILT_IN

ENGINE_CODES: Final[Mapping[str, Code]] = {
    "not-supported": Code(
        "error", "The language has it, and this version does not run it.", "Leave it out, or wait for a later version."
    ),
    "not-configured": Code(
        "error",
        "Steps of this type reach into the machine, and the configuration gives them nothing that they may use.",
        "Give the operator's configuration the section that the finding names.",
    ),
    **TRIGGER_CODES,
}
"""Findings of the engine about a definition, beside those of the definition itself."""


class Catalogue:
    """What this engine can run: read anew at each use, since tasks may be registered at any time.

    Attributes:
        policies: those of the configuration, by name.
        channels: names of the channels of the configuration; None when they are not known, and not checked.
        workflows: names of registered workflows; None when they are not known, and not checked.
        plugins: what installed packages bring.
        brokers: names of those in the configuration.
    """

    def __init__(
        self,
        handlers: Callable[[], set[str]],
        tasks: Callable[[], set[str]],
        rules: Callable[[], set[str]],
        services: Set[str] | None,
        policies: Mapping[str, Policy],
        workflows: Set[str] | None = None,
        channels: Set[str] | None = None,
        plugins: Plugins | None = None,
        brokers: Collection[str] = (),
    ) -> None:
        self._handlers = handlers
        self._tasks = tasks
        self._rules = rules
        self._services = services
        self.policies = policies
        self.workflows = workflows
        self.channels = channels
        self.plugins = plugins or Plugins(())
        self.brokers = brokers

    def known(self) -> Known:
        """For validation: the names that exist."""
        tasks = self._tasks()
        return Known(
            step_types=self._handlers() - LEAF_TYPES - tasks,
            tasks=tasks,
            services=self._services,
            rules=self._rules(),
            policies=self.policies,
            workflows=self.workflows,
            channels=self.channels,
            settings=self.plugins.schemas(),
            broken={name: f"{each.package}: {each.problem}" for name, each in self.plugins.broken.items()},
        )

    def leaf_types(self) -> set[str]:
        """The step types that have a task handler."""
        return self._handlers() | self._tasks()


def catalogue_of(
    registries: Registries,
    types: set[str],
    services: Set[str] | None,
    policies: Mapping[str, Policy] | None = None,
    channels: Set[str] | None = None,
    plugins: Plugins | None = None,
    brokers: Collection[str] = (),
) -> Catalogue:
    """What can be run with these registries, handlers, services, and configured policies and channels."""
    return Catalogue(
        handlers=lambda: types | registries.executors.keys(),
        tasks=lambda: set(registries.tasks.names()),
        rules=lambda: BUILT_IN.keys() | set(registries.rules.names()),
        services=services,
        policies=policies or {},
        channels=channels,
        plugins=plugins,
        brokers=brokers,
    )


def check(source: Source, catalogue: Catalogue) -> Loaded:
    """Validate a text against what the catalogue offers; constructs that would not be run are errors too."""
    loaded = load(source, known=catalogue.known())
    definition = loaded.definition
    if definition is None:
        return loaded
    refused = [*_not_configured(definition, catalogue), *_not_supported(definition, catalogue)]
    said = [_finding(definition, *each) for each in trigger_findings(definition, catalogue.brokers)]
    findings = sorted(
        (*loaded.diagnostics, *refused, *said), key=lambda finding: (finding.span.line, finding.span.column)
    )
    is_refused = bool(refused) or any(finding.severity == "error" for finding in said)
    return Loaded(definition=None if is_refused else definition, diagnostics=tuple(findings))


def _not_supported(definition: WorkflowDefinition, catalogue: Catalogue) -> list[Diagnostic]:
    types = catalogue.leaf_types()
    types.update(NEEDED)  # in place: it may hold more than it names
    return [
        _finding(definition, "not-supported", path, f"this version does not run {what}")
        for path, what in unsupported(definition, types)
    ]


def _not_configured(definition: WorkflowDefinition, catalogue: Catalogue) -> list[Diagnostic]:
    missing = NEEDED.keys() - catalogue.leaf_types()
    groups = (definition.steps, definition.compensation.steps, definition.config.on_error.steps)
    written = (step for group in groups for step in all_steps(group))
    steps = (each for step in written for each in (step, step.compensate) if each is not None)
    return [
        _finding(
            definition,
            "not-configured",
            (*step.path, "type"),
            f"steps of type {step.type!r} are not allowed here: the configuration has no {NEEDED[step.type]}",
        )
        for step in steps
        if step.type in missing
    ]


def _finding(definition: WorkflowDefinition, code: str, path: Path, message: str) -> Diagnostic:
    return Diagnostic(
        code=code,
        message=message,
        span=definition.spans.at(path),
        severity=ENGINE_CODES[code].severity,
        path=path,
        source_name=definition.source.name,
    )
