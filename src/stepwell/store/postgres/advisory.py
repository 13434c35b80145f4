"""Locks of PostgreSQL that mean what we say: held until the end of a transaction, by whoever would meet another.

They are numbers, known in the whole database. Two schemas of one database, or two things whose numbers happen to be the
same, wait for each other now and then, which does no harm.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

from stepwell.store.postgres.database import Connection

_HOLD = "SELECT pg_advisory_xact_lock(each) FROM unnest($1::bigint[]) AS each"
_SHARE = "SELECT pg_advisory_xact_lock_shared(each) FROM unnest($1::bigint[]) AS each"


def lock_key(what: str, *parts: str | int) -> int:
    """The number of a lock; `what` is the kind of thing that it is about."""
    text = "\0".join((what, *map(str, parts)))
    return int.from_bytes(blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest(), signed=True)


async def hold(connection: Connection, keys: Iterable[int]) -> None:
    """Wait for these locks, in one order for all, and hold them until the transaction ends.

    What the statements after this one read is what those left who held them before.
    """
    if wanted := sorted(set(keys)):
        await connection.execute(_HOLD, wanted)


async def share(connection: Connection, keys: Iterable[int]) -> None:
    """As `hold`, but together with others that share them."""
    if wanted := sorted(set(keys)):
        await connection.execute(_SHARE, wanted)
