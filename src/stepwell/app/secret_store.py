"""The secrets that a store keeps: set, listed, deleted, and encrypted under another key. Their values go in only."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from stepwell.app.access import checked_namespaces
from stepwell.app.audit import Doer, act_entry
from stepwell.base.clock import Clock
from stepwell.base.errors import ConfigurationError, NotFound, UsageError
from stepwell.base.instants import to_rfc3339
from stepwell.ports.ledger import Document, Ledger, Write
from stepwell.services.cipher import KEY_VARIABLE, OLD_KEYS_VARIABLE, LazyKeyFile, environment_keys, missing_key
from stepwell.services.secret_table import KIND, Keys, StoredSecret, decoded, key_name, opened, sealed
from stepwell.services.secrets import LARGEST, is_secret_name
from stepwell.store.factory import is_on_server, sqlite_path, without_password

_BATCH: Final = 100


class Rotated(NamedTuple):
    """How many secrets there are, and how many of them were encrypted anew."""

    total: int
    changed: int


class SecretStore:
    """The secrets of a store.

    Args:
        keys: those that they are encrypted with, the one for new ones first; makes it when there is none.
    """

    def __init__(self, ledger: Ledger, keys: Keys, clock: Clock) -> None:
        self._ledger = ledger
        self._keys = keys
        self._clock = clock

    async def set(self, name: str, value: str, namespaces: Sequence[str] | None, doer: Doer) -> dict[str, Any]:
        """Keep a secret, in place of the one of that name if there is one; it is used from then on.

        Args:
            namespaces: those whose workflows may use it; None for all.

        Returns:
            What `list` shows of it.

        Raises:
            UsageError: (code `invalid-secret`, `invalid-namespace`).
        """
        _check(name, value)
        now, allowed = self._clock.now(), checked_namespaces(namespaces)
        before = await self._ledger.document(KIND, name)
        known = decoded(before) if before is not None else None
        key = self._keys()[0]
        stored = StoredSecret(
            sealed=sealed(name, value, allowed, key),
            key=key_name(key),
            namespaces=allowed,
            created_at=known.created_at if known is not None else now,
            created_by=known.created_by if known is not None else doer.name,
            updated_by=doer.name,
        )
        write = _write(name, stored, before)
        await self._ledger.write([write], now, entries=[act_entry(doer, "secret.set", f"{KIND}:{name}", now)])
        return _report(name, stored, now)

    async def delete(self, name: str, doer: Doer) -> None:
        """Forget a secret.

        Raises:
            NotFound: code `unknown-secret`.
        """
        document = await self._document(name)
        now = self._clock.now()
        write = Write(kind=KIND, key=name, body=None, expected=document.revision)
        await self._ledger.write([write], now, entries=[act_entry(doer, "secret.delete", f"{KIND}:{name}", now)])

    async def get(self, name: str) -> dict[str, Any]:
        """What `list` shows of one.

        Raises:
            NotFound: code `unknown-secret`.
        """
        document = await self._document(name)
        return _report(name, decoded(document), document.updated_at)

    async def list(self) -> Sequence[dict[str, Any]]:
        """All secrets in order of name: nothing of their values."""
        return [_report(each.key, decoded(each), each.updated_at) for each in await self._documents()]

    async def encrypt_anew(self, doer: Doer) -> Rotated:
        """Encrypt everything with the first key that is with another one now. Whoever reads meanwhile is not held up,
        and a value that is set meanwhile is kept. May be done again when it broke off.

        Raises:
            StoreError: (code `wrong-key`) the key of one of them is not there; the others are done.
        """
        keys = self._keys()
        documents = await self._documents()
        old = [each for each in documents if decoded(each).key != key_name(keys[0])]
        for start in range(0, len(old), _BATCH):
            writes = [_encrypted(each, keys) for each in old[start : start + _BATCH]]
            now = self._clock.now()
            detail = {"secrets": len(writes), "key": key_name(keys[0])}
            entry = act_entry(doer, "secret.rotate-key", KIND, now, detail=detail)
            await self._ledger.write(writes, now, entries=[entry])
        return Rotated(len(documents), len(old))

    async def _document(self, name: str) -> Document:
        document = await self._ledger.document(KIND, name) if is_secret_name(name) else None
        if document is None:
            raise NotFound(f"there is no secret {name!r}", code="unknown-secret", hint="`stepwell secret list`")
        return document

    async def _documents(self) -> Sequence[Document]:
        found: list[Document] = []
        while page := await self._ledger.documents(KIND, after=found[-1].key if found else ""):
            found += page
        return found


def keys_of(
    url: str, announce: Callable[[str], None] = lambda message: None, environment: Mapping[str, str] = os.environ
) -> Keys:
    """The keys for the secrets of a store: those of the environment, else of the file beside the database.

    A database that is shared has no such file: asking for its keys then raises ConfigurationError (code `missing-key`).

    Args:
        url: of the store.
        announce: told when the file was made.
    """
    given = environment_keys(environment)
    path = sqlite_path(url)
    if given:
        return lambda: given
    if is_on_server(url):
        return partial(_no_keys, url)
    if path is None:
        made = [secrets.token_bytes(32)]
        return lambda: made
    file = LazyKeyFile(Path(f"{path.expanduser()}.key"), announce)
    return lambda: file.read_all() or [file.read_or_create()]


def add_key(url: str, environment: Mapping[str, str] = os.environ) -> None:
    """Put a new key before the others, where they are in a file. Those of the environment are changed there.

    Raises:
        ConfigurationError: (code `invalid-key`) there is no new key in the environment, or the file cannot be written.
    """
    path = sqlite_path(url)
    if is_on_server(url) and not environment_keys(environment):
        raise missing_key(without_password(url))
    if environment_keys(environment):
        if len(environment_keys(environment)) == 1:
            hint = f"put the old key into {OLD_KEYS_VARIABLE} and a new one into {KEY_VARIABLE}, then say it again"
            message = f"the key comes from {KEY_VARIABLE}, and there is no other one to change to"
            raise ConfigurationError(message, code="invalid-key", hint=hint)
    elif path is not None:
        LazyKeyFile(Path(f"{path.expanduser()}.key"), lambda message: None).add()


def _no_keys(url: str) -> Sequence[bytes]:
    raise missing_key(without_password(url))


def _check(name: str, value: str) -> None:
    """Raises: UsageError: (code `invalid-secret`) without the value."""
    if not is_secret_name(name):
        hint = "letters, digits, '_' and '-', beginning with a letter or '_', at most 128"
        raise UsageError(f"{name[:200]!r} is not a name of a secret", code="invalid-secret", hint=hint)
    problem = "is empty" if not value else "is larger than 64 KiB" if len(value) > LARGEST else None
    try:
        problem = "is larger than 64 KiB" if problem is None and len(value.encode()) > LARGEST else problem
    except UnicodeEncodeError:
        problem = "is not Unicode text"
    if problem is not None:
        raise UsageError(f"the value of the secret {name!r} {problem}", code="invalid-secret")


def _write(name: str, stored: StoredSecret, before: Document | None) -> Write:
    body, expected = msgspec.json.encode(stored), before.revision if before is not None else 0
    return Write(kind=KIND, key=name, body=body, expected=expected)


def _encrypted(document: Document, keys: Sequence[bytes]) -> Write:
    """The same secret under the first key."""
    stored = decoded(document)
    value = opened(document.key, stored, keys)
    again = sealed(document.key, value, stored.namespaces, keys[0])
    return _write(document.key, msgspec.structs.replace(stored, sealed=again, key=key_name(keys[0])), document)


def _report(name: str, stored: StoredSecret, updated_at: int) -> dict[str, Any]:
    return {
        "name": name,
        "namespaces": list(stored.namespaces) if stored.namespaces is not None else None,
        "key": stored.key,
        "created_at": to_rfc3339(stored.created_at),
        "created_by": stored.created_by,
        "updated_at": to_rfc3339(updated_at),
        "updated_by": stored.updated_by,
    }
