"""`workflow apply`: the workflows in files are registered, in a store or at a server."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from stepwell.app.checking import Catalogue
from stepwell.app.registry import Reference, Registry
from stepwell.app.session import open_store
from stepwell.app.who import this_user
from stepwell.base.clock import SystemClock
from stepwell.base.errors import Conflict, StepwellError, UsageError
from stepwell.base.spans import Source
from stepwell.cli.documents import emit
from stepwell.cli.failures import labelled
from stepwell.cli.findings import say_findings, write_findings
from stepwell.cli.noting import note
from stepwell.cli.opening import catalogue_for_checking, checked, configuration_of, require_store, store_file
from stepwell.cli.options import Setup
from stepwell.cli.sources import file_source
from stepwell.cli.streams import output_kept_clean, say
from stepwell.cli.subjects.opening import Served
from stepwell.cli.subjects.workflows import ServedWorkflows
from stepwell.definition.diagnostics import InvalidDefinition
from stepwell.definition.model import WorkflowDefinition
from stepwell.dialects.loading import load
from stepwell.ports.store import Store
from stepwell.store.factory import is_in_memory, is_on_server

Report = Mapping[str, Any]
T = TypeVar("T")


class Applied(NamedTuple):
    """What became of a file: `registered`, `unchanged`, or `refused` with an error. `digest` is None when not known."""

    file: Path
    name: str | None
    version: str | None
    digest: str | None
    outcome: str
    lifecycle: str | None
    error: StepwellError | None = None


def apply_files(files: Sequence[Path], setup: Setup, output: str, *, draft: bool, reason: str | None) -> int:
    """Register the workflows in files; 2 when one of them was refused. With an invalid one among them nothing is."""
    apply = _apply_here if setup.server is None else _apply_there
    applied = apply(files, setup, draft, reason)
    if applied is None:
        if len(files) > 1:
            say("nothing was registered")
        return 2
    document = {"items": [_report(each) for each in applied], "next": None}
    emit(document, output, lambda: "\n".join(_line(each) for each in applied if each.error is None))
    refused = [each.error for each in applied if each.error is not None]
    for error in refused:
        say(labelled(error.code, error.message, error.hint))
    return 2 if refused else 0


def _looked_at(files: Sequence[T], look: Callable[[T], None]) -> bool:
    """Whether there is nothing wrong with any of them; what is, is said."""
    is_right = True
    for each in files:
        try:
            look(each)
        except InvalidDefinition as error:
            say_findings(error.diagnostics, error.source)
            is_right = False
        except UsageError as error:
            say(labelled(error.code, error.message, error.hint))
            is_right = False
    return is_right


def _report(applied: Applied) -> Report:
    error = applied.error
    return {
        "file": str(applied.file),
        "name": applied.name,
        "version": applied.version,
        "digest": applied.digest,
        "outcome": applied.outcome,
        "lifecycle": applied.lifecycle,
        "error": {"code": error.code, "message": error.message, "hint": error.hint} if error is not None else None,
    }


def _line(applied: Applied) -> str:
    name = Reference(applied.name or "", applied.version)
    if applied.outcome == "registered":
        return f"{name} registered" + (" as a draft" if applied.lifecycle == "draft" else "")
    return f"{name} is registered already with this content, and is {applied.lifecycle}"


# In a store


def _apply_here(files: Sequence[Path], setup: Setup, draft: bool, reason: str | None) -> list[Applied] | None:
    with output_kept_clean():
        configuration = configuration_of(setup)
        if is_in_memory(configuration.state_store.url):
            require_store(configuration)  # what is registered in memory is gone at once
        definitions = _definitions(files, setup)
    if definitions is None:
        return None

    async def register() -> list[Applied]:
        async with open_store(configuration) as store:
            return [await _register(store, file, each, draft, reason) for file, each in definitions]

    return asyncio.run(register())


def _definitions(files: Sequence[Path], setup: Setup) -> list[tuple[Path, WorkflowDefinition]] | None:
    """The definitions in the files; None when one of them is invalid, which has been said then."""
    catalogue = _catalogue(files, setup)
    found: list[tuple[Path, WorkflowDefinition]] = []

    def look(file: Path) -> None:
        source = file_source(file, setup)
        definition, loaded = checked(source, catalogue)
        write_findings(loaded.diagnostics, source, sys.stderr)
        found.append((file, definition))

    return found if _looked_at(files, look) else None


def _catalogue(files: Sequence[Path], setup: Setup) -> Catalogue:
    """What is known here, the workflows in these files included: they are registered together."""
    catalogue = catalogue_for_checking(setup)
    configuration = configuration_of(setup)
    store = store_file(configuration)
    is_new = store is not None and not store.exists()
    if catalogue.workflows is not None or is_new or is_on_server(configuration.state_store.url):
        catalogue.workflows = (catalogue.workflows or set()) | _names_in(files, setup)
    return catalogue


def _names_in(files: Sequence[Path], setup: Setup) -> Set[str]:
    """The names of the workflows in files, which may be steps of each other; without what cannot be read."""
    names = set()
    for file in files:
        try:
            definition = load(file_source(file, setup)).definition
        except UsageError:
            continue
        if definition is not None:
            names.add(definition.name)
    return names


async def _register(
    store: Store, file: Path, definition: WorkflowDefinition, draft: bool, reason: str | None
) -> Applied:
    now, user = SystemClock().now(), this_user()
    name, version, digest = definition.name, definition.version, definition.digest
    try:
        registered = await Registry(store).register(definition, draft=draft, at=now, by=user, reason=reason)
    except Conflict as error:
        return Applied(file, name, version, digest, "refused", None, error)
    outcome = "registered" if registered.is_new else "unchanged"
    if registered.is_new:
        await note(store, "workflow.apply", f"workflow:{name}/version:{version}")
    return Applied(file, name, version, digest, outcome, registered.registration.lifecycle)


# At a server


def _apply_there(files: Sequence[Path], setup: Setup, draft: bool, reason: str | None) -> list[Applied] | None:
    """What can be run is what the server knows, so that it is asked; here the files are only read."""
    sources: list[tuple[Path, Source]] = []
    if not _looked_at(files, lambda file: sources.append((file, file_source(file, setup)))):
        return None
    from stepwell.cli.remote.client import open_client

    async def apply() -> list[Applied] | None:
        async with open_client(setup) as client:
            workflows = ServedWorkflows(Served(client, setup.same_store()))
            looks = [(source, await _looked_up(workflows, source)) for _, source in sources]
            if not _looked_at(looks, _tell):
                return None
            return [await _send(workflows, file, source, draft, reason) for file, source in sources]

    return asyncio.run(apply())


async def _looked_up(workflows: ServedWorkflows, source: Source) -> InvalidDefinition | None:
    """Why it cannot be run there; warnings about one that can are said."""
    try:
        found = await workflows.check(source)
    except InvalidDefinition as error:
        return error
    write_findings(found.findings, source, sys.stderr)
    return None


def _tell(look: tuple[Source, InvalidDefinition | None]) -> None:
    if look[1] is not None:
        raise look[1]


async def _send(workflows: ServedWorkflows, file: Path, source: Source, draft: bool, reason: str | None) -> Applied:
    try:
        sent = await workflows.register(source, draft=draft, reason=reason)
    except Conflict as error:
        definition = load(source).definition
        if definition is None:  # its dialect needs to know what else is registered there
            return Applied(file, None, None, None, "refused", None, error)
        return Applied(file, definition.name, definition.version, definition.digest, "refused", None, error)
    report = sent.report
    outcome = "registered" if sent.is_new else "unchanged"
    return Applied(file, report["name"], report["version"], report["digest"], outcome, report["lifecycle"])
