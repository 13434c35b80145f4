"""Where an item is put that may go into any inbox."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from zlib import crc32

from msgspec.structs import replace

from stepwell.ports.records import ANYWHERE, InboxItem


def placed(items: Sequence[InboxItem], owned: Collection[int], known: Collection[int]) -> Sequence[InboxItem]:
    """The items with a shard each: those for anywhere are spread, by what they hold, over the shards where somebody is
    at work; when nobody is, the lowest shard gets them.

    Args:
        owned: the shards with a living owner; `known`: all shards.
    """
    if all(item.shard != ANYWHERE for item in items):
        return items
    somewhere = sorted(owned) or [min(known, default=0)]
    return [
        replace(item, shard=somewhere[crc32(item.payload) % len(somewhere)]) if item.shard == ANYWHERE else item
        for item in items
    ]
