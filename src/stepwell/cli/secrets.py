"""`secret set`, `list`, `delete` and `rotate-key`: secrets that the store keeps."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from stepwell.app.audit import local_doer
from stepwell.app.secret_store import Rotated, SecretStore, add_key, keys_of
from stepwell.base.clock import SystemClock
from stepwell.base.errors import UsageError
from stepwell.cli.documents import emit
from stepwell.cli.opening import configuration_of, existing_store
from stepwell.cli.options import Setup
from stepwell.cli.streams import is_terminal, say
from stepwell.cli.subjects.opening import run_in
from stepwell.cli.subjects.secrets import Secrets, open_secrets
from stepwell.cli.tables import rendered, table
from stepwell.cli.words import count, day_or_time
from stepwell.services.secrets import LARGEST

Report = Mapping[str, Any]


def set_secret(name: str, namespaces: Sequence[str], setup: Setup, output: str) -> int:
    """Set a secret to what is typed or piped in. The store is made when it is not there."""
    value = _value(name)
    made = run_in(open_secrets(setup, make=True), lambda secrets: secrets.set(name, value, namespaces or None))
    emit(made, output, lambda: f"{name} set")
    return 0


def list_secrets(setup: Setup, output: str) -> int:
    """Print the names of all secrets."""
    items = run_in(open_secrets(setup), lambda secrets: secrets.list())
    emit({"items": items, "next": None}, output, lambda: _table_of(items))
    return 0


def delete_secrets(names: Sequence[str], setup: Setup, output: str) -> int:
    """Forget secrets."""

    async def delete(secrets: Secrets) -> None:
        for name in names:
            await secrets.delete(name)

    run_in(open_secrets(setup), delete)
    emit({"deleted": list(names)}, output, lambda: "\n".join(f"{name} deleted" for name in names))
    return 0


def rotate_secrets_key(setup: Setup, output: str) -> int:
    """Encrypt all secrets with a new key."""
    configuration = configuration_of(setup)

    async def rotate() -> Rotated:
        async with existing_store(configuration) as store:
            add_key(configuration.state_store.url)
            secrets = SecretStore(store, keys_of(configuration.state_store.url, say), SystemClock())
            return await secrets.encrypt_anew(local_doer())

    rotated = asyncio.run(rotate())
    document = {"secrets": rotated.total, "encrypted_anew": rotated.changed}
    emit(document, output, lambda: f"{count(rotated.changed, 'secret')} encrypted with the new key")
    return 0


def _value(name: str) -> str:
    """What the user types, unseen, or what comes from standard input.

    Raises:
        UsageError: (code `invalid-secret`) it is too large, or not UTF-8 text.
    """
    if is_terminal(sys.stdin):
        typed: str = click.prompt(f"value of {name}", hide_input=True, confirmation_prompt=True, err=True)
        return typed
    content = sys.stdin.buffer.read(LARGEST + 3)
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise UsageError("the value from standard input is not UTF-8 text", code="invalid-secret") from None
    return text.removesuffix("\n").removesuffix("\r")


def _table_of(items: Sequence[Report]) -> str:
    if not items:
        return "no secrets"
    now = SystemClock().now()
    rows = [
        (
            item["name"],
            ", ".join(item["namespaces"]) if item["namespaces"] is not None else "all",
            day_or_time(item["updated_at"], now),
            item["updated_by"],
        )
        for item in items
    ]
    return rendered(table("name", "namespaces", "set", "by", cut="by", rows=rows))
