"""What the settings of a step of a built-in type must satisfy beyond the types of their values."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from stepwell.base.filters import operator_problem
from stepwell.definition.context import Context, expressions_in
from stepwell.definition.json_schemas import check_schema, check_settings, check_value
from stepwell.definition.model import CONTROL_TYPES, LEAF_TYPES, Path
from stepwell.definition.reading import counted, describe, read
from stepwell.definition.settings import SETTINGS
from stepwell.definition.shapes import is_certain, is_expression
from stepwell.definition.state_machines import check_state_machine
from stepwell.definition.words import check_variable
from stepwell.expression.grammar import NATIVE
from stepwell.expression.template import compile_template

BUILT_IN = LEAF_TYPES | CONTROL_TYPES

FILTER_OPERATORS = frozenset({
    "~eq", "~neq", "~gt", "~gte", "~lt", "~lte", "~in", "~nin", "~regex", "~nregex", "~starts", "~nstarts",
    "~ends", "~nends", "~contains", "~ncontains", "~isnull", "~isempty",
})  # fmt: skip
"""The operators of an event filter."""
FILTER_COMBINATIONS = frozenset({"~and", "~or"})
"""In the place of a path: what stands behind them is a list of filters."""

_ALTERNATIVES: Mapping[str, tuple[str, ...]] = {
    "shell": ("command", "script"),
    "wait": ("for", "until"),
    "validation": ("validation_rules", "schema"),
    "conditional": ("condition", "cases"),
    "loop": ("items", "while", "until", "count"),
    "dynamic": ("steps", "task"),
}
"""Exactly one of these settings is given."""

_SCHEMAS: Mapping[str, tuple[str, ...]] = {
    "ai": ("output_schema",),
    "approval": ("response_schema",),
    "http": ("request_schema", "response_schema"),
    "validation": ("schema",),
}
"""Settings that hold a JSON Schema."""

_SECRET_KEY = re.compile(
    r"(?i)(?:^|[_-])(?:password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key)$"
)
_AUTHORIZATION = re.compile(r"(?i)(?:bearer|basic)\s+\S")


def check_type(
    kind: str,
    written: bool,
    settings: dict[str, Any],
    path: Path,
    step: Path,
    context: Context,
    *,
    elsewhere: bool = False,
) -> None:
    """Check a step's type, and its settings (which stand at `path`) against it.

    Args:
        elsewhere: workers that fetch from a queue do it: what tasks they know is not known here.
    """
    model = SETTINGS.get(kind)
    if model is None:
        if not elsewhere:
            _check_other_type(kind, settings, path, step, context)
        return
    if not settings and not written:
        message = "a step without `type` calls a service: it needs `config` with `service` and `endpoint`"
        context.findings.add("missing-key", message, step, hint="or give it another `type`, such as http or python")
        return
    read(model, settings, path, context.findings)
    _check_alternatives(kind, settings, path, context)
    for key in _SCHEMAS.get(kind, ()):
        if isinstance(settings.get(key), dict):
            check_schema(settings[key], (*path, key), context.findings)
    if kind in _CHECKS and not (elsewhere and kind == "python"):
        _CHECKS[kind](settings, path, context)


def _check_other_type(kind: str, settings: dict[str, Any], place: Path, step: Path, context: Context) -> None:
    """A type that is not built in: a plug-in's, or a registered task."""
    known = context.known
    if kind in known.settings:
        check_settings(settings, known.settings[kind], place, context.findings)
    if kind in (known.step_types or ()) or kind in (known.tasks or ()):
        return
    path = (*step, "type")
    if kind in known.broken:
        message = f"the step type {kind!r} is brought by a plug-in that cannot be used ({known.broken[kind]})"
        context.findings.add("unknown-type", message, path, hint="`stepwell doctor` lists the plug-ins")
        return
    names = BUILT_IN | set(known.step_types or ()) | set(known.tasks or ())
    hint = context.findings.hint_for(kind, names)
    if known.step_types is not None and known.tasks is not None:
        context.findings.add("unknown-type", f"there is no step type or task {kind!r}", path, hint=hint)
    elif hint is not None and hint.startswith("did you mean") and "." not in kind:
        context.findings.add("unrecognised-type", f"{kind!r} is not a built-in step type", path, hint=hint)


def _check_alternatives(kind: str, settings: dict[str, Any], path: Path, context: Context) -> None:
    alternatives = _ALTERNATIVES.get(kind)
    if alternatives is None:
        return
    given = [key for key in alternatives if settings.get(key) is not None]
    names = " or ".join(f"`{key}`" for key in alternatives)
    if not given:
        context.findings.add("missing-key", f"{kind} needs {names}", path)
    for extra in given[1:]:
        context.findings.add("conflicting-keys", f"{kind} takes only one of {names}", (*path, extra), key=True)


# By type


