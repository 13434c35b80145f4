"""What flows into a step from those it depends on, as native expressions.

A step that is not given `data` gets that of its dependencies, in the order in which it names them, later ones winning:
what an input collected, what a process step made, the response of a model. What a registered type returns counts as far
as it looks like one of the first two. An output step gets all results by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

WIRED: Final = frozenset({"process", "ai", "data_validation"})
"""The types whose `data` is filled in."""

_SILENT: Final = frozenset({"output", "data_validation", "default"})
"""The types that have no data for others."""

_FIELDS: Final[Mapping[str, str]] = {"input": "collected_data", "process": "processed_data", "ai": "ai_response"}
"""Where in the result of a type its data is. That of `ai` is the value of a field."""


class Dependency(NamedTuple):
    """A step that another depends on, and its type in the step map."""

    name: str
    kind: str


def flowing_into(kind: str, dependencies: Sequence[Dependency]) -> dict[str, Any]:
    """The settings, as templates, that a step of this type has when it is not given `data`: `data`, or `data_from`
    where that of several dependencies is put together, or nothing."""
    if kind == "output":
        return {"data": results_of(each.name for each in dependencies)} if dependencies else {}
    givers = [each for each in dependencies if each.kind not in _SILENT]
    if kind not in WIRED or not givers:
        return {}
    if len(givers) == 1:
        (giver,) = givers
        return {"data": {"ai_response": _template(giver)} if giver.kind == "ai" else _template(giver)}
    if kind == "data_validation":
        return {"data": f"{{{{ merge({', '.join(map(_object, givers))}) }}}}"}
    return {"data_from": [f"{{{{ {_object(each)} }}}}" for each in givers]}


def results_of(names: Iterable[str]) -> dict[str, str]:
    """The templates of the results of steps, by their names."""
    return {name: f"{{{{ {_output(name)} }}}}" for name in names}


def contributes(dependency: Dependency) -> bool:
    """Whether it is certain that the dependency gives data."""
    return dependency.kind in _FIELDS


def _template(dependency: Dependency) -> str:
    return f"{{{{ {_data(dependency)} }}}}"


def _data(dependency: Dependency) -> str:
    """The expression of the data in the result of a step."""
    output, field = _output(dependency.name), _FIELDS.get(dependency.kind)
    return f"{output}.{field}" if field else f"{output}.processed_data | default({output}.collected_data)"


def _object(dependency: Dependency) -> str:
    """The expression of an object to be put together with others; of a registered type it may be empty."""
    if dependency.kind == "ai":
        return f"{{'ai_response': {_data(dependency)}}}"
    return _data(dependency) if contributes(dependency) else f"{_data(dependency)} | default({{}})"


def _output(name: str) -> str:
    return f"steps['{name}'].output" if "-" in name else f"steps.{name}.output"
