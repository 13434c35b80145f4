"""What two definitions mean differently: steps, how they changed, and the rest of the workflow.

The models are compared, not the texts: comments, the order of keys and other ways to write the same make no difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from stepwell.base.durations import format_duration
from stepwell.definition.model import Step, WorkflowDefinition

_DURATIONS: Final = frozenset({
    "timeout", "deadline", "delay", "initial_delay", "max_delay", "call_timeout", "open_for", "window", "ttl", "per",
})  # fmt: skip
"""Fields of the model that hold microseconds."""
_PAIRS: Final = frozenset({"vars", "publish"})
"""Fields of the model that hold (name, value) pairs."""
_NOT_MEANT: Final = frozenset({"path", "spans", "source", "digest", "name", "version", "steps", "blocks", "parallel"})
"""Fields that say where something stands, name what is compared, or hold steps, which are compared by their names."""
_ABSENT: Final = object()

Difference = dict[str, Any]
"""`path`, `from`, `to`: see `difference`."""


def difference(old: WorkflowDefinition, new: WorkflowDefinition) -> dict[str, Any]:
    """What is to be said about two definitions, as JSON values; durations as people write them.

    `from`, `to`, `same`; `steps`, of which `added` and `removed` hold `{name, type, place}`, and `changed` holds
    `{name, changes}`; and `workflow`, the changes of everything else. A change has a `path`, and what stood there
    before (`from`) and stands there now (`to`), of which the one that was not there is left out.
    """
    before, after = _steps_of(old), _steps_of(new)
    changed = [(name, _changes_of(before[name], after[name])) for name in after if name in before]
    steps = {
        "added": [_brief(after[name]) for name in after if name not in before],
        "removed": [_brief(before[name]) for name in before if name not in after],
        "changed": [{"name": name, "changes": changes} for name, changes in changed if changes],
    }
    workflow = [*_differences("", _plain(old), _plain(new)), *_reordered(old, new)]
    same = not workflow and not any(steps.values())
    return {"from": _named(old), "to": _named(new), "same": same, "steps": steps, "workflow": workflow}


def _named(definition: WorkflowDefinition) -> dict[str, Any]:
    return {"workflow": definition.name, "version": definition.version, "digest": definition.digest}


def _steps_of(definition: WorkflowDefinition) -> dict[str, tuple[str, Step]]:
    """Every step by its name, with the place it has."""
    found: dict[str, tuple[str, Step]] = {}
    for place, steps in (
        ("", definition.steps),
        ("compensation", definition.compensation.steps),
        ("on_error", definition.config.on_error.steps),
    ):
        found.update({step.name: (inside, step) for inside, step in _placed(place, steps)})
    return found


def _placed(place: str, steps: Sequence[Step]) -> Iterator[tuple[str, Step]]:
    for step in steps:
        yield place, step
        for block, inner in step.blocks:
            yield from _placed(f"{step.name}.{block}", inner)


def _brief(placed: tuple[str, Step]) -> dict[str, Any]:
    place, step = placed
    return {"name": step.name, "type": step.type, "place": place or None}


def _changes_of(before: tuple[str, Step], after: tuple[str, Step]) -> list[Difference]:
    moved = _differences("place", before[0] or _ABSENT, after[0] or _ABSENT)
    return [*moved, *_differences("", _plain(before[1]), _plain(after[1]))]


def _reordered(old: WorkflowDefinition, new: WorkflowDefinition) -> Iterator[Difference]:
    """Compensation steps run in the order in which they are listed; nothing else does."""
    before, after = [[step.name for step in each.compensation.steps] for each in (old, new)]
    if [name for name in before if name in after] != [name for name in after if name in before]:
        yield {"path": "compensation.steps", "from": before, "to": after}


def _plain(value: Any, field: str = "") -> Any:
    """JSON values of a part of the model; what has its default is left out."""
    if isinstance(value, msgspec.Struct):
        return {
            info.name: _plain(content, info.name)
            for info in msgspec.structs.fields(value)
            if info.name not in _NOT_MEANT and not _is_default(info, content := getattr(value, info.name))
        }
    if isinstance(value, Mapping):
        return {str(name): _plain(content) for name, content in value.items()}
    if isinstance(value, (tuple, list)):
        return dict(value) if field in _PAIRS else [_plain(item) for item in value]
    return format_duration(value) if field in _DURATIONS and isinstance(value, int) else value


def _is_default(info: msgspec.structs.FieldInfo, content: Any) -> bool:
    """Whether it need not be said. A part with fields of its own is looked into."""
    if isinstance(content, msgspec.Struct):
        return False
    default = info.default_factory() if callable(info.default_factory) else info.default
    return bool(content == default)


def _differences(path: str, before: Any, after: Any) -> list[Difference]:
    if isinstance(before, dict) and isinstance(after, dict):
        found = []
        for name in dict.fromkeys((*before, *after)):
            inside = f"{path}.{name}" if path else name
            found += _differences(inside, before.get(name, _ABSENT), after.get(name, _ABSENT))
        return found
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = enumerate(zip(before, after, strict=True))
        return [each for place, pair in pairs for each in _differences(f"{path}[{place}]", *pair)]
    if _same(before, after):
        return []
    said = {"path": path, "from": before, "to": after}
    return [{name: value for name, value in said.items() if value is not _ABSENT}]


def _same(before: Any, after: Any) -> bool:
    """Equal, and of one kind: `1`, `1.0` and `true` are three things."""
    return type(before) is type(after) and bool(before == after)
