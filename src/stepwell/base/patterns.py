"""Regular expressions in linear time: no pattern can hang a process, whoever wrote it."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def _options() -> Any:
    import re2  # takes as long as a hundred steps to read, and most definitions have no pattern

    options = re2.Options()
    options.log_errors = False  # what is wrong is told to the caller, not to the process's standard error
    return options


def compiled(pattern: str) -> Any:
    """The compiled pattern (kept by the library for the next time), or None when it is none."""
    import re2

    try:
        return re2.compile(pattern, _options())
    except re2.error:
        return None
