"""Finding, as far as it can be seen in the document, where the data of one dependency hides that of another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from stepwell.definition.findings import Findings
from stepwell.definition.model import Path
from stepwell.dialects.step_map.wiring import WIRED, Dependency, contributes


class Giver(NamedTuple):
    """A step as far as it matters for what it gives.

    Attributes:
        data: what is written as its `data`, or `...` when nothing is.
    """

    kind: str
    data: Any
    dependencies: Sequence[Dependency]
    path: Path


def check_overwriting(steps: Mapping[str, Giver], findings: Findings) -> None:
    """Warn about every field that two dependencies of a step give."""
    known: dict[str, frozenset[str]] = {}
    for name, step in steps.items():
        givers = [each for each in step.dependencies if contributes(each)]
        if step.kind not in WIRED or step.data is not ... or len(givers) < 2:
            continue
        first: dict[str, str] = {}
        for giver in givers:
            for field in sorted(_fields(giver.name, steps, known)):
                other = first.setdefault(field, giver.name)
                if other != giver.name:
                    message = f"{field!r} is given by {other!r} and by {giver.name!r}; step {name!r} gets the latter"
                    hint = "give the step `data` of its own, or collect under different names"
                    findings.add("overwritten-data", message, (*step.path, "depends_on"), hint=hint)


def _fields(name: str, steps: Mapping[str, Giver], known: dict[str, frozenset[str]]) -> frozenset[str]:
    """The fields of the data that a step gives, as far as they are certain."""
    way: list[str] = []
    fields: frozenset[str] | None = None
    while fields is None:
        step = steps.get(name)
        if name in known:
            fields = known[name]
        elif step is None or name in way:
            fields = frozenset()
        elif step.kind == "ai":
            fields = frozenset({"ai_response"})
        elif step.data is not ... or step.kind != "process":
            fields = frozenset(step.data) if isinstance(step.data, dict) else frozenset()
        else:
            givers = [each for each in step.dependencies if contributes(each)]
            fields = frozenset() if len(givers) != 1 else None
            way.append(name)
            name = givers[0].name if givers else name
    known.update(dict.fromkeys(way, fields))
    return fields
