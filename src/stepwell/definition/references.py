"""What expressions read: whether it exists, and whether it can be there where they stand."""

from __future__ import annotations

import re
from typing import Any

from stepwell.definition.building import Parts
from stepwell.definition.context import Context
from stepwell.definition.graph import cycles, not_upstream
from stepwell.definition.groups import Group, Groups
from stepwell.definition.json_schemas import unknown_property
from stepwell.definition.model import Step
from stepwell.definition.places import ROOTS, VARS, Use
from stepwell.expression.compiled import Reference
from stepwell.expression.grammar import NATIVE

STEP_FIELDS = frozenset({
    "output", "result", "status", "completed", "failed", "skipped", "timed_out", "error", "items", "attempts",
    "started_at", "completed_at",
})  # fmt: skip
"""What can be read of `steps.NAME`."""

EXECUTION_FIELDS = frozenset({"id", "execution_id", "name", "version", "started_at", "workflow_start"})
"""What can be read of `workflow`, `execution` and `system`."""

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def check_references(parts: Parts, groups: Groups, context: Context) -> None:
    """Check every name that an expression reads. What is wrong is recorded."""
    checker = _Checker(parts, groups, context)
    for use in context.uses:
        for reference in use.references:
            checker.check(use, reference)
    checker.check_order()


