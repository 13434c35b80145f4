"""The key of a store that several machines share: it has to be given, and it has to be the same for all.

On one machine it is in a file beside the database. Here there is no such place, and two engines with different keys
would each write what the other one cannot read. So the store keeps the name of the key, which says nothing of the key
itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from stepwell.base.errors import ConfigurationError, Conflict
from stepwell.ports.ledger import Document, Write
from stepwell.ports.store import Store
from stepwell.services.cipher import KEY_VARIABLE, OLD_KEYS_VARIABLE, environment_keys, missing_key
from stepwell.services.secret_table import key_name
from stepwell.store.factory import is_on_server, without_password

KIND: Final = "cluster"
"""Of the document with the name of the key."""
KEY: Final = "key"


class _Named(msgspec.Struct, frozen=True):
    """What the document says: the name of the key that is in use."""

    key: str


async def check_key(store: Store, url: str, now: int, environment: Mapping[str, str]) -> None:
    """See that this process has the key of the store, if it is one that is shared. The first to come gives its own;
    whoever has the one in use among his old keys changes it to his new one.

    Raises:
        ConfigurationError: (code `missing-key`) there is none; (code `wrong-key`) the store is used with another.
    """
    if not is_on_server(url):
        return
    names = [key_name(key) for key in environment_keys(environment)]
    if not names:
        raise missing_key(without_password(url))
    while not await _is_agreed(store, names, now, without_password(url)):
        pass  # somebody else was quicker; what he gave is looked at now


async def _is_agreed(store: Store, names: Sequence[str], now: int, location: str) -> bool:
    """Whether the key in use is ours, after this; False when that changed meanwhile."""
    document = await store.document(KIND, KEY)
    in_use = _name_in(document)
    if in_use == names[0]:
        return True
    if in_use is not None and in_use not in names:
        raise ConfigurationError(
            f"{location} is used with the key {in_use}, and here the key {names[0]} is given",
            code="wrong-key",
            hint=f"give the same {KEY_VARIABLE} everywhere; to change it, put the one in use into {OLD_KEYS_VARIABLE}",
        )
    body = msgspec.json.encode(_Named(names[0]))
    try:
        await store.write([Write(kind=KIND, key=KEY, body=body, expected=_revision(document))], now)
    except Conflict:
        return False
    return True


def _name_in(document: Document | None) -> str | None:
    return msgspec.json.decode(document.body, type=_Named).key if document is not None else None


def _revision(document: Document | None) -> int:
    return document.revision if document is not None else 0
