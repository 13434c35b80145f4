"""Arithmetic that all stores count with."""

from __future__ import annotations

import math


def place_of_part(part: float, count: int) -> int:
    """Which of `count` values in order, counted from 0, is the least that so large a part of them does not exceed."""
    return max(0, math.ceil(round(part * count, 9)) - 1)
