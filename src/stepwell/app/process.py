"""Settings for a process that does nothing but run an engine. A program that embeds one decides for itself."""

from __future__ import annotations

import gc
from typing import Final

THRESHOLDS: Final = (20_000, 20, 50)
"""Python looks for cycles of references after 700 new containers; a step makes a dozen, none of them in a cycle."""


def settle_process() -> None:
    """Let the garbage collector look less often, and never at what was imported.

    Measured on 1,000 executions of 10 steps: a fifth less time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
