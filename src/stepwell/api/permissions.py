"""Who may do what: one line for every path. A test fails on a route that is not here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from stepwell.api.caller import Role

Permission = Role | Literal["anybody"]
"""The lowest role that may; `anybody` needs not even say who he is."""

PERMISSIONS: Final[Mapping[tuple[str, str], Permission]] = {
    ("GET", "/openapi.json"): "anybody",
    ("GET", "/api/v1/executions"): "viewer",
}
"""By method and path template, the prefix included. HEAD is what GET is."""