def _conditional(settings: dict[str, Any], path: Path, context: Context) -> None:
    right = "cases" if settings.get("cases") is not None else "condition"
    wrong = ("then", "else") if right == "cases" else ("default",)
    branches = [key for key in ("then", "else", "cases") if settings.get(key) is not None]
    if settings.get("condition") is not None and not branches:
        context.findings.add("missing-key", "conditional needs `then` or `else`", path)
    for key in wrong:
        if settings.get(key) is not None:
            message = f"`{key}` does not go with `{right}`"
            context.findings.add("conflicting-keys", message, (*path, key), key=True)
    if isinstance(settings.get("cases"), list):
        _cases(settings, path, context)


def _cases(settings: dict[str, Any], path: Path, context: Context) -> None:
    findings = context.findings
    if not settings["cases"]:
        findings.add("no-steps", "there are no cases here", (*path, "cases"), hint="give it at least one")
    certain: int | None = None
    for position, case in enumerate(settings["cases"]):
        place = (*path, "cases", position)
        when = case.get("when", ...) if isinstance(case, dict) else ...
        if certain is not None:
            message = f"this case is never taken: the one in {findings.place((*path, 'cases', certain))} always is"
            findings.add("unreachable-branch", message, place, hint="write it before, or take it out")
        elif when is None:
            findings.add("missing-key", "a case needs `when`: its condition", place, hint="or write it as `default`")
        elif when is not ... and is_certain(when):
            certain = position
    if certain is not None and settings.get("default") is not None:
        message = f"the default is never taken: the case in {findings.place((*path, 'cases', certain))} always is"
        findings.add("unreachable-branch", message, (*path, "default"), hint="take one of them out", key=True)


def _data(settings: dict[str, Any], path: Path, context: Context) -> None:
    if "data" in settings and settings.get("data_from") is not None:
        message = "`data` is the data, and `data_from` what it is put together from: write one of them"
        context.findings.add("conflicting-keys", message, (*path, "data_from"), key=True)


def _http(settings: dict[str, Any], path: Path, context: Context) -> None:
    if settings.get("body") is not None and settings.get("form") is not None:
        message = "a request has a `body` or a `form`, not both"
        context.findings.add("conflicting-keys", message, (*path, "form"), key=True)


def _sql(settings: dict[str, Any], path: Path, context: Context) -> None:
    query = settings.get("query")
    if isinstance(query, str) and expressions_in(query):
        context.findings.add(
            "expression-in-code",
            "the query of an SQL step holds an expression: what it gives would be read as SQL",
            (*path, "query"),
            hint="write `:name` in its place, and the expression under `params: {name: ...}`",
        )


def _shell(settings: dict[str, Any], path: Path, context: Context) -> None:
    script = settings.get("script")
    if isinstance(script, str) and expressions_in(script):
        context.findings.add(
            "expression-in-code",
            "the script of a shell step holds an expression: what it gives would be read as commands",
            (*path, "script"),
            hint='write `"$NAME"` in its place, and the expression under `env: {NAME: ...}`',
        )


def _set(settings: dict[str, Any], path: Path, context: Context) -> None:
    for variable in settings:
        check_variable(variable, (*path, variable), context)


def _service_call(settings: dict[str, Any], path: Path, context: Context) -> None:
    check_known("unknown-service", "service", settings.get("service"), context.known.services, path, context)


def _python(settings: dict[str, Any], path: Path, context: Context) -> None:
    check_known("unknown-task", "task", settings.get("task"), context.known.tasks, path, context)


def _workflow(settings: dict[str, Any], path: Path, context: Context) -> None:
    check_known("unknown-workflow", "name", settings.get("name"), context.known.workflows, path, context)


def _validation(settings: dict[str, Any], path: Path, context: Context) -> None:
    rules = settings.get("validation_rules")
    for position, rule in enumerate(rules if isinstance(rules, list) else ()):
        if not isinstance(rule, dict):
            continue
        place = (*path, "validation_rules", position)
        service = rule.get("service")
        if service is None:
            check_known("unknown-rule", "rule", rule.get("rule"), context.known.rules, place, context)
        check_known("unknown-service", "service", service, context.known.services, place, context)


def _wait_for_event(settings: dict[str, Any], path: Path, context: Context) -> None:
    check_filter(settings.get("filter"), (*path, "filter"), context)


def _parallel_group(settings: dict[str, Any], path: Path, context: Context) -> None:
    wanted, steps = settings.get("wait_for"), settings.get("steps")
    count = len(steps) if isinstance(steps, (list, dict)) else 0
    if count and type(wanted) is int and wanted > count:
        message = f"`wait_for: {wanted}` can never be met: the group has {counted(count, 'step')}"
        context.findings.add("impossible-join", message, (*path, "wait_for"), hint="at most as many as there are")


