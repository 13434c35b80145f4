"""Which definition a user means: a file, or a workflow registered in the store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from stepwell.app.configuration import Configuration
from stepwell.app.files import read_file
from stepwell.app.registry import Reference, Registry, reference_unless_file, stored_source
from stepwell.base.errors import NotFound, UsageError
from stepwell.base.spans import Source
from stepwell.cli.opening import existing_store, store_file
from stepwell.cli.options import Setup
from stepwell.cli.streams import say
from stepwell.store.factory import is_on_server


def file_source(path: Path, setup: Setup) -> Source:
    """The text of a file, to be read as the user said.

    Raises:
        UsageError: code `unreadable-file`.
    """
    return replace(read_file(path), dialect=setup.dialect, lenient=setup.lenient)


def source_of(given: str, configuration: Configuration, setup: Setup) -> Source:
    """The text of a file, or of a registered workflow whatever its lifecycle: for looking.

    Raises:
        UsageError: (code `unreadable-file`) there is no such file, and no store in which it could be registered.
        NotFound: (code `unknown-workflow`, `unknown-version`) there is no such file, and it is not registered.
    """
    if setup.server is not None:
        return _at_server(given, setup)
    found = _named(given, configuration, setup)
    if isinstance(found, Source):
        return found
    import asyncio

    return asyncio.run(_look_up(found, configuration))


def source_to_run(given: str, configuration: Configuration, setup: Setup, *, quiet: bool) -> Source:
    """The same, for running it; that a version is deprecated is said.

    Raises:
        Conflict: (code `version-draft`, `version-retired`) it must not be started.
    """
    found = _named(given, configuration, setup)
    if isinstance(found, Source):
        return found
    import asyncio

    source, warning = asyncio.run(_look_up_to_run(found, configuration))
    if warning is not None and not quiet:
        say(f"warning: {warning}")
    return source


def _named(given: str, configuration: Configuration, setup: Setup) -> Source | Reference:
    """The text of a file or of a workflow in a pack; else what is registered under the name."""
    packed = _in_packs(given, configuration)
    if packed is not None:
        return packed
    reference = _registered(given, configuration)
    return reference if reference is not None else file_source(Path(given), setup)


def _at_server(given: str, setup: Setup) -> Source:
    """The text of a file, or of what a server has under the name."""
    reference = reference_unless_file(given)
    if reference is None:
        return file_source(Path(given), setup)
    from stepwell.cli.subjects.opening import run_in
    from stepwell.cli.subjects.workflows import open_workflows

    try:
        found = run_in(open_workflows(setup), lambda workflows: workflows.show(reference))
    except NotFound as error:
        raise _no_file_either(error, reference) from None
    return Source(found["source_name"], found["text"], found["dialect"], lenient=True)


def _in_packs(given: str, configuration: Configuration) -> Source | None:
    """The workflow of that name in the configured packs: it is registered, if it is not yet, when an engine opens."""
    if not configuration.packs or reference_unless_file(given) is None:
        return None

    from stepwell.app.packs import packs_in

    return next((pack.workflows[given] for pack in packs_in(configuration.packs) if given in pack.workflows), None)


def _registered(given: str, configuration: Configuration) -> Reference | None:
    """What is registered under it, if it is the name of something registered and not of a file."""
    reference = reference_unless_file(given)
    if reference is None:
        return None
    store = store_file(configuration)
    if not is_on_server(configuration.state_store.url) and (store is None or not store.exists()):
        where = f"no store at {store}" if store is not None else "no store but in memory"
        raise UsageError(
            f"there is no file {given!r}, and {where} in which a workflow of this name could be registered",
            code="unreadable-file",
            hint="check the path; --store names another store",
        )
    return reference


async def _look_up(reference: Reference, configuration: Configuration) -> Source:
    async with existing_store(configuration) as store:
        registry = Registry(store)
        try:
            definition = await registry.definition(await registry.find(reference))
        except NotFound as error:
            raise _no_file_either(error, reference) from None
    return stored_source(definition)


async def _look_up_to_run(reference: Reference, configuration: Configuration) -> tuple[Source, str | None]:
    async with existing_store(configuration, migrate=True) as store:
        try:
            found = await Registry(store).startable(reference)
        except NotFound as error:
            raise _no_file_either(error, reference) from None
    return stored_source(found.definition), found.warning


def _no_file_either(error: NotFound, reference: Reference) -> NotFound:
    if reference.version is not None:
        return error
    return NotFound(f"there is no file {reference.name!r}, and {error.message}", code=error.code, hint=error.hint)
