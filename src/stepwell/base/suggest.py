"""The nearest known name to a misspelt one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, or None when nothing is close."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def hint_for(name: str, known: Iterable[str], *, limit: int = 12) -> str:
    """`did you mean 'x'?`, or else the known names (at most `limit` of them)."""
    names = sorted(known)
    close = nearest(name, names)
    if close is not None:
        return f"did you mean {close!r}?"
    if not names:
        return "nothing is known here"
    shown = ", ".join(names[:limit])
    return f"known: {shown}" + (", ..." if len(names) > limit else "")
