"""`key create`, `list`, `revoke` and `rotate`: API keys, in the store itself or through a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from stepwell.base.clock import SystemClock
from stepwell.cli.documents import emit
from stepwell.cli.options import Setup
from stepwell.cli.streams import say
from stepwell.cli.subjects.keys import Keys, open_keys
from stepwell.cli.subjects.opening import run_in
from stepwell.cli.tables import rendered, table
from stepwell.cli.words import day_or_time

Report = Mapping[str, Any]
_STYLES = {"active": "green", "expired": "yellow", "revoked": "dim"}


def create_key(
    name: str, role: str, namespaces: Sequence[str], expires: int | None, setup: Setup, output: str, *, quiet: bool
) -> int:
    """Make a key and print its token. The store is made when it is not there: a server needs its key first."""
    ends = SystemClock().now() + expires if expires is not None else None
    made = run_in(open_keys(setup, make=True), lambda keys: keys.create(name, role, namespaces or None, ends))
    return _print_issued(made, output, quiet=quiet)


def list_keys(setup: Setup, output: str) -> int:
    """Print all keys."""
    items = run_in(open_keys(setup), lambda keys: keys.list())
    emit({"items": items, "next": None}, output, lambda: _table_of(items))
    return 0


def revoke_keys(ids: Sequence[str], setup: Setup, output: str) -> int:
    """Revoke keys."""

    async def revoke(keys: Keys) -> list[Report]:
        return [await keys.revoke(id_) for id_ in ids]

    items = run_in(open_keys(setup), revoke)
    emit({"items": items, "next": None}, output, lambda: "\n".join(f"{item['id']} revoked" for item in items))
    return 0


def rotate_key(id_: str, overlap: int, setup: Setup, output: str, *, quiet: bool) -> int:
    """Rotate a key and print the token of the new one."""
    made = run_in(open_keys(setup), lambda keys: keys.rotate(id_, overlap))
    return _print_issued(made, output, quiet=quiet)


def _print_issued(made: Report, output: str, *, quiet: bool) -> int:
    emit(made, output, lambda: str(made["token"]))
    if not quiet:
        say(f"this is the key of {made['name']!r} ({made['role']}, id {made['id']}); it is not shown again")
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
