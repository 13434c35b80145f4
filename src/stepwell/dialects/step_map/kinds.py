"""The types of a step map, and what each becomes: a native type with settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any, Final, NamedTuple

from stepwell.definition.context import Known
from stepwell.definition.findings import Findings
from stepwell.definition.model import Path
from stepwell.dialects.origin import Taken
from stepwell.dialects.step_map.wiring import Dependency, flowing_into, results_of

NATIVE_TYPES: Final[Mapping[str, str]] = {
    "input": "input",
    "process": "process",
    "ai": "ai",
    "output": "output",
    "data_validation": "validation",
    "default": "transform",
}
"""The native types of the built-in ones."""

NEEDED: Final[Mapping[str, tuple[str, str]]] = {
    "input": ("data", "Invalid input data format"),
    "ai": ("prompt", "Invalid AI input data"),
}
"""What a type cannot do without, and what is said of a step that does not have it."""

RESULTS: Final = "dependency_results"


class Settings(NamedTuple):
    """A native type and its settings."""

    type: str
    config: dict[str, Any]


def kind_of(written: str, known: Known, path: Path, findings: Findings) -> str:
    """The type that is meant, whatever its letters' case. An unknown one is recorded."""
    registered = registered_types(known)
    if written in registered or written in known.broken:
        return written  # why a plug-in's type is broken is found when the native document is checked
    by_letters = {name.lower(): name for name in (*registered, *NATIVE_TYPES)}
    kind = by_letters.get(written.lower())
    if kind is not None:
        return kind
    _note_unknown(written, sorted({*registered, *NATIVE_TYPES}), known, path, findings)
    return written


def _note_unknown(written: str, names: Sequence[str], known: Known, path: Path, findings: Findings) -> None:
    """An error where all types are known; else a warning, when a built-in one is surely meant."""
    if known.step_types is not None and known.tasks is not None:
        hint = f"the types are {', '.join(names)}" if len(names) <= _MOST_SHOWN else findings.hint_for(written, names)
        findings.add("unknown-type", f"there is no step type {written!r}", path, hint=hint)
    elif (meant := findings.meant(written, names)) is not None:
        message = f"{written!r} is not a built-in step type"
        findings.add("unrecognised-type", message, path, hint=f"did you mean {meant!r}?")


def registered_types(known: Known) -> Set[str]:
    """The types beside the built-in ones: executors, plug-ins' types and registered tasks."""
    return {*(known.step_types or ()), *(known.tasks or ())}


def settings_of(
    kind: str, given: dict[str, Any], dependencies: Sequence[Dependency], path: Path, known: Known
) -> Settings:
    """What a step of this type does with its `input`, which stands at `path`."""
    if kind in NEEDED and NEEDED[kind][0] not in given:
        return Settings("validation", failing_validation(kind, given))
    match kind:
        case "data_validation":
            config = {**given, "data": given.get("data")}
            if "validation_schema" in config:
                config["schema"] = Taken(config.pop("validation_schema"), (*path, "validation_schema"))
        case "default":
            config = {"value": Taken({**given, RESULTS: _results(dependencies)}, path)}
        case _ if kind in NATIVE_TYPES:
            config = dict(given)
        case _:
            return Settings(kind, {**given, **results_for(kind, dependencies, known)})
    wired = flowing_into(kind, dependencies) if "data" not in given else {}
    return Settings(NATIVE_TYPES[kind], {**config, **wired})


def failing_validation(kind: str, given: dict[str, Any]) -> dict[str, Any]:
    """What a step does that lacks what its type needs: it checks for that, and so fails when it runs."""
    field, message = NEEDED[kind]
    return {"validation_rules": [{"field": field, "rule": "required", "message": message}], "data": given}


def results_for(kind: str, dependencies: Sequence[Dependency], known: Known) -> dict[str, Any]:
    """What a step of a registered type is given of its dependencies; a task that has none is called without."""
    is_task = kind in (known.tasks or ())
    return {} if is_task and not dependencies else {RESULTS: _results(dependencies)}


def _results(dependencies: Sequence[Dependency]) -> dict[str, str]:
    return results_of(each.name for each in dependencies)


_MOST_SHOWN: Final = 20
