"""`workflow apply`, `list`, `show`, `deprecate`, `retire`, `activate` and `default`: workflows by name and version."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, Final, NamedTuple

from rich.console import RenderableType
from rich.text import Text

from stepwell.app.checking import Catalogue
from stepwell.app.registry import Reference, Registry, full_report, reference_of, registration_report
from stepwell.app.session import open_store
from stepwell.app.who import this_user
from stepwell.base.clock import SystemClock
from stepwell.base.errors import Conflict, StepwellError, UsageError
from stepwell.cli.documents import emit
from stepwell.cli.failures import labelled
from stepwell.cli.findings import say_findings, write_findings
from stepwell.cli.opening import (
    catalogue_for_checking,
    checked,
    configuration_of,
    existing_store,
    require_store,
    store_file,
)
from stepwell.cli.options import Setup
from stepwell.cli.sources import file_source
from stepwell.cli.streams import output_kept_clean, say
from stepwell.cli.tables import rendered, table
from stepwell.cli.words import day_or_time
from stepwell.definition.diagnostics import InvalidDefinition
from stepwell.definition.model import WorkflowDefinition
from stepwell.dialects.loading import load
from stepwell.ports.records import Lifecycle, Registration
from stepwell.ports.store import Store

Report = Mapping[str, Any]
_STYLES: Final = {"active": "green", "deprecated": "yellow", "retired": "dim"}


class Applied(NamedTuple):
    """What became of a file: `registered`, `unchanged`, or `refused` with an error."""

    file: Path
    definition: WorkflowDefinition
    outcome: str
    registration: Registration | None
    error: StepwellError | None = None


def apply_files(files: Sequence[Path], setup: Setup, output: str, *, draft: bool, reason: str | None) -> int:
    """Register the workflows in files; 2 when one of them was refused. With an invalid one among them nothing is."""
    with output_kept_clean():
        configuration = configuration_of(setup)
        if store_file(configuration) is None:
            require_store(configuration)  # what is registered in memory is gone at once
        definitions = _definitions(files, setup)
    if definitions is None:
        return 2

    async def register() -> list[Applied]:
        async with open_store(configuration) as store:
            return [await _apply(store, file, each, draft, reason) for file, each in definitions]

    applied = asyncio.run(register())
    document = {"items": [_applied_report(each) for each in applied], "next": None}
    emit(document, output, lambda: "\n".join(_applied_line(each) for each in applied if each.error is None))
    refused = [each.error for each in applied if each.error is not None]
    for error in refused:
        say(labelled(error.code, error.message, error.hint))
    return 2 if refused else 0


def _definitions(files: Sequence[Path], setup: Setup) -> list[tuple[Path, WorkflowDefinition]] | None:
    """The definitions in the files; None when one of them is invalid, which has been said then."""
    catalogue = _catalogue(files, setup)
    found: list[tuple[Path, WorkflowDefinition]] = []
    invalid = False
    for file in files:
        try:
            source = file_source(file, setup)
            definition, loaded = checked(source, catalogue)
            write_findings(loaded.diagnostics, source, sys.stderr)
            found.append((file, definition))
        except InvalidDefinition as error:
            say_findings(error.diagnostics, error.source)
            invalid = True
        except UsageError as error:
            say(labelled(error.code, error.message, error.hint))
            invalid = True
    if invalid and len(files) > 1:
        say("nothing was registered")
    return None if invalid else found


def _catalogue(files: Sequence[Path], setup: Setup) -> Catalogue:
    """What is known here, the workflows in these files included: they are registered together."""
    catalogue = catalogue_for_checking(setup)
    store = store_file(configuration_of(setup))
    if catalogue.workflows is not None or (store is not None and not store.exists()):
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


async def _apply(store: Store, file: Path, definition: WorkflowDefinition, draft: bool, reason: str | None) -> Applied:
    now, user = SystemClock().now(), this_user()
    try:
        registered = await Registry(store).register(definition, draft=draft, at=now, by=user, reason=reason)
    except Conflict as error:
        return Applied(file, definition, "refused", None, error)
    outcome = "registered" if registered.is_new else "unchanged"
    return Applied(file, definition, outcome, registered.registration)


def _applied_report(applied: Applied) -> Report:
    registration, error = applied.registration, applied.error
    return {
        "file": str(applied.file),
        "name": applied.definition.name,
        "version": applied.definition.version,
        "digest": applied.definition.digest,
        "outcome": applied.outcome,
        "lifecycle": registration.lifecycle if registration is not None else None,
        "error": {"code": error.code, "message": error.message, "hint": error.hint} if error is not None else None,
    }


def _applied_line(applied: Applied) -> str:
    registration = applied.registration
    assert registration is not None, "what was refused is said elsewhere"
    name = Reference(registration.name, registration.version)
    if applied.outcome == "registered":
        return f"{name} registered" + (" as a draft" if registration.lifecycle == "draft" else "")
    return f"{name} is registered already with this content, and is {registration.lifecycle}"


def list_workflows(setup: Setup, output: str, *, name: str | None, tag: str | None, lifecycle: Lifecycle | None) -> int:
    """Print what is registered."""
    configuration = configuration_of(setup)

    async def read() -> Report:
        async with existing_store(configuration) as store:
            return await Registry(store).list(name=name, tag=tag, lifecycle=lifecycle)

    page = asyncio.run(read())
    emit(page, output, lambda: _list_text(page["items"]))
    return 0


def _list_text(items: Sequence[Report]) -> str:
    if not items:
        return "no workflows"
    now = SystemClock().now()
    rows = [(*_cells(item), day_or_time(item["registered_at"], now), item["registered_by"]) for item in items]
    return rendered(table("workflow", "version", "", "lifecycle", "tags", "registered", "by", cut="tags", rows=rows))


def _cells(item: Report) -> Iterator[RenderableType]:
    yield item["name"]
    yield item["version"]
    yield "default" if item["default"] else ""
    yield Text(item["lifecycle"], _STYLES.get(item["lifecycle"], ""))
    yield ", ".join(item["tags"])


def show_workflow(given: str, setup: Setup, output: str) -> int:
    """Print the source of a registered workflow, or all that is known of it."""
    reference = _reference(given)
    configuration = configuration_of(setup)

    async def read() -> Report:
        async with existing_store(configuration) as store:
            registry = Registry(store)
            registration = await registry.find(reference)
            return full_report(registration, await registry.definition(registration))

    report = asyncio.run(read())
    emit(report, output, lambda: str(report["text"]))
    return 0


Alter = Callable[[Store, str, str, int, str], Awaitable[Registration]]
"""Does something to a version: store, name, version, when, by whom."""


def set_lifecycle(given: str, to: Lifecycle, reason: str | None, setup: Setup, output: str) -> int:
    """Move a version on in its life, and print what it is now."""

    async def move(store: Store, name: str, version: str, at: int, by: str) -> Registration:
        return await store.set_lifecycle(name, version, to, at=at, by=by, reason=reason)

    return _change(given, setup, output, move)


def set_default(given: str, reason: str | None, setup: Setup, output: str) -> int:
    """Choose the version that the name alone means."""

    async def choose(store: Store, name: str, version: str, at: int, by: str) -> Registration:
        return await store.set_default(name, version, at=at, by=by, reason=reason)

    return _change(given, setup, output, choose)


def _change(given: str, setup: Setup, output: str, alter: Alter) -> int:
    name, version = _reference(given)
    if version is None:
        raise UsageError(
            f"{name!r} names no version", hint=f"write NAME@VERSION; `stepwell workflow list --name {name}` shows them"
        )
    configuration = configuration_of(setup)

    async def change() -> Registration:
        async with existing_store(configuration) as store:
            return await alter(store, name, version, SystemClock().now(), this_user())

    registration = asyncio.run(change())
    emit(registration_report(registration), output, lambda: _is_now(registration))
    return 0


def _is_now(registration: Registration) -> str:
    default = ", and the default" if registration.is_default else ""
    return f"{registration.name}@{registration.version} is {registration.lifecycle}{default}"


def _reference(given: str) -> Reference:
    reference = reference_of(given)
    if reference is None:
        raise UsageError(f"{given!r} is not a name of a workflow", hint="write NAME or NAME@VERSION")
    return reference
