"""What a dialect is: how its documents are told from others, read into the native form, and written from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from stepwell.base.spans import Source
from stepwell.definition.context import Known
from stepwell.definition.findings import Findings
from stepwell.definition.model import Path, WorkflowDefinition
from stepwell.definition.tree import Tree

Document = tuple[Path, Any]
"""A document of a source and its path: `()` when it is the only one, its number when there are several."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A source that is being read.

    Attributes:
        documents: what it holds; more than one only in a dialect that takes several.
        findings: what was found so far; their places are paths of the source.
        known: what definitions may refer to outside of themselves.
    """

    source: Source
    tree: Tree
    documents: Sequence[Document]
    findings: Findings
    known: Known


class Unsaid(NamedTuple):
    """Something of a definition that a dialect cannot say.

    Attributes:
        path: where it stands in the definition (`Step.path` and the like).
        what: for a message: "the retry condition of step 'a'".
        weight: `lost` when the workflow would do something else without it; `dropped` when it is only told to people.
    """

    path: Path
    what: str
    weight: Literal["lost", "dropped"] = "lost"


@dataclass(slots=True)
class Writing:
    """A definition that is being written in a dialect; what that cannot say is collected."""

    definition: WorkflowDefinition
    unsaid: list[Unsaid] = field(default_factory=list)

    def lost(self, path: Path, what: str) -> None:
        """Note something without which the workflow would do something else."""
        self.unsaid.append(Unsaid(path, what))

    def dropped(self, path: Path, what: str) -> None:
        """Note something that only people miss."""
        self.unsaid.append(Unsaid(path, what, "dropped"))


@dataclass(frozen=True, slots=True)
class Dialect:
    """A surface of the one language.

    Attributes:
        name: what it is called on the command line and in stores.
        title: for messages: "a task graph".
        like: how its documents look, for messages: "`ref`, `tasks`".
        claims: whether a document (any JSON value) looks like one of this dialect.
        read: the native document that means the same, with `Taken` in it; None when too much is wrong to go on. What is
            wrong is in the findings; what could be read is checked on all the same, so that all is found at once. It
            never raises because of what a document holds.
        write: the document in this dialect that means the same as a definition. What it cannot say is in `Writing`.
        several: a source may hold several documents, which belong together.
        settings: what documents say about the engine and not about the workflow, in the form of the configuration; None
            where they cannot.
        hints: what to do about findings of the native checks, by code, where those would name native keys.
        any_step_name: its steps may be called like what native expressions call something else, for it has none.
    """

    name: str
    title: str
    like: str
    claims: Callable[[Any], bool]
    read: Callable[[Reading], Any]
    write: Callable[[Writing], Any]
    several: bool = False
    any_step_name: bool = False
    hints: Mapping[str, str] = field(default_factory=dict)
    settings: Callable[[Reading], Mapping[str, Any]] | None = None
