"""Where a task leads, as native edges."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce
from typing import Any, Final

from stepwell.definition.model import Path
from stepwell.definition.reading import read, wrong_type
from stepwell.dialects.graphs.commands import COMMANDS, failing_step, split_do
from stepwell.dialects.graphs.conditions import ANY, asks_outcome, both
from stepwell.dialects.origin import Taken
from stepwell.dialects.task_graph.book import Book
from stepwell.dialects.task_graph.document import DecisionDoc, TaskDoc
from stepwell.dialects.task_graph.publishing import publish
from stepwell.dialects.task_graph.ways import Base, Way, ways_of

_CONDITIONS: Final[dict[Base, str | None]] = {
    "success": "succeeded()",
    "failure": "failed()",
    "timeout": "timed_out()",
    "complete": ANY,
    "": None,
}
_NOWHERE: Final = frozenset({"continue", "noop"})


@dataclass(slots=True)
class Edges:
    """What a task's ways mean natively.

    Attributes:
        keys: those of the step that say its edges.
        fails: the step that fails the workflow on its behalf, when one of its ways says so.
        again: conditions under which it is to run again.
    """

    keys: dict[str, Any] = field(default_factory=dict)
    fails: Taken | None = None
    again: list[str] = field(default_factory=list)


def edges_of(task: TaskDoc, path: Path, book: Book) -> Edges:
    """The edges of a task. What is wrong is recorded."""
    ways = [way for way in ways_of(task, path, book.findings) if _leads_somewhere(way, book)]
    builder = _Builder(task.name, book, ways)
    for way in ways:
        builder.add(way)
    if task.next is None and task.decision is not None:
        builder.decide(task.decision, (*path, "decision"))
    return builder.edges


def _leads_somewhere(way: Way, book: Book) -> bool:
    if way.do or way.publish is not None:
        return True
    message = "this way leads nowhere and publishes nothing"
    book.findings.add("no-effect", message, way.path, hint="name the tasks to go on with: `do`")
    return False


class _Builder:
    """Says the ways of one task natively.

    When a way is about timeouts, `failed()` and `on_failure` are not about them. Native edges see to that by themselves
    as long as the way of timeouts is an edge without a condition of its own.
    """

    def __init__(self, task: str, book: Book, ways: list[Way]) -> None:
        self.edges = Edges()
        self._task = task
        self._book = book
        self._apart = any(way.is_about_timeouts for way in ways)
        self._has_link = any(way.base == "timeout" and way.is_plain for way in ways)
        self._language = book.language(task, "edge", timeouts_apart=self._apart)
        self._again = book.language(task, "again", timeouts_apart=self._apart)

    def add(self, way: Way) -> None:
        """One way of `next`, `on_success` and the like."""
        for name, place in way.do:
            self._check_target(name, place)
        commands = split_do(name for name, _ in way.do).commands
        targets = [self._target(name, place) for name, place in way.do if name not in _NOWHERE | {"retry"}]
        if "retry" in commands:
            self._run_again(way, alone=not targets and way.publish is None)
        elif way.is_plain and not self._must_ask(way):
            self.edges.keys.setdefault(f"on_{way.base}", []).extend(targets)
        else:
            entry = self._entry(way, targets, handles="noop" in commands)
            self.edges.keys.setdefault("next", []).append(Taken(entry, way.path))

    def decide(self, written: Any, path: Path) -> None:
        """A decision: the first branch that holds."""
        if not isinstance(written, list):
            wrong_type("a list of branches", written, path, self._book.findings)
            return
        branches = []
        for position, branch in enumerate(written):
            place = (*path, position)
            said = read(DecisionDoc, branch, place, self._book.findings)
            if said is not None:
                branches.append(Taken(self._branch(said, place), place))
        self.edges.keys["decision"] = Taken(branches, path)

    def _must_ask(self, way: Way) -> bool:
        return way.base == "failure" and self._apart and not self._has_link

    def _entry(self, way: Way, targets: list[Taken], *, handles: bool) -> dict[str, Any]:
        entry: dict[str, Any] = {"to": targets}
        condition = self._condition(way)
        if condition is not None:
            entry["when"] = Taken(condition, way.whens[0][1] if way.whens else way.path)
        if way.publish is not None:
            entry["publish"] = publish(*way.publish, self._book, self._language)
        return entry if targets or handles else {**entry, "handles": False}

    def _condition(self, way: Way, *, again: bool = False) -> str | None:
        """The native condition of a way, which says for which outcomes it is: without that it would be for success."""
        language = self._again if again else self._language
        wanted = [language.condition(when, place, self._book.findings) for when, place in way.whens]
        base = _CONDITIONS[way.base] if way.base != "complete" or not wanted else None
        if way.base == "failure" and self._apart:
            base = "failed() and not timed_out()"
        own = reduce(both, wanted, base)
        return own if base is not None or asks_outcome(own) else both(ANY, own)

    def _run_again(self, way: Way, *, alone: bool) -> None:
        if not alone:
            message = "with `retry` the task runs again, so that nothing else follows and nothing is published"
            self._book.findings.add("conflicting-keys", message, way.path, hint="write a way of its own for `retry`")
            return
        self.edges.again.append(self._condition(way, again=True) or ANY)

    def _branch(self, said: DecisionDoc, path: Path) -> dict[str, Any]:
        made: dict[str, Any] = {}
        if said.when is not None:
            place = (*path, "when")
            made["when"] = Taken(self._language.condition(said.when, place, self._book.findings), place)
        for key in said.given("next", "default"):
            value, place = getattr(said, key), (*path, key)
            made[key] = Taken(value, place)
            if isinstance(value, str):
                self._check_chosen(value, place)
                made[key] = self._target(value, place)
        return made

    def _check_chosen(self, name: str, path: Path) -> None:
        self._check_target(name, path)
        if name in COMMANDS - {"fail"}:
            message = f"a decision leads to a task, or to `fail`; {name!r} is another command"
            self._book.findings.add("wrong-value", message, path, hint="say it under `next`")

    def _check_target(self, name: str, path: Path) -> None:
        if name not in COMMANDS and name not in self._book.tasks:
            message = f"Task {self._task!r} references non-existent task {name!r}"
            hint = self._book.findings.hint_for(name, self._book.tasks)
            self._book.findings.add("unknown-step", message, path, hint=hint)

    def _target(self, name: str, path: Path) -> Taken:
        if name != "fail":
            return Taken(name, path)
        step = failing_step(self._task, self._book.tasks)
        if self.edges.fails is None:
            task = f"steps['{self._task}']"
            cause = f"{{{{ ': ' ~ {task}.error.message if {task}.failed else '' }}}}"
            message = f"task {self._task!r} says that the workflow has failed{cause}"
            self.edges.fails = Taken({"name": step, "type": "fail", "config": {"message": message}}, path)
        return Taken(step, path)
