"""API keys: made, listed, rotated, revoked, and checked. Of a key only a digest of its secret is kept."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

import msgspec

from stepwell.app.access import Caller, Role, Unauthenticated, checked_namespaces
from stepwell.app.audit import Doer, act_entry
from stepwell.app.key_tokens import new_token, read_token
from stepwell.base.clock import Clock
from stepwell.base.durations import HOUR
from stepwell.base.errors import Conflict, NotFound, StoreError, UsageError
from stepwell.base.instants import to_rfc3339
from stepwell.ports.ledger import Document, Ledger, Write

KIND: Final = "api-key"
LONGEST_NAME: Final = 200
USE_NOTED_EVERY: Final = HOUR
"""When a key was last used is known to about this, so that a request need not write anything."""

_NO_DIGEST: Final = bytes(32)
_log = logging.getLogger(__name__)


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as it is kept.

    Attributes:
        digest: of its secret.
        namespaces: those that it opens; None for all.
        last_used_at: to about an hour.
        replaces: the id of the key that this one was made for when that was rotated.
    """

    id: str
    name: str
    role: Role
    namespaces: tuple[str, ...] | None
    digest: bytes
    created_at: int
    created_by: str
    expires_at: int | None = None
    last_used_at: int | None = None
    revoked_at: int | None = None
    revoked_by: str | None = None
    replaces: str | None = None

    def status(self, now: int) -> str:
        """`active`, `expired` or `revoked`."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"


class Issued(NamedTuple):
    """A new key; its token is known to nobody else, and never again."""

    key: ApiKey
    token: str


class ApiKeys:
    """The API keys of a store."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._being_noted: set[str] = set()

    async def create(
        self, name: str, role: Role, namespaces: Sequence[str] | None, expires_at: int | None, doer: Doer
    ) -> Issued:
        """Make a key.

        Args:
            namespaces: those that it opens; None for all.

        Raises:
            UsageError: (code `invalid-key-name`, `invalid-namespace`, `invalid-expiry`).
        """
        now, token = self._clock.now(), new_token()
        if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
            message = f"the name of a key is one line of at most {LONGEST_NAME} characters"
            raise UsageError(message, code="invalid-key-name", hint="name who uses it, such as ci or ada's laptop")
        if expires_at is not None and expires_at <= now:
            raise UsageError("the key would have expired already", code="invalid-expiry")
        key = ApiKey(
            id=token.id,
            name=name,
            role=role,
            namespaces=checked_namespaces(namespaces),
            digest=token.digest,
            created_at=now,
            created_by=doer.name,
            expires_at=expires_at,
        )
        await self._write(doer, "key.create", _new(key))
        return Issued(key, token.text)

    async def list(self) -> Sequence[ApiKey]:
        """All keys, those that are no longer good too, the newest first."""
        found: list[ApiKey] = []
        after = ""
        while page := await self._ledger.documents(KIND, after=after):
            found += map(_decoded, page)
            after = page[-1].key
        return sorted(found, key=lambda key: (-key.created_at, key.id))

    async def get(self, id_: str) -> ApiKey:
        """One key.

        Raises:
            NotFound: code `unknown-key`.
        """
        return (await self._stored(id_))[1]

    async def exist(self) -> bool:
        """Whether a key was ever made: from then on the server asks who calls."""
        return bool(await self._ledger.documents(KIND, limit=1))

    async def revoke(self, id_: str, doer: Doer) -> ApiKey:
        """Have a key open nothing from now on. One that was revoked before stays as it is.

        Raises:
            NotFound: code `unknown-key`.
        """
        while True:
            document, key = await self._stored(id_)
            if key.revoked_at is not None:
                return key
            revoked = msgspec.structs.replace(key, revoked_at=self._clock.now(), revoked_by=doer.name)
            with suppress(Conflict):  # its use was noted, or it was rotated, at this moment
                await self._write(doer, "key.revoke", _changed(document, revoked))
                return revoked

    async def rotate(self, id_: str, doer: Doer, overlap: int = 0) -> Issued:
        """Make a key with the same rights, and have the old one end.

        Args:
            overlap: how long the old one is still good, in microseconds.

        Raises:
            NotFound: code `unknown-key`. Conflict: (code `key-not-active`) it is good no longer.
        """
        document, old = await self._stored(id_)
        now, token = self._clock.now(), new_token()
        if old.status(now) != "active":
            raise Conflict(f"key {id_} is {old.status(now)}", code="key-not-active", hint="make a new one")
        new = msgspec.structs.replace(
            old,
            id=token.id,
            digest=token.digest,
            created_at=now,
            created_by=doer.name,
            last_used_at=None,
            replaces=old.id,
            expires_at=_same_length(old, now),
        )
        end = now + overlap if old.expires_at is None else min(now + overlap, old.expires_at)
        ending = (
            msgspec.structs.replace(old, expires_at=end)
            if overlap > 0
            else msgspec.structs.replace(old, revoked_at=now, revoked_by=doer.name)
        )
        await self._write(doer, "key.rotate", _new(new), _changed(document, ending))
        return Issued(new, token.text)

    async def authenticate(self, text: str) -> Caller:
        """Who has this key.

        Raises:
            Unauthenticated: (code `invalid-key-token`, `key-expired`, `key-revoked`) nobody has it, or it is good no
                longer. What is wrong with the key itself is said only to who has it.
        """
        token = read_token(text)
        if token is None:
            raise Unauthenticated("the API key is mistyped or cut off", code="invalid-key-token")
        document = await self._ledger.document(KIND, token.id)
        key = _decoded(document) if document is not None else None
        if not token.proves(key.digest if key is not None else _NO_DIGEST) or key is None or document is None:
            raise Unauthenticated("there is no such API key", code="invalid-key-token")
        now = self._clock.now()
        status = key.status(now)
        if status != "active":
            raise Unauthenticated(f"the API key {key.id} is {status}", code=f"key-{status}")
        if key.last_used_at is None or now - key.last_used_at >= USE_NOTED_EVERY:
            await self._note_use(document, key, now)
        return caller_of_key(key)

    async def _note_use(self, document: Document, key: ApiKey, now: int) -> None:
        """That it was not noted keeps nobody out: the next one tries again."""
        if key.id in self._being_noted:
            return
        self._being_noted.add(key.id)
        try:
            used = msgspec.structs.replace(key, last_used_at=now)
            await self._ledger.write([_changed(document, used)], now)
        except (Conflict, StoreError) as error:
            _log.warning("the use of API key %s could not be noted: %s", key.id, error)
        finally:
            self._being_noted.discard(key.id)

    async def _stored(self, id_: str) -> tuple[Document, ApiKey]:
        document = await self._ledger.document(KIND, id_)
        if document is None:
            raise NotFound(f"there is no API key {id_!r}", code="unknown-key", hint="`stepwell key list` shows them")
        return document, _decoded(document)

    async def _write(self, doer: Doer, what: str, *writes: Write) -> None:
        now = self._clock.now()
        entries = [act_entry(doer, what, f"{KIND}:{writes[0].key}", now)]
        await self._ledger.write(writes, now, entries=entries)


