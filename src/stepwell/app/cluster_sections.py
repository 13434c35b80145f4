"""The section of the configuration about engines that share the work of one store."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator, Field

from stepwell.app.sections import Duration, Section
from stepwell.base.durations import SECOND

MOST_SHARDS: Final = 8_192


def _checked_url(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise ValueError("expected the URL at which others reach this server, such as http://10.0.0.7:8080")
    return url.rstrip("/")


class ClusterSection(Section):
    """Servers on one store share its shards out among them.

    `enabled`: None for what the store says: on with PostgreSQL, off otherwise. `shards`: how many there are; the same
    for every server, and not to be lowered later. `drain`: how long what is at work may take to end when a server is
    told to end. `advertise`: the URL of this server, shown to others.
    """

    enabled: bool | None = None
    shards: int = Field(default=64, ge=1, le=MOST_SHARDS)
    drain: Duration = 30 * SECOND
    advertise: Annotated[str, AfterValidator(_checked_url)] | None = None
