"""Under which keys an event is filed, for waits that begin after it came."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from stepwell.execution.matching import ANY

MANY: Final = 1
"""The key of events with so many fields that they are not filed under each: every wait for their type looks here."""
_MOST_KEYS: Final = 64


def filing_keys(keys: Iterable[int]) -> Sequence[int]:
    """The keys to file an event under, from its match keys (`execution.matching.match_keys_of_event`)."""
    different = set(keys)
    return [ANY, MANY] if len(different) > _MOST_KEYS else sorted(different)


def lookup_keys(key: int) -> Sequence[int]:
    """The keys under which a wait finds every event it could want; each event stands under one of them only."""
    return [ANY] if key == ANY else [key, MANY]
