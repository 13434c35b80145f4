"""`key create`, `list`, `revoke` and `rotate`: API keys, made in the store itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from rich.text import Text

from stepwell.app.access import checked_role
from stepwell.app.audit import local_doer
from stepwell.app.keys import ApiKeys, Issued, issued_report, key_report
from stepwell.app.session import open_store
from stepwell.base.clock import SystemClock
from stepwell.cli.documents import emit
from stepwell.cli.opening import configuration_of, existing_store
from stepwell.cli.options import Setup
from stepwell.cli.streams import say
from stepwell.cli.tables import rendered, table
from stepwell.cli.words import day_or_time

Report = Mapping[str, Any]
T = TypeVar("T")
_STYLES = {"active": "green", "expired": "yellow", "revoked": "dim"}


def create_key(
    name: str, role: str, namespaces: Sequence[str], expires: int | None, setup: Setup, output: str, *, quiet: bool
) -> int:
    """Make a key and print its token. The store is made when it is not there: a server needs its key first."""
    configuration = configuration_of(setup)
    clock = SystemClock()

    async def make() -> Issued:
        async with open_store(configuration) as store:
            ends = clock.now() + expires if expires is not None else None
            keys = ApiKeys(store, clock)
            return await keys.create(name, checked_role(role), namespaces or None, ends, local_doer())

    return _print_issued(asyncio.run(make()), clock.now(), output, quiet=quiet)


def list_keys(setup: Setup, output: str) -> int:
    """Print all keys."""
    found = _with_keys(setup, lambda keys: keys.list())
    now = SystemClock().now()
    items = [key_report(key, now) for key in found]
    emit({"items": items, "next": None}, output, lambda: _table_of(items))
    return 0


def revoke_keys(ids: Sequence[str], setup: Setup, output: str) -> int:
    """Revoke keys."""

    async def revoke(keys: ApiKeys) -> list[Report]:
        return [key_report(await keys.revoke(id_, local_doer()), SystemClock().now()) for id_ in ids]

    items = _with_keys(setup, revoke)
    emit({"items": items, "next": None}, output, lambda: "\n".join(f"{item['id']} revoked" for item in items))
    return 0


def rotate_key(id_: str, overlap: int, setup: Setup, output: str, *, quiet: bool) -> int:
    """Rotate a key and print the token of the new one."""
    issued = _with_keys(setup, lambda keys: keys.rotate(id_, local_doer(), overlap))
    return _print_issued(issued, SystemClock().now(), output, quiet=quiet)


def _with_keys(setup: Setup, act: Callable[[ApiKeys], Awaitable[T]]) -> T:
    configuration = configuration_of(setup)

    async def run() -> T:
        async with existing_store(configuration) as store:
            return await act(ApiKeys(store, SystemClock()))

    return asyncio.run(run())


def _print_issued(issued: Issued, now: int, output: str, *, quiet: bool) -> int:
    emit(issued_report(issued, now), output, lambda: issued.token)
    if not quiet:
        say(f"this is the key of {issued.key.name!r} ({issued.key.role}, id {issued.key.id}); it is not shown again")
    return 0


def _table_of(items: Sequence[Report]) -> str:
    if not items:
        return "no API keys"
    now = SystemClock().now()
    rows = [
        (
            item["id"],
            Text(item["status"], _STYLES[item["status"]]),
            item["role"],
            ", ".join(item["namespaces"]) if item["namespaces"] is not None else "all",
            _when(item["expires_at"], now),
            _when(item["last_used_at"], now),
            item["name"],
        )
        for item in items
    ]
    return rendered(table("id", "status", "role", "namespaces", "expires", "last used", "name", cut="name", rows=rows))


def _when(instant: str | None, now: int) -> str:
    return day_or_time(instant, now) if instant is not None else "never"
