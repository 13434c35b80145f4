"""What is at hand while a definition is built: its findings, what the world knows, and the expressions met so far."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from stepwell.definition.codes import CODES
from stepwell.definition.findings import Findings
from stepwell.definition.model import Path
from stepwell.definition.places import Place, Use
from stepwell.expression.data import a_kind
from stepwell.expression.errors import ExpressionSyntaxError
from stepwell.expression.template import Template, compile_condition, compile_template
from stepwell.policy.limits import Policy

MAX_STEPS = 50_000
"""Steps of one workflow, nested ones too: more than anyone draws, and a start still takes about a second."""


MAX_EXPRESSIONS = 200_000
"""Expressions in one workflow: ten in each of 20,000 steps. Each costs some ten microseconds to compile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a definition may refer to outside of itself. None means that it cannot be known, and is not checked.

    Attributes:
        step_types: types that plug-ins bring.
        tasks: names of registered tasks; each is a step type too.
        services: names of services of the configuration.
        workflows: names of stored workflows.
        rules: names of validation rules, the built-in ones included.
        settings: JSON Schemas of the settings of steps of plug-ins' types, by type.
        broken: why the types of some plug-ins cannot be used, by type.
        policies: the policies of the configuration by name, or only their names: then their kinds are not checked.
        channels: names of the channels of the configuration over which people are told things.
    """

    step_types: Set[str] | None = None
    tasks: Set[str] | None = None
    services: Set[str] | None = None
    workflows: Set[str] | None = None
    rules: Set[str] | None = None
    policies: Mapping[str, Policy] | Set[str] | None = None
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)
    channels: Set[str] | None = None


@dataclass(slots=True)
class Context:
    """Collects while a definition is built."""

    findings: Findings
    known: Known
    uses: list[Use] = field(default_factory=list)
    step_count: int = 0
    expression_count: int = 0
    any_step_name: bool = False
    """Whether a step may be called like something else in expressions: its document has none that could mean both."""

    def template(
        self, value: Any, path: Path, place: Place, step: str | None = None, names: frozenset[str] = frozenset()
    ) -> Template | None:
        """Compile what may hold expressions; None when it holds none. What is wrong is recorded."""
        if not self._affords(expressions_in(value), path):
            return None
        problems: list[ExpressionSyntaxError] = []
        template = compile_template(value, outcome=place.outcome, problems=problems)
        self._note(template, problems, Use(template.references, value, path, place, step, names))
        return template

    def condition(
        self, value: Any, path: Path, place: Place, step: str | None = None, names: frozenset[str] = frozenset()
    ) -> Template | None:
        """Compile a condition; None when there is none. What is wrong is recorded."""
        if value is None or isinstance(value, bool):
            return None
        if not isinstance(value, str):
            self._no_condition(a_kind(value), path)
            return None
        if not self._affords(1, path):
            return None
        problems: list[ExpressionSyntaxError] = []
        condition = compile_condition(value, outcome=place.outcome, problems=problems)
        if condition.kind not in ("", "boolean"):
            self._no_condition(f"always {'an' if condition.kind == 'object' else 'a'} {condition.kind}", path)
        self._note(condition, problems, Use(condition.references, value, path, place, step, names))
        return condition

    def _no_condition(self, what: str, path: Path) -> None:
        message = f"a condition is true, false or an expression that yields one of them; this is {what}"
        hint = "compare it with something: `input.x == 'approved'`, `input.n > 3`, `input.list != []`"
        self.findings.add("not-a-condition", message, path, hint=hint)

    def _affords(self, count: int, path: Path) -> bool:
        """Whether there is something to compile, and not too much for one workflow."""
        self.expression_count += count
        if self.expression_count <= MAX_EXPRESSIONS:
            return count > 0
        if self.expression_count - count <= MAX_EXPRESSIONS:
            message = f"the workflow has more than {MAX_EXPRESSIONS:,} expressions"
            self.findings.add("too-large", message, path, hint="split it, or compute in a task")
        return False

    def _note(self, template: Template, problems: list[ExpressionSyntaxError], use: Use) -> None:
        for problem in problems:
            code = problem.code if problem.code in CODES else "expression-syntax"
            path = (*use.path, *problem.where)
            self.findings.add(code, problem.message, path, hint=problem.hint, offset=problem.offset)
        if template.references:
            self.uses.append(use)


def expressions_in(value: Any) -> int:
    """How many expressions stand in `value`."""
    if isinstance(value, str):
        return value.count("{{")
    if isinstance(value, dict):
        return sum(expressions_in(part) for part in value.values())
    return sum(expressions_in(part) for part in value) if isinstance(value, list) else 0
