"""Definitions, and the registered versions of workflows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from stepwell.ports.records import Deed, Lifecycle, Registered, Registration, StoredDefinition
from stepwell.store import lifecycle
from stepwell.store.postgres.advisory import hold, lock_key
from stepwell.store.postgres.database import Connection
from stepwell.store.postgres.statements import SQL
from stepwell.store.postgres.texts import given, kept

_encode: Final = msgspec.json.Encoder().encode
_decode_tags: Final = msgspec.json.Decoder(tuple[str, ...]).decode
_decode_log: Final = msgspec.json.Decoder(tuple[Deed, ...]).decode


async def put_definition(connection: Connection, definition: StoredDefinition) -> None:
    """See `ports.Store.put_definition`; within a transaction."""
    values = [kept(getattr(definition, name)) for name in definition.__struct_fields__]
    await connection.execute(SQL["put_definition"], *values)


async def definition(connection: Connection, digest: str) -> StoredDefinition | None:
    """See `ports.Store.definition`."""
    row = await connection.fetchrow(SQL["definition"], digest)
    return StoredDefinition(**{name: given(value) for name, value in row.items()}) if row is not None else None


async def register(
    connection: Connection, new: StoredDefinition, tags: Sequence[str], deed: Deed, first: Lifecycle
) -> Registered:
    """See `ports.Store.register`."""
    known = [each for each in await _locked(connection, new.name) if each.version == new.version]
    for each in known:
        lifecycle.check_same_content(each, new)
    await put_definition(connection, new)
    if not known:
        await _write(connection, [lifecycle.new_registration(new, tags, deed, first)])
    return Registered(await _shown(connection, new.name, new.version), not known)


async def set_lifecycle(
    connection: Connection, name: str, version: str, to: Lifecycle, deed: Deed, expected: Registration | None
) -> Registration:
    """See `ports.Store.set_lifecycle`."""
    all_versions = await _locked(connection, name)
    known = lifecycle.known_version(all_versions, name, version)
    lifecycle.check_expected(all_versions, expected)
    if known.lifecycle != to:
        await _write(connection, [lifecycle.moved(known, to, deed)])
    return await _shown(connection, name, version)


async def set_default(
    connection: Connection, name: str, version: str, deed: Deed, expected: Registration | None
) -> Registration:
    """See `ports.Store.set_default`."""
    all_versions = await _locked(connection, name)
    known = lifecycle.known_version(all_versions, name, version)
    lifecycle.check_expected(all_versions, expected)
    await _write(connection, lifecycle.chosen(all_versions, known, deed))
    return await _shown(connection, name, version)


async def versions(connection: Connection, name: str) -> Sequence[Registration]:
    """All versions of a name."""
    return [_registration(row) for row in await connection.fetch(SQL["versions"], kept(name))]


async def everything(connection: Connection) -> Sequence[Registration]:
    """All versions of all names."""
    return [_registration(row) for row in await connection.fetch(SQL["registrations"])]


async def mark(connection: Connection) -> tuple[int, int]:
    """See `ports.Store.registry_mark`: every change adds to a log."""
    ((versions_, logged),) = await connection.fetch(SQL["registry_mark"])
    return versions_, logged


async def _locked(connection: Connection, name: str) -> Sequence[Registration]:
    """All versions of a name, which nobody else changes before the end of the transaction."""
    await hold(connection, [lock_key("registration", name)])
    return await versions(connection, name)


async def _write(connection: Connection, registrations: Sequence[Registration]) -> None:
    for each in registrations:
        tags, log = _encode(each.tags).decode(), _encode(each.log).decode()
        row = (kept(each.name), kept(each.version), each.digest, each.lifecycle, tags, each.is_chosen, log)
        await connection.execute(SQL["write_registration"], *row)


async def _shown(connection: Connection, name: str, version: str) -> Registration:
    return lifecycle.known_version(lifecycle.arranged(await versions(connection, name)), name, version)


def _registration(row: Sequence[Any]) -> Registration:
    name, version, digest, in_lifecycle, tags, is_chosen, log = row
    return Registration(
        name=given(name),
        version=given(version),
        digest=digest,
        lifecycle=in_lifecycle,
        tags=_decode_tags(tags),
        is_chosen=is_chosen,
        log=_decode_log(log),
    )
