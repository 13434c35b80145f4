"""Where an item is put that may go into any inbox."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from msgspec.structs import replace

from stepwell.ports.records import ANYWHERE, InboxItem


def placed(items: Sequence[InboxItem], owned: Collection[int], known: Collection[int]) -> Sequence[InboxItem]:
    """The items with a shard each: those for anywhere go where somebody is at work, the lowest such shard.

    Args:
        owned: the shards with a living owner; `known`: all shards.
    """
    somewhere = min(owned or known, default=0)
    return [replace(item, shard=somewhere) if item.shard == ANYWHERE else item for item in items]
