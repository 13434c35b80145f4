"""Reads one mapping of a document into its model, and says in our own words what does not fit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, get_args

from pydantic import ValidationError

from stepwell.definition.findings import MAX_FINDINGS, Findings
from stepwell.definition.model import Path
from stepwell.definition.shapes import MAX_NAME, Doc, shape_tag
from stepwell.definition.text import shortened

D = TypeVar("D", bound=Doc)

_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
"""What pydantic calls a wrong type, and what was expected instead."""


def read(
    model: type[D], value: Any, path: Path, findings: Findings, stand_ins: Mapping[str, Any] | None = None
) -> D | None:
    """The mapping `value`, which stands at `path`, as a `model`.

    Everything wrong with it is recorded. Then the keys that are wrong are left out, so that the rest can be checked on;
    None when that is not possible, because `value` is no mapping or a required key is missing.

    Args:
        stand_ins: values for required keys that are missing or wrong, with which the rest is checked on all the same.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        problems = error.errors(include_url=False)
    for problem in problems[: MAX_FINDINGS + 1]:
        _report(problem, model, value, path, findings)
    if not isinstance(value, dict):
        return None
    wrong = {problem["loc"][0] for problem in problems if problem["loc"]}
    right = {key: part for key, part in value.items() if key not in wrong}
    try:
        return model.model_validate({**(stand_ins or {}), **right})
    except ValidationError:
        return None


def describe(value: Any) -> str:
    """What was seen, for a message: `'abc'`, `the number 5`, `a list`."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"the number {value}"
        case str():
            return repr(shortened(value))
        case list():
            return "a list"
        case _:
            return "a mapping"


def counted(count: int, noun: str) -> str:
    """`1 step`, `3 steps`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def wrong_type(expected: str, value: Any, path: Path, findings: Findings) -> None:
    """Record that the value at `path` is of another type than expected."""
    findings.add("wrong-type", f"{_subject(path)}expected {expected}, saw {describe(value)}", path)


def known_keys(model: type[Doc]) -> list[str]:
    """The keys that a mapping of this model may have, as they are written."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _report(problem: Any, model: type[Doc], value: Any, base: Path, findings: Findings) -> None:
    location: tuple[str | int, ...] = problem["loc"]
    kind: str = problem["type"]
    on_key = bool(location) and location[-1] == "[key]"
    relative = tuple(part for part in location if not _is_tag(part))
    path = (*base, *(relative[:-1] if on_key else relative))
    context: Mapping[str, Any] = problem.get("ctx") or {}
    match kind:
        case "missing":
            hint = _description(_model_at(model, location[:-1]), str(path[-1]))
            where = f" in `{path[-2]}`" if len(path) > 1 and isinstance(path[-2], str) else ""
            findings.add("missing-key", f"the key `{path[-1]}` is missing{where}", path[:-1], hint=hint)
        case "extra_forbidden":
            known = known_keys(_model_at(model, location[:-1]))
            message = f"the key `{shortened(str(path[-1]))}` is not known here"
            findings.add("unknown-key", message, path, hint=findings.hint_for(str(path[-1]), known), key=True)
        case "string_pattern_mismatch" | "string_too_long" if problem["input"] != "":
            findings.add("bad-name", bad_name(str(problem["input"]), context.get("pattern")), path, key=on_key)
        case _ if "problem" in context:
            findings.add(kind, f"{_subject(path)}{context['problem']}", path, hint=context.get("hint"))
        case _:
            code, message, hint = _in_words(problem, context, findings)
            findings.add(code, f"{_subject(path)}{message}", path, hint=hint, key=on_key)


def _in_words(problem: Any, context: Mapping[str, Any], findings: Findings) -> tuple[str, str, str | None]:
    """The code, message and hint for an error of pydantic's own."""
    kind, seen = problem["type"], problem["input"]
    if kind in _EXPECTED:
        return "wrong-type", f"expected {_EXPECTED[kind]}, saw {describe(seen)}", _type_hint(problem)
    match kind:
        case "wrong-shape":
            return "wrong-type", f"expected {problem['msg']}, saw {describe(seen)}", None
        case "literal_error":
            allowed = re.findall(r"'([^']*)'", context["expected"])
            expected = ", ".join(allowed[:-1]) + " or " + allowed[-1] if len(allowed) > 1 else allowed[0]
            hint = findings.hint_for(seen, allowed) if isinstance(seen, str) and len(allowed) > 1 else None
            return "wrong-value", f"expected {expected}, saw {describe(seen)}", hint
        case "greater_than_equal":
            return "wrong-value", f"must be at least {context['ge']:g}, saw {describe(seen)}", None
        case "less_than_equal":
            return "wrong-value", f"must be at most {context['le']:,g}, saw {describe(seen)}", None
        case "string_too_short" | "string_pattern_mismatch":
            return "wrong-value", "must not be empty", None
        case _:
            return "wrong-value", f"{describe(seen)} does not fit here", None


def _type_hint(problem: Any) -> str | None:
    kind, seen = problem["type"], problem["input"]
    if kind == "model_type" and problem["loc"][-1:] == ("retry",) and isinstance(seen, int):
        return f"write `retry: {{max_attempts: {seen}}}`; all tries are counted, the first one too"
    if kind == "string_type" and isinstance(seen, (int, float)):
        return f'quote it: "{describe(seen).removeprefix("the number ")}"'
    if kind in ("int_type", "float_type") and isinstance(seen, str) and re.fullmatch(r"-?[0-9.]{1,20}", seen):
        return "write it without quotes"
    if kind == "bool_type" and str(seen).lower() in ("yes", "no", "on", "off", "true", "false"):
        return f"write {str(seen).lower() in ('yes', 'on', 'true')}".lower()
    return None


def bad_name(name: str, pattern: str | None = None) -> str:
    """Why `name` is none."""
    if len(name) > MAX_NAME:
        return f"a name of {len(name):,} characters is too long; at most {MAX_NAME} are allowed"
    dot = " ." if pattern is not None and "." in pattern else ""
    return f"{shortened(name)!r} is not a name: letters, digits, _{dot} and -, beginning with a letter or _"


def _description(model: type[Doc], key: str) -> str | None:
    """What a key of this model holds."""
    found = [field.description for name, field in model.model_fields.items() if key in (name, field.alias)]
    return f"`{key}`: {found[0][0].lower()}{found[0][1:].rstrip('.')}" if found and found[0] else None


def _subject(path: Path) -> str:
    """`retry.max_attempts: `, for the head of a message."""
    name = ""
    for part in reversed(path):
        if isinstance(part, str):
            return f"`{shortened(part)}{name}`: "
        name = f"[{part}]{name}"
    return ""


def _is_tag(part: str | int) -> bool:
    return isinstance(part, str) and ((part.startswith("<") and part.endswith(">")) or part == "[key]")


# Which model a location is about


def _model_at(model: type[Doc], location: tuple[str | int, ...]) -> type[Doc]:
    """The model of the mapping at `location`, which begins in a mapping of `model`."""
    for part in location:
        if not isinstance(part, str):
            continue
        inside = {name: field for key, field in model.model_fields.items() for name in (key, field.alias)}
        tagged = [found for found in _models() if shape_tag(found) == part]
        if tagged:
            model = tagged[0]
        elif part in inside:
            found = set(_models_in(inside[part].annotation))
            model = found.pop() if len(found) == 1 else model
    return model


def _models() -> Iterator[type[Doc]]:
    yield from Doc.__subclasses__()


def _models_in(annotation: Any) -> Iterator[type[Doc]]:
    if isinstance(annotation, type) and issubclass(annotation, Doc):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)
