"""`db migrate`, `status` and `verify`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from rich.console import RenderableType

from stepwell.app.configuration import Configuration
from stepwell.app.session import configured_store
from stepwell.base.errors import StoreError
from stepwell.base.instants import to_rfc3339
from stepwell.cli.documents import emit
from stepwell.cli.opening import configuration_of, existing_store, reading_of, require_store, store_file
from stepwell.cli.options import Setup
from stepwell.cli.streams import say
from stepwell.cli.tables import facts, rendered
from stepwell.cli.words import count, ranges, size
from stepwell.ports.records import StoreStatus
from stepwell.ports.store import Store
from stepwell.store.factory import is_on_server, without_password


def migrate_store(setup: Setup, output: str) -> int:
    """Make the store or bring it up to date."""
    configuration = configuration_of(setup)

    async def migrate() -> tuple[bool, StoreStatus]:
        store = configured_store(configuration)
        is_new = await _is_new(configuration, store)
        await store.migrate()
        await store.open(migrate=False)
        try:
            return is_new, await store.status()
        finally:
            await store.close()

    is_new, status = asyncio.run(migrate())
    document = {"location": status.location, "schema_version": status.schema_version, "created": is_new}
    made = "made" if is_new else "up to date"
    emit(document, output, lambda: f"{status.location}: {made}, schema {status.schema_version}")
    return 0


async def _is_new(configuration: Configuration, store: Store) -> bool:
    """Whether there is nothing yet where the store is to be."""
    if not is_on_server(configuration.state_store.url):
        path = store_file(configuration)
        return path is not None and not path.exists()
    try:
        await store.status()
    except StoreError as error:
        if error.code != "store-missing":
            raise
        return True
    return False


def show_status(setup: Setup, output: str) -> int:
    """Print figures about the store."""
    configuration = configuration_of(setup)

    require_store(configuration)
    status = asyncio.run(configured_store(configuration).status())  # not opened: it may be of any version
    document: dict[str, Any] = msgspec.to_builtins(status)
    emit(document, output, lambda: rendered(facts(_facts(status))))
    return 0


def _facts(status: StoreStatus) -> Iterator[tuple[str, RenderableType]]:
    yield "store", f"{status.kind} {status.location}"
    yield "schema", f"{status.schema_version}{_other_version(status)}"
    yield "size", size(status.size_bytes) if status.size_bytes is not None else ""
    yield "executions", _by_status(status.executions)
    yield "waits", f"{status.waits:,}"
    yield "events kept", f"{status.events:,}"
    yield "inbox", f"{status.inbox:,}"
    yield "workflows", count(status.registered, "version")
    yield "dead letters", f"{status.dead_letters:,}"
    yield "locks", f"{status.locks:,}"
    yield "documents", f"{status.documents:,}"
    yield "journal", count(status.journal, "entry", "entries")
    yield "engines", "\n".join(_engines(status.owners)) or "none"


def _other_version(status: StoreStatus) -> str:
    """What to do when the schema is not the one of this version."""
    if status.schema_version < status.current_version:
        return f" (this version uses {status.current_version}: `stepwell db migrate`)"
    if status.schema_version > status.current_version:
        return f" (this version knows {status.current_version}: use the one that migrated the store)"
    return ""


def _by_status(executions: Mapping[str, int]) -> str:
    total = sum(executions.values())
    parts = ", ".join(f"{number:,} {status}" for status, number in sorted(executions.items()))
    return f"{total:,} ({parts})" if parts else "0"


def _engines(owners: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A line for each engine, with its shards, and when its leases end."""
    shards: dict[str, list[int]] = {}
    ends: dict[str, int] = {}
    for owner in owners:
        name = f"{owner['owner']}, host {owner['host']}, pid {owner['pid']}" + (", gone" if owner["gone"] else "")
        shards.setdefault(name, []).append(owner["shard"])
        ends[name] = min(ends.get(name, owner["expires_at"]), owner["expires_at"])
    for name, owned in shards.items():
        yield f"{name}: shards {ranges(owned)} until {to_rfc3339(ends[name])}"


def verify_store(setup: Setup, output: str, *, quiet: bool) -> int:
    """Print what is wrong with the store; 1 when anything is."""
    configuration = configuration_of(setup)

    problems = asyncio.run(_problems(configuration))
    emit({"ok": not problems, "problems": problems}, output, lambda: "\n".join(problems))
    if not quiet:
        location = without_password(configuration.state_store.url)
        say(f"{location}: {count(len(problems), 'problem')}" if problems else f"{location}: all is well")
    return 1 if problems else 0


async def _problems(configuration: Configuration) -> list[str]:
    """Of a store that is too damaged to be opened, what can be said without opening it."""
    try:
        async with existing_store(configuration) as store:
            return [problem async for problem in reading_of(store).verify()]
    except StoreError as error:
        if error.code != "store-damaged":
            raise
        return [error.message, *await configured_store(configuration).check()]
