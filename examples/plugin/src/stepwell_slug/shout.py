"""A step type that is a function: `type: shout`, or `type: python` with `task: shout`."""

from __future__ import annotations


async def shout(text: str, times: int = 1) -> str:
    """The text in capitals, with so many exclamation marks."""
    return text.upper() + "!" * times
