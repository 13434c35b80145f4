"""Registered versions of workflows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import apsw
import msgspec

from stepwell.ports.records import Deed, Lifecycle, Registered, Registration, StoredDefinition
from stepwell.store import lifecycle
from stepwell.store.sqlite.rows import SQL, select
from stepwell.store.sqlite.thread import transaction

_encode: Final = msgspec.json.Encoder().encode
_decode_tags: Final = msgspec.json.Decoder(tuple[str, ...]).decode
_decode_log: Final = msgspec.json.Decoder(tuple[Deed, ...]).decode


def put_definition(connection: apsw.Connection, definition: StoredDefinition) -> None:
    """See `ports.Store.put_definition`; within a transaction."""
    values = [getattr(definition, name) for name in definition.__struct_fields__]
    connection.execute(SQL["put_definition"], values)


def register(
    connection: apsw.Connection, definition: StoredDefinition, tags: Sequence[str], deed: Deed, first: Lifecycle
) -> Registered:
    """See `ports.Store.register`."""
    with transaction(connection):
        known = [each for each in versions(connection, definition.name) if each.version == definition.version]
        for each in known:
            lifecycle.check_same_content(each, definition)
        put_definition(connection, definition)
        if not known:
            _write(connection, [lifecycle.new_registration(definition, tags, deed, first)])
        return Registered(_shown(connection, definition.name, definition.version), not known)


def set_lifecycle(
    connection: apsw.Connection, name: str, version: str, to: Lifecycle, deed: Deed, expected: Registration | None
) -> Registration:
    """See `ports.Store.set_lifecycle`."""
    with transaction(connection):
        all_ = versions(connection, name)
        known = lifecycle.known_version(all_, name, version)
        lifecycle.check_expected(all_, expected)
        if known.lifecycle != to:
            _write(connection, [lifecycle.moved(known, to, deed)])
        return _shown(connection, name, version)


def set_default(
    connection: apsw.Connection, name: str, version: str, deed: Deed, expected: Registration | None
) -> Registration:
    """See `ports.Store.set_default`."""
    with transaction(connection):
        all_ = versions(connection, name)
        known = lifecycle.known_version(all_, name, version)
        lifecycle.check_expected(all_, expected)
        _write(connection, lifecycle.chosen(all_, known, deed))
        return _shown(connection, name, version)


def versions(connection: apsw.Connection, name: str) -> Sequence[Registration]:
    """All versions of a name."""
    return [_registration(row) for row in select(connection, "versions", (name,))]


def everything(connection: apsw.Connection) -> Sequence[Registration]:
    """All versions of all names."""
    return [_registration(row) for row in select(connection, "registrations")]


def mark(connection: apsw.Connection) -> tuple[int, int]:
    """See `ports.Store.registry_mark`: every change adds to a log."""
    ((versions_, logged),) = select(connection, "registry_mark")
    return versions_, logged


def _write(connection: apsw.Connection, registrations: Sequence[Registration]) -> None:
    for each in registrations:
        tags, log = _encode(each.tags).decode(), _encode(each.log).decode()
        row = (each.name, each.version, each.digest, each.lifecycle, tags, int(each.is_chosen), log)
        connection.execute(SQL["write_registration"], row)


def _shown(connection: apsw.Connection, name: str, version: str) -> Registration:
    return lifecycle.known_version(lifecycle.arranged(versions(connection, name)), name, version)


def _registration(row: tuple[Any, ...]) -> Registration:
    name, version, digest, in_lifecycle, tags, is_chosen, log = row
    return Registration(
        name=name,
        version=version,
        digest=digest,
        lifecycle=in_lifecycle,
        tags=_decode_tags(tags),
        is_chosen=bool(is_chosen),
        log=_decode_log(log),
    )