class _Checker:
    def __init__(self, parts: Parts, groups: Groups, context: Context) -> None:
        self._context = context
        self._findings = context.findings
        self._schema = parts.input_schema or {}
        self._variables = _variables(parts, groups.everything)
        self._declared = {name: position for position, (name, _) in enumerate(parts.vars)}
        self._any_variable = any(step.type == "dynamic" for step in groups.everything)
        self._groups = groups
        self._asked: dict[Group, dict[tuple[str, str], list[tuple[Use, Reference]]]] = {}

    def check(self, use: Use, reference: Reference) -> None:
        root = reference.path[0]
        if root in use.names and root not in use.place.roots:
            return
        if root not in use.place.roots:
            self._unknown_root(use, reference)
            return
        match root:
            case "steps":
                self._step(use, reference)
            case "input" if not reference.optional:
                self._input(use, reference)
            case "vars":
                self._variable(use, reference)
            case "execution" if len(reference.path) > 1 and reference.path[1] not in EXECUTION_FIELDS:
                name = str(reference.path[1])
                hint = self._findings.hint_for(name, EXECUTION_FIELDS)
                self._add(
                    "unknown-field", f"there is no {name!r} in `{_written(use, reference)}`", use, reference, hint
                )
            case _:
                pass

    def _unknown_root(self, use: Use, reference: Reference) -> None:
        name = _written(use, reference)
        if reference.path[0] in ROOTS:
            known = ", ".join(sorted(use.place.roots | use.names))
            message = f"`{name}` is not known in {use.place.what}"
            self._add("misplaced-name", message, use, reference, f"known here: {known}")
            return
        known_here = (
            use.place.roots | use.names | {alias for alias, real in NATIVE.aliases.items() if real in use.place.roots}
        )
        hint = self._findings.hint_for(name, known_here)
        if name in self._variables:
            hint = f"a variable is read as `vars.{name}`"
        elif name in self._schema.get("properties", {}):
            hint = f"an input is read as `input.{name}`"
        elif name in self._groups.of:
            hint = f"a step is read as `steps.{name}.output`"
        self._add("unknown-name", f"`{name}` is not defined", use, reference, hint)

    # input, vars

    def _input(self, use: Use, reference: Reference) -> None:
        found = unknown_property(self._schema, reference.path[1:])
        if found is None:
            return
        position, properties, closed = found
        name = str(reference.path[1 + position])
        inside = ".".join(str(part) for part in reference.path[: 1 + position])
        hint = self._findings.hint_for(name, properties)
        if closed:
            self._add("unknown-input", f"`{inside}` has no property {name!r}", use, reference, hint)
        else:
            message = f"`{inside}` declares no property {name!r}"
            self._add("undeclared-input", message, use, reference, hint)

    def _variable(self, use: Use, reference: Reference) -> None:
        name = reference.path[1] if len(reference.path) > 1 else None
        if not isinstance(name, str) or reference.optional:
            return
        if use.place is VARS:
            own = self._declared[str(use.path[-1])]
            if self._declared.get(name, own) >= own:
                order = "a variable's first value sees only those declared before it"
                self._add("unknown-variable", f"there is no variable {name!r} yet", use, reference, order)
        elif name not in self._variables and not self._any_variable:
            hint = self._findings.hint_for(name, self._variables)
            self._add("unknown-variable", f"there is no variable {name!r}", use, reference, hint)

    # steps

    def _step(self, use: Use, reference: Reference) -> None:
        name = reference.path[1] if len(reference.path) > 1 else None
        if not isinstance(name, str):
            return
        if name not in self._groups.of:
            self._add("unknown-step", f"there is no step {name!r}", use, reference, self._step_hint(name))
            return
        read = reference.path[2] if len(reference.path) > 2 else None
        if isinstance(read, str) and read not in STEP_FIELDS:
            nearest = self._findings.hint_for(read, STEP_FIELDS) or ""
            gave = f"what the step gave is in `steps.{name}.output.{read}`"
            hint = nearest if nearest.startswith("did you mean") else gave
            self._add("unknown-field", f"a step has no field {read!r}", use, reference, hint)
        if use.step is not None and use.step in self._groups.of and not use.place.any_step:
            self._ask_order(use, reference, use.step, name, optional=reference.optional)

    def _step_hint(self, name: str) -> str | None:
        known = self._groups.of
        if not self._findings.can_compare(len(known)):
            return None
        hyphenated = next((other for other in known if other.startswith(f"{name}-")), None)
        if hyphenated is not None:
            return f"a name with a hyphen is written steps['{hyphenated}']"
        return self._findings.hint_for(name, known.keys())

    def _ask_order(self, use: Use, reference: Reference, later: str, earlier: str, *, optional: bool) -> None:
        """Note that `later` reads `earlier`; a way must lead from it in the innermost block that both are in."""
        if optional or _asks_about(reference):
            return
        if later == earlier:
            if not use.place.after:
                self._too_early(use, reference, f"{earlier!r} has not run when this is evaluated")
            return
        shared = self._groups.shared(later, earlier)
        if shared is None:
            self._too_early(use, reference, f"{earlier!r} never runs before {later!r}")
            return
        group, inner, outer = shared
        if inner != outer:
            asked = self._asked.setdefault(group, {})
            asked.setdefault((inner, outer), []).append((use, reference))
        elif outer == earlier:
            self._too_early(use, reference, f"{earlier!r} has not ended: {later!r} is a part of it")

    def check_order(self) -> None:
        """Warn about everything that is read of a step from which no way leads to the reader."""
        for group, asked in self._asked.items():
            if cycles(group.graph):
                continue
            for pair in not_upstream(group.graph, asked):
                for use, reference in asked[pair]:
                    message = f"{reference.path[1]!r} may not have run yet: no way leads from it to {use.step!r}"
                    hint = (
                        f"add it to `depends_on`, or say what to use then: `{_written(use, reference)}... | default(x)`"
                    )
                    self._too_early(use, reference, message, hint)

    def _too_early(self, use: Use, reference: Reference, message: str, hint: str | None = None) -> None:
        self._add("step-not-upstream", message, use, reference, hint)

    def _add(self, code: str, message: str, use: Use, reference: Reference, hint: str | None) -> None:
        self._findings.add(code, message, (*use.path, *reference.where), hint=hint, offset=reference.offset)


def _asks_about(reference: Reference) -> bool:
    """Whether only something is read that every step has, such as `completed`, whether it has run or not."""
    return len(reference.path) > 2 and reference.path[2] not in ("output", "result")


def _variables(parts: Parts, steps: list[Step]) -> set[str]:
    """The names of all variables: declared, published, or set."""
    names = {name for name, _ in parts.vars}
    for step in steps:
        names.update(name for name, _ in step.publish)
        for edge in step.edges:
            names.update(name for name, _ in edge.publish)
        if step.type == "set":
            names.update(step.config)
    return names


def _written(use: Use, reference: Reference) -> str:
    """The root name as it is written, which may be an alias."""
    value: Any = use.value
    for part in reference.where:
        value = value[part]
    found = _WORD.match(value, reference.offset) if isinstance(value, str) else None
    return found.group() if found is not None else str(reference.path[0])
