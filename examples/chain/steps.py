"""The only task of the chain: it does nothing, so that what is left is the engine."""

from __future__ import annotations

from stepwell import task


@task("nothing")
async def nothing() -> None:
    """Do nothing."""
