"""Workflows of Orquesta played through the decider, with what each task gives said beforehand."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from stepwell.base.errors import ErrorInfo
from stepwell.base.spans import Source
from stepwell.definition.context import Known
from stepwell.definition.diagnostics import Diagnostic
from stepwell.definition.model import WorkflowDefinition
from stepwell.dialects.loading import load
from stepwell.dialects.native.writing import document_of
from stepwell.dialects.writing import as_text
from stepwell.execution.work import Assignment
from tests.decider.played import Played

TASKS = frozenset({"core.noop", "core.echo", "core.local", "ops.build", "ops.check", "ops.tell"})
KNOWN = Known(tasks=TASKS, workflows=frozenset({"ops.deploy"}))

BUILT_IN = Known(tasks=TASKS - {"core.noop", "core.echo"})
"""Where no task is called like a built-in action."""

Gives = Mapping[str, Sequence[Any]]
"""By task what it gives, time after time; an `ErrorInfo` fails it. Null where nothing is said."""


def workflow(text: str) -> str:
    """A whole document."""
    body = textwrap.dedent(text).strip("\n") + "\n"
    return body if body.startswith(("version", "dialect")) else f"version: 1.0\n{body}"


def found(text: str, known: Known = KNOWN) -> tuple[Diagnostic, ...]:
    """What is found about a document."""
    return load(Source("ops.yaml", workflow(text)), known=known).diagnostics


def loaded(text: str, known: Known = KNOWN) -> WorkflowDefinition:
    """The definition of a document, which must be right."""
    read = load(Source("ops.yaml", workflow(text)), known=known)
    assert read.definition is not None, [str(each) for each in read.diagnostics]
    return read.definition


def boom(**details: Any) -> ErrorInfo:
    """A failure with what the task gave with it."""
    return ErrorInfo("boom", "it broke", details=details or None)


class Conducted(Played):
    """One execution of a workflow of Orquesta, to its end or as far as it goes by itself."""

    def __init__(
        self, text: str, gives: Gives | None = None, given: Any = None, *, known: Known = KNOWN, replays: bool = True
    ) -> None:
        self._gives = {name: list(each) for name, each in (gives or {}).items()}
        super().__init__(as_text(document_of(loaded(text, known)), "yaml"), given, replays=replays)
        self.go(self._give)

    def again(self, gives: Gives | None = None) -> Conducted:
        """Go on, with other results."""
        self._gives = {name: list(each) for name, each in (gives or {}).items()}
        self.go(self._give)
        return self

    def _give(self, assignment: Assignment) -> Any:
        left = self._gives.get(assignment.step.partition("[")[0].partition("#")[0], [])
        return left.pop(0) if left else None

    @property
    def tasks(self) -> list[str]:
        """The tasks that workers ran, in order, once for every try, without their visits."""
        return [key.partition("[")[0].partition("#")[0] for key in self.ran]

    def given_to(self, key: str) -> Any:
        """The input that a task was run with."""
        return self.step(key).input
