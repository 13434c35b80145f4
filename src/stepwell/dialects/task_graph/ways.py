"""The ways out of a task as they are written, in one form."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple

from stepwell.definition.findings import Findings
from stepwell.definition.model import Path
from stepwell.definition.reading import describe, read
from stepwell.dialects.graphs.commands import split_do
from stepwell.dialects.graphs.conditions import functions_in
from stepwell.dialects.task_graph.document import NextDoc, TaskDoc

Base = Literal["success", "failure", "complete", "timeout", ""]
"""The outcome that takes a way; empty when its condition alone decides."""

LEGACY: Final[tuple[tuple[str, Base], ...]] = (
    ("on_success", "success"),
    ("on_failure", "failure"),
    ("on_timeout", "timeout"),
    ("on_complete", "complete"),
)
_OUTCOMES: Final[dict[str, Base]] = {"succeeded()": "success", "failed()": "failure", "timed_out()": "timeout"}

_Placed = tuple[Any, Path]


class Way(NamedTuple):
    """One way out of a task.

    Attributes:
        do: the names of tasks and commands, and where they stand.
        whens: conditions as they are written, and where they stand; all must hold.
        publish: what is published, as it is written, and where it stands.
    """

    base: Base
    path: Path
    do: tuple[tuple[str, Path], ...] = ()
    whens: tuple[_Placed, ...] = ()
    publish: _Placed | None = None

    @property
    def is_plain(self) -> bool:
        """An outcome that leads to tasks, and nothing else."""
        leads = bool(split_do(name for name, _ in self.do).targets) or any(name == "fail" for name, _ in self.do)
        return bool(self.base) and leads and not self.whens and self.publish is None

    @property
    def is_about_timeouts(self) -> bool:
        """Whether it says what follows a timeout."""
        return self.base == "timeout" or any("timed_out" in functions_in(when) for when, _ in self.whens)


def ways_of(task: TaskDoc, path: Path, findings: Findings) -> list[Way]:
    """The ways of a task, in order; `next` wins over the keys of the first generation. What is wrong is recorded."""
    if task.next is None:
        written = [(base, getattr(task, key), (*path, key)) for key, base in LEGACY]
        return [
            way for base, value, place in written if value is not None for way in _ways(value, place, base, findings)
        ]
    for key in task.given("on_success", "on_failure", "on_timeout", "on_complete", "decision"):
        message = f"task {task.name!r} has both `next` and `{key}`: `next` wins, and `{key}` has no effect"
        findings.add("no-effect", message, (*path, key), hint="keep one of the two forms", key=True)
    return list(_ways(task.next, (*path, "next"), "", findings))


def _ways(written: Any, path: Path, base: Base, findings: Findings) -> Iterator[Way]:
    """The ways in a name, a mapping, or a list of them. Names in one list are one way."""
    entries = list(enumerate(written)) if isinstance(written, list) else [(None, written)]
    placed = [(entry, path if position is None else (*path, position)) for position, entry in entries]
    names = tuple((name, place) for entry, place in placed if isinstance(entry, str) for name in _split(entry))
    if names:
        yield Way(base or "complete", names[0][1], names)
    for entry, place in placed:
        if isinstance(entry, dict):
            yield from _mapping(entry, place, base, (), findings)
        elif not isinstance(entry, str):
            message = f"expected the name of a task or a mapping with `when` and `do`, saw {describe(entry)}"
            findings.add("wrong-type", message, place)


def _split(names: str) -> Iterator[str]:
    yield from (name.strip() for name in names.split(","))


def _mapping(
    entry: dict[str, Any], path: Path, base: Base, outer: tuple[_Placed, ...], findings: Findings
) -> Iterator[Way]:
    said = read(NextDoc, entry, path, findings)
    if said is None:
        return
    if said.do is not None and said.next is not None:
        findings.add("conflicting-keys", "`do` and `next` say the same here; keep one", (*path, "next"), key=True)
    whens = outer if said.when is None else (*outer, (said.when, (*path, "when")))
    if base in ("", "complete") and len(whens) <= 1:
        base, whens = _plainly(whens)
    key = "do" if said.do is not None else "next"
    written = said.do if said.do is not None else said.next
    publish = (said.publish, (*path, "publish")) if said.publish is not None else None
    names, inner = _do(written, (*path, key), findings)
    if names or publish is not None or not inner:
        yield Way(base, path, names, whens, publish)
    for nested, place in inner:
        yield from _mapping(nested, place, base, whens, findings)


def _plainly(whens: tuple[_Placed, ...]) -> tuple[Base, tuple[_Placed, ...]]:
    """An outcome that is asked for and nothing else, as an outcome."""
    if not whens:
        return "complete", ()
    when = whens[0][0]
    text = when.strip().removeprefix("{{").removesuffix("}}").strip() if isinstance(when, str) else ""
    return (_OUTCOMES[text], ()) if text in _OUTCOMES else ("", whens)


def _do(written: Any, path: Path, findings: Findings) -> tuple[tuple[tuple[str, Path], ...], list[_Placed]]:
    """The names in `do`, and ways inside it that have conditions of their own."""
    if written is None:
        return (), []
    entries = list(enumerate(written)) if isinstance(written, list) else [(None, written)]
    names: list[tuple[str, Path]] = []
    inner: list[_Placed] = []
    for position, entry in entries:
        place = path if position is None else (*path, position)
        if isinstance(entry, str):
            names += [(name, place) for name in _split(entry)]
        elif isinstance(entry, dict):
            inner.append((entry, place))
        else:
            findings.add("wrong-type", f"expected the name of a task, saw {describe(entry)}", place)
    return tuple(names), inner
