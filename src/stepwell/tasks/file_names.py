"""How steps name files: `ROOT:relative/path`, or a relative path in the root called `default`."""

from __future__ import annotations

from typing import Final

DEFAULT_ROOT: Final = "default"