def _loop(settings: dict[str, Any], path: Path, context: Context) -> None:
    findings, most = context.findings, settings.get("max_iterations")
    items, count = settings.get("items"), settings.get("count")
    asked = len(items) if isinstance(items, list) else count
    if type(most) is int and type(asked) is int and asked > most > 0:
        message = f"{counted(asked, 'round')} are asked for, but `max_iterations` allows {most}"
        findings.add("wrong-value", message, (*path, "max_iterations"), hint="raise it, or leave it out")
    if count == 0 and type(count) is int:
        message = "no round is asked for, so the steps of the loop never run"
        findings.add("no-effect", message, (*path, "count"), hint="take the loop out, or compute the number")
    if is_expression(items):
        check_list(compile_template(items, problems=[]).kind, (*path, "items"), context)
    if items is None and count is None:
        for key in ("as", "concurrency"):
            if settings.get(key) is not None:
                message = f"`{key}` has no effect: a loop with a condition has no items, and runs one round at a time"
                findings.add("no-effect", message, (*path, key), key=True)


def check_list(kind: str, path: Path, context: Context) -> None:
    """Check that an expression that should yield a list does not always yield something else."""
    if kind not in ("", "list"):
        message = f"expected a list, or an expression that yields one; this is always a {kind}"
        context.findings.add("wrong-type", message, path)


def _approval(settings: dict[str, Any], path: Path, context: Context) -> None:
    asked = compile_template(settings.get("assigned_to"), problems=[])
    if any(reference.path[0] == NATIVE.secrets for reference in asked.references):
        message = "`assigned_to` must not hold a secret: who is asked is stored and shown"
        context.findings.add("wrong-value", message, (*path, "assigned_to"), hint="name a person or a role")
    schema, default = settings.get("response_schema"), settings.get("default")
    if isinstance(schema, dict) and default is not None and not expressions_in(default):
        check_value(default, schema, (*path, "default"), context.findings)


_CHECKS: Mapping[str, Callable[[dict[str, Any], Path, Context], None]] = {
    "conditional": _conditional,
    "http": _http,
    "process": _data,
    "ai": _data,
    "set": _set,
    "service_call": _service_call,
    "python": _python,
    "workflow": _workflow,
    "validation": _validation,
    "wait_for_event": _wait_for_event,
    "state_machine": check_state_machine,
    "parallel_group": _parallel_group,
    "loop": _loop,
    "approval": _approval,
    "sql": _sql,
    "shell": _shell,
}


def check_known(code: str, key: str, name: Any, known: Any, path: Path, context: Context) -> None:
    """Check that the world knows `name`, which stands under `key`, unless an expression yields it."""
    if known is None or not isinstance(name, str) or is_expression(name) or name in known:
        return
    word = code.removeprefix("unknown-")
    hint = context.findings.hint_for(name, known)
    context.findings.add(code, f"there is no {word} {name!r}", (*path, key), hint=hint)


def check_filter(written: Any, path: Path, context: Context) -> None:
    """Check an event filter: a mapping from dotted paths to values or operators, or one expression."""
    if written is None or isinstance(written, str):
        return
    if not isinstance(written, dict):
        message = f"expected a mapping from paths to values, or an expression; saw {describe(written)}"
        context.findings.add("wrong-type", message, path)
        return
    for field, wanted in written.items():
        if field in FILTER_COMBINATIONS:
            _check_combined(field, wanted, (*path, field), context)
            continue
        names = list(wanted) if isinstance(wanted, dict) and any(key.startswith("~") for key in wanted) else []
        if field.startswith("~"):
            message = f"the operator {field!r} stands where a path is expected"
            context.findings.add(
                "unknown-operator", message, (*path, field), key=True, hint='for instance priority: {"~in": [high]}'
            )
        for name in names:
            if name not in FILTER_OPERATORS:
                hint = context.findings.hint_for(name, FILTER_OPERATORS)
                message = f"there is no operator {name!r}"
                context.findings.add("unknown-operator", message, (*path, field, name), hint=hint, key=True)
            elif not expressions_in(wanted[name]) and (problem := operator_problem(name, wanted[name])) is not None:
                context.findings.add("wrong-value", problem, (*path, field, name))


def _check_combined(name: str, wanted: Any, path: Path, context: Context) -> None:
    if not isinstance(wanted, list) or not wanted:
        context.findings.add("wrong-type", f"{name} takes a list of filters; saw {describe(wanted)}", path)
        return
    for position, filter_ in enumerate(wanted):
        if isinstance(filter_, dict):
            check_filter(filter_, (*path, position), context)
        else:
            message = f"expected a mapping from paths to values; saw {describe(filter_)}"
            context.findings.add("wrong-type", message, (*path, position))


def check_secrets(value: Any, path: Path, context: Context) -> None:
    """Warn about what looks like a secret in settings (without nested steps) and is written in plain text."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        if isinstance(part, (dict, list)):
            check_secrets(part, (*path, key), context)
        elif isinstance(key, str) and _is_literal_secret(key, part):
            message = f"`{key}` looks like a secret in plain text"
            hint = 'keep it in the secret store and write "{{ secrets.NAME }}"'
            context.findings.add("literal-secret", message, (*path, key), hint=hint)


def _is_literal_secret(key: str, value: Any) -> bool:
    if not isinstance(value, str) or not value or is_expression(value):
        return False
    if key.lower() == "authorization":
        return _AUTHORIZATION.match(value) is not None
    return _SECRET_KEY.search(key) is not None
