"""Subscriptions to lifecycle events: making, looking, changing, and the log of what was delivered."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any, Final

import msgspec
from yarl import URL

from stepwell.app.outgoing import lifecycle_event_at
from stepwell.app.subscription_documents import (
    DELIVERY,
    PLACE,
    SUBSCRIPTION,
    Delivery,
    Place,
    Secret,
    Subscription,
    deliveries_of,
    delivery_written,
    event_of,
    message_id,
    place_written,
    read_place,
    read_subscription,
    subscription_report,
    subscription_written,
)
from stepwell.base.durations import DAY
from stepwell.base.errors import Conflict, NotFound, UsageError
from stepwell.base.instants import to_rfc3339
from stepwell.base.values import Sealed
from stepwell.execution.codec import Codec
from stepwell.ports.ledger import Document, JournalQuery, Write
from stepwell.ports.store import Store
from stepwell.triggers.standard_webhooks import SECRET_BYTES, new_secret, secret_bytes

OLD_SECRET_FOR: Final = DAY
"""After a secret was replaced, messages are signed with the old one too for so long."""

_TRIES: Final = 10
_ID: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,99}", re.ASCII)
_PATTERN: Final = re.compile(r"[A-Za-z0-9_.*-]{1,200}", re.ASCII)


class Subscriptions:
    """The subscriptions of a store.

    Args:
        changed: called when something may have to be delivered that was not before.
    """

    def __init__(self, store: Store, codec: Codec, changed: Callable[[], None] = lambda: None) -> None:
        self._store = store
        self._codec = codec
        self._changed = changed

    async def list(self, *, namespaces: Set[str] | None = None, limit: int = 50, after: str = "") -> dict[str, Any]:
        """A page of subscriptions in order of their ids: `{"items": [...], "next": id or None}`.

        Args:
            namespaces: those that the reader sees; None for all.
        """
        items: list[dict[str, Any]] = []
        while documents := await self._store.documents(SUBSCRIPTION, after=after):
            for document in documents:
                subscription = read_subscription(document)
                if subscription.is_seen_by(namespaces):
                    if len(items) == limit:
                        return {"items": items, "next": after}
                    items.append(await self._report(subscription))
                after = document.key
        return {"items": items, "next": None}

    async def show(self, id_: str, namespaces: Set[str] | None = None) -> dict[str, Any]:
        """A subscription.

        Raises:
            NotFound: (code `unknown-subscription`) there is none, or the reader may not see it.
        """
        return await self._report((await self.find(id_, namespaces))[0])

    async def create(
        self, given: Mapping[str, Any], *, by: str, now: int, namespaces: Set[str] | None = None
    ) -> dict[str, Any]:
        """Make a subscription to what happens from now on. The answer, and no later one, holds its `secret`.

        Args:
            given: `url`, and some of `id`, `secret` (one is made when it is missing), `types`, `workflows`, `format`,
                `active` and `description`.
            namespaces: those of whoever makes it; None for all.

        Raises:
            UsageError: (code `bad-subscription`) something of it cannot be. Conflict: (code `subscription-exists`).
        """
        secret = given.get("secret") or new_secret(secrets.token_bytes(SECRET_BYTES))
        subscription = Subscription(
            id=_checked_id(given.get("id") or f"sub-{secrets.token_hex(6)}"),
            url=_checked_url(given["url"]),
            secrets=(Secret(sealed=self._sealed(secret)),),
            types=_patterns(given.get("types"), "types"),
            workflows=_patterns(given.get("workflows"), "workflows"),
            namespaces=tuple(sorted(namespaces)) if namespaces is not None else None,
            format=given.get("format") or "cloudevents",
            active=given.get("active") is not False,
            description=given.get("description") or "",
            created_at=now,
            created_by=by,
        )
        place = Place(after=await self._store.feed_end())
        known = await self._store.document(PLACE, subscription.id)
        writes = [
            subscription_written(subscription, 0),
            place_written(subscription.id, place, known.revision if known is not None else 0),
        ]
        try:
            await self._store.write(writes, now)
        except Conflict:
            message = f"there is a subscription {subscription.id!r} already"
            raise Conflict(message, code="subscription-exists") from None
        self._changed()
        return {**await self._report(subscription), "secret": secret}

    async def change(
        self, id_: str, given: Mapping[str, Any], *, now: int, namespaces: Set[str] | None = None
    ) -> dict[str, Any]:
        """Change a subscription. With `active` it goes on where it stopped; with a `secret` messages are signed with
        both, the new one and the old one, for a day.

        Raises:
            NotFound: see `show`. UsageError: see `create`.
        """
        for _ in range(_TRIES):
            subscription, document = await self.find(id_, namespaces)
            changed = msgspec.structs.replace(subscription, **self._changes(subscription, given, now))
            try:
                await self._store.write([subscription_written(changed, document.revision)], now)
            except Conflict:
                continue  # somebody else changed it at this moment
            self._changed()
            return await self._report(changed)
        raise Conflict(f"the subscription {id_!r} changes all the time; try again", code="changed-meanwhile")

    async def delete(self, id_: str, *, now: int, namespaces: Set[str] | None = None) -> None:
        """Delete a subscription, and what was to be sent again; the log stays.

        Raises:
            NotFound: see `show`.
        """
        await self.find(id_, namespaces)
        gone = [Write(kind=kind, key=id_, body=None) for kind in (SUBSCRIPTION, PLACE)]
        await self._store.write(gone, now)
        while documents := await self._store.documents(deliveries_of(id_)):
            await self._store.write([Write(kind=each.kind, key=each.key, body=None) for each in documents], now)
        self._changed()

    async def deliveries(
        self, id_: str, *, namespaces: Set[str] | None = None, limit: int = 50, before: int | None = None
    ) -> dict[str, Any]:
        """A page of the log of deliveries, newest first: `{"items": [...], "next": number or None}`.

        Raises:
            NotFound: see `show`.
        """
        await self.find(id_, namespaces)
        query = JournalQuery(kind=DELIVERY, subject=id_, before=before, newest_first=True, limit=limit)
        rows = await self._store.journal(query)
        items = [{"number": row.number, "at": to_rfc3339(row.at), **json.loads(row.body)} for row in rows]
        return {"items": items, "next": rows[-1].number if len(rows) == limit else None}

    async def redeliver(
        self, id_: str, message: str, *, now: int, namespaces: Set[str] | None = None
    ) -> dict[str, Any]:
        """Send a message again, with the same id, whatever became of it.

        Raises:
            NotFound: see `show`; (code `unknown-message`) there is no such event, or it is not for this subscription.
        """
        subscription, _ = await self.find(id_, namespaces)
        named = event_of(message)
        stored = await self._store.load(named[0]) if named is not None else None
        event = await lifecycle_event_at(self._store, self._codec, *named) if named and stored else None
        if (
            named is None
            or stored is None
            or event is None
            or not subscription.wants(stored.created.workflow, event.type)
        ):
            raise NotFound(f"there is no message {message!r} of this subscription", code="unknown-message")
        delivery = Delivery(execution=named[0], workflow=stored.created.workflow, seq=named[1])
        await self._store.write([delivery_written(id_, delivery, now)], now)
        self._changed()
        return {"id": message_id(*named), "execution_id": named[0], "seq": named[1]}

    async def find(self, id_: str, namespaces: Set[str] | None = None) -> tuple[Subscription, Document]:
        """A subscription and its document.

        Raises:
            NotFound: see `show`.
        """
        document = await self._store.document(SUBSCRIPTION, id_) if id_ and "\0" not in id_ else None
        subscription = read_subscription(document) if document is not None else None
        if document is None or subscription is None or not subscription.is_seen_by(namespaces):
            raise NotFound(f"there is no subscription {id_!r}", code="unknown-subscription")
        return subscription, document

    def _changes(self, subscription: Subscription, given: Mapping[str, Any], now: int) -> dict[str, Any]:
        changes: dict[str, Any] = {name: given[name] for name in ("format", "description") if given.get(name)}
        if given.get("url"):
            changes["url"] = _checked_url(given["url"])
        for name in ("types", "workflows"):
            if given.get(name):
                changes[name] = _patterns(given[name], name)
        if given.get("active") is not None:
            changes |= {"active": given["active"], "disabled": None}
        if given.get("secret"):
            old = msgspec.structs.replace(subscription.secrets[0], until=now + OLD_SECRET_FOR)
            changes["secrets"] = (Secret(sealed=self._sealed(given["secret"])), old)
        return changes

    async def _report(self, subscription: Subscription) -> dict[str, Any]:
        document = await self._store.document(PLACE, subscription.id)
        place = read_place(document) if document is not None else None
        waiting = await self._store.documents(deliveries_of(subscription.id))
        return subscription_report(subscription, place, len(waiting))

    def _sealed(self, secret: str) -> bytes:
        try:
            secret_bytes(secret)
        except ValueError as error:
            raise _bad(f"secret: {error}", "leave it out, and one is made") from None
        return self._codec.encode_value(Sealed(secret))


def secrets_in_force(subscription: Subscription, codec: Codec, now: int) -> Sequence[str]:
    """The secrets to sign with, in the clear.

    Raises:
        StoreError: (code `wrong-key`) they were encrypted with another key.
    """
    used = [each for each in subscription.secrets if each.until is None or each.until > now]
    return [codec.decode_value(each.sealed).value for each in used]


def _checked_id(id_: str) -> str:
    if not _ID.fullmatch(id_):
        raise _bad(f"id: {id_[:60]!r} cannot be one", "letters, digits, '_' and '-', first a letter or '_'")
    return id_


def _checked_url(text: str) -> str:
    try:
        url = URL(text)
    except ValueError:
        raise _bad("url: it is none", "begin it with https://") from None
    if url.scheme not in ("http", "https") or not url.host or " " in url.host or len(text) > 2_000:
        raise _bad("url: it is none that can be called", "begin it with https://")
    if url.user is not None or url.password is not None:
        raise _bad("url: it holds a name or a password", "the receiver knows the sender by the signature")
    return text


def _patterns(given: Sequence[str] | None, name: str) -> tuple[str, ...]:
    for pattern in given or ():
        if not _PATTERN.fullmatch(pattern):
            raise _bad(f"{name}: {pattern[:60]!r} is no name with `*` for any characters", None)
    return tuple(given) if given else ("*",)


def _bad(message: str, hint: str | None) -> UsageError:
    return UsageError(message, code="bad-subscription", hint=hint)
