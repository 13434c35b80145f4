"""What operators do: verbs on executions, at any moment, whether they make sense there or not."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from functools import lru_cache
from typing import Any, Final

from stepwell.engine.engine import Engine

Verb = Callable[[Engine, str, int], Coroutine[Any, Any, Any]]
"""Asks the engine for something to be done with an execution; the number chooses among what can be chosen."""

VERBS: Final[Mapping[str, Verb]] = {}
"""By name; those that the engine does not have are left out."""


@lru_cache(maxsize=1)
def known_verbs() -> frozenset[str]:
    """The verbs that the engine has."""
    return frozenset(name for name in VERBS if hasattr(Engine, name))
