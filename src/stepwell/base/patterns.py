"""Regular expressions in linear time: no pattern can hang a process, whoever wrote it."""

from __future__ import annotations

from typing import Any, Final

import re2

_OPTIONS: Final = re2.Options()
_OPTIONS.log_errors = False  # what is wrong is told to the caller, not to the process's standard error


def compiled(pattern: str) -> Any:
    """The compiled pattern (kept by the library for the next time), or None when it is none."""
    try:
        return re2.compile(pattern, _OPTIONS)
    except re2.error:
        return None
