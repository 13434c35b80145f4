"""Variables that are read on a way on which nothing has set them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from stepwell.definition.findings import Findings
from stepwell.definition.model import Path
from stepwell.dialects.origin import settle, source_path
from stepwell.expression.compiled import Reference
from stepwell.expression.errors import ExpressionSyntaxError
from stepwell.expression.template import compile_condition, compile_template

_ASIDE: Final = frozenset({"name", "next", "retry", "join", "max_visits", "delay"})
"""Keys of a step that are no settings in which variables are read, or that are looked at by themselves."""


class _Read(NamedTuple):
    """A variable that is read, and where in the source."""

    name: str
    path: Path


class _Way(NamedTuple):
    """An entry of `next`: what it reads and sets, and where it leads."""

    reads: list[_Read]
    sets: frozenset[str]
    to: tuple[str, ...]


class _Stop(NamedTuple):
    """A step: what it reads, the ways out of it, and whether it joins what leads to it."""

    reads: list[_Read]
    ways: list[_Way]
    joins: bool


def check_paths(steps: Iterable[Any], declared: Iterable[str], findings: Findings) -> None:
    """Record every variable that may not have been set where it is read, by all ways that lead there.

    At a join everything counts that was set on any of them, as Orquesta has it.

    Args:
        steps: native ones, with `Taken` in them.
        declared: the variables with a first value.
    """
    first = frozenset(declared)
    stops = dict(map(_stop, steps))
    later = frozenset(name for stop in stops.values() for way in stop.ways for name in way.sets) - first
    if not later:
        return
    known = _known(stops, first, first | later)
    for name, stop in stops.items():
        _report(stop.reads, known[name], name, stops, later, findings)
        for way in stop.ways:
            _report(way.reads, known[name], name, stops, later, findings)


def _known(stops: Mapping[str, _Stop], first: frozenset[str], everything: frozenset[str]) -> dict[str, frozenset[str]]:
    """What is surely set when each step begins."""
    inbound: dict[str, list[tuple[str, frozenset[str]]]] = {name: [] for name in stops}
    for name, stop in stops.items():
        for way in stop.ways:
            for target in way.to:
                inbound.get(target, []).append((name, way.sets))
    known = {name: everything if inbound[name] else first for name in stops}
    changed = True
    while changed:
        changed = False
        for name, stop in stops.items():
            reached = [known[source] | sets for source, sets in inbound[name]]
            if not reached:
                continue
            found = frozenset().union(*reached) if stop.joins else frozenset.intersection(*reached)
            changed = changed or found != known[name]
            known[name] = found
    return known


def _report(
    reads: Iterable[_Read],
    known: frozenset[str],
    step: str,
    stops: Mapping[str, _Stop],
    later: frozenset[str],
    findings: Findings,
) -> None:
    for read in reads:
        if read.name in later and read.name not in known:
            way = " -> ".join(_way_to(step, read.name, stops))
            message = f"the variable {read.name!r} is read here, and on the way {way} nothing has set it"
            hint = f"give it a first value in `vars`, or read it as `ctx().get({read.name}, ...)`"
            findings.add("unknown-variable", message, read.path, hint=hint)


def _way_to(step: str, variable: str, stops: Mapping[str, _Stop]) -> Sequence[str]:
    """The shortest way to a step along which nothing sets the variable."""
    led_to = {target for stop in stops.values() for way in stop.ways for target in way.to}
    queue: deque[tuple[str, ...]] = deque((name,) for name in stops if name not in led_to)
    seen: set[str] = set()
    while queue:
        found: tuple[str, ...] = queue.popleft()
        if found[-1] == step:
            return found
        for way in stops[found[-1]].ways:
            if variable not in way.sets:
                fresh = [target for target in way.to if target in stops and target not in seen]
                seen.update(fresh)
                queue.extend((*found, target) for target in fresh)
    return (step,)


def _stop(step: Any) -> tuple[str, _Stop]:
    settled = settle(step)
    document, origins = settled
    ways: list[_Way] = []
    for number, entry in enumerate(document.get("next") or []):
        at: Path = ("next", number)
        sets = entry.get("publish") or {}
        reads = [*_of_condition(entry.get("when"), (*at, "when")), *_published(sets, (*at, "publish"))]
        ways.append(_Way(reads, frozenset(sets), tuple(entry.get("to") or ())))
    settings = {key: value for key, value in document.items() if key not in _ASIDE}
    reads = [*_of_template(settings, ()), *_of_condition((document.get("retry") or {}).get("when"), ("retry", "when"))]
    placed = [way._replace(reads=_placed(way.reads, origins)) for way in ways]
    return document["name"], _Stop(_placed(reads, origins), placed, document.get("join") is not None)


def _placed(reads: Iterable[_Read], origins: Mapping[Path, Path]) -> list[_Read]:
    return [_Read(read.name, source_path(read.path, origins)) for read in reads]


def _published(values: Mapping[str, Any], path: Path) -> Iterator[_Read]:
    """Later ones see earlier ones."""
    before: set[str] = set()
    for name, value in values.items():
        yield from (read for read in _of_template(value, (*path, name)) if read.name not in before)
        before.add(name)


def _of_template(value: Any, path: Path) -> list[_Read]:
    problems: list[ExpressionSyntaxError] = []
    return _reads(compile_template(value, outcome=True, problems=problems).references, path, str(value))


def _of_condition(value: Any, path: Path) -> list[_Read]:
    if not isinstance(value, str):
        return []
    problems: list[ExpressionSyntaxError] = []
    return _reads(compile_condition(value, outcome=True, problems=problems).references, path, value)


def _reads(references: Iterable[Reference], path: Path, text: str) -> list[_Read]:
    """What must be set there."""
    return [
        _Read(str(each.path[1]), (*path, *each.where))
        for each in references
        if len(each.path) > 1 and each.path[0] == "vars" and not (each.optional or _is_asked(str(each.path[1]), text))
    ]


def _is_asked(name: str, text: str) -> bool:
    """Whether it is asked first if there is such a variable: what `ctx().get(name)` and `default` become."""
    return f"'{name}' in vars" in text or f"vars.{name} is defined" in text
