"""Every route is in the list of permissions, and the list names no other."""

from __future__ import annotations

from stepwell.api.permissions import PERMISSIONS
from stepwell.api.server import build, routes_of
from tests.api.conftest import Server


async def test_every_route_has_a_permission_and_every_permission_a_route(server: Server) -> None:
    assert set(routes_of(build(server.context))) == set(PERMISSIONS)