def caller_of_key(key: ApiKey) -> Caller:
    """Who has the key."""
    namespaces = frozenset(key.namespaces) if key.namespaces is not None else None
    return Caller(name=key.name, role=key.role, namespaces=namespaces, proof="key", id=key.id)


def key_report(key: ApiKey, now: int) -> dict[str, Any]:
    """A key as users see it: nothing of its secret."""
    return {
        "id": key.id,
        "name": key.name,
        "role": key.role,
        "namespaces": list(key.namespaces) if key.namespaces is not None else None,
        "status": key.status(now),
        "created_at": to_rfc3339(key.created_at),
        "created_by": key.created_by,
        "expires_at": _instant(key.expires_at),
        "last_used_at": _instant(key.last_used_at),
        "revoked_at": _instant(key.revoked_at),
        "revoked_by": key.revoked_by,
        "replaces": key.replaces,
    }


def issued_report(issued: Issued, now: int) -> dict[str, Any]:
    """The same of a new key, with its token: the only time that it is shown."""
    return {**key_report(issued.key, now), "token": issued.token}


def _instant(at: int | None) -> str | None:
    return to_rfc3339(at) if at is not None else None


def _same_length(old: ApiKey, now: int) -> int | None:
    """When the key that replaces it ends: after as long a time as it was made for."""
    return now + old.expires_at - old.created_at if old.expires_at is not None else None


def _decoded(document: Document) -> ApiKey:
    return msgspec.json.decode(document.body, type=ApiKey)


def _new(key: ApiKey) -> Write:
    return Write(kind=KIND, key=key.id, body=msgspec.json.encode(key), expected=0)


def _changed(document: Document, key: ApiKey) -> Write:
    return Write(kind=KIND, key=key.id, body=msgspec.json.encode(key), expected=document.revision)
