"""What a store is asked for and what it answers, page by page."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from stepwell.ports.records import DeadLetter, NewExecution, Summary, Waiting


class ExecutionListing(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a list of executions."""

    id: str
    created: NewExecution
    summary: Summary


class Page(msgspec.Struct, frozen=True):
    """A part of a list; `next` is the cursor of the following part, or None."""

    items: Sequence[ExecutionListing]
    next: str | None


class ExecutionQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which executions to list, newest first. None means any. `created_from` is included, `created_to` is not.

    `parent` is the id of an execution: the sub-workflows that its steps started. `namespaces` are those of the
    workflows (`base.namespaces`). `text` is contained in the id, the workflow's name, a tag or the error; ASCII letters
    of either case are alike.
    """

    workflow: str | None = None
    version: str | None = None
    statuses: tuple[str, ...] = ()
    tag: str | None = None
    parent: str | None = None
    created_from: int | None = None
    created_to: int | None = None
    namespaces: tuple[str, ...] | None = None
    text: str | None = None
    limit: int = 50
    cursor: str | None = None


class DeadLetterQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which dead letters to list, newest first. None means any. `discarded`: those that were discarded, instead of the
    others. `namespaces` are those of the workflows."""

    workflow: str | None = None
    execution: str | None = None
    error_type: str | None = None
    discarded: bool = False
    namespaces: tuple[str, ...] | None = None
    limit: int = 50
    cursor: str | None = None


class DeadLetterPage(msgspec.Struct, frozen=True):
    """A part of the list of dead letters; `next` is the cursor of the following part, or None."""

    items: Sequence[DeadLetter]
    next: str | None


class WaitPage(msgspec.Struct, frozen=True):
    """A part of a list of waits; `next` is the cursor of the following part, or None."""

    items: Sequence[Waiting]
    next: str | None
