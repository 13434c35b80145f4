"""Services by name."""

from __future__ import annotations

import pytest

from stepwell.base.errors import NotFound
from stepwell.ports.services import Service
from stepwell.services.registry import ServiceTable


def test_a_service_is_found_by_its_name() -> None:
    users = Service(name="users", url="http://127.0.0.1:1")
    services = ServiceTable({"users": users})
    assert services.get("users") is users
    assert list(services.names()) == ["users"]


def test_an_unknown_service_is_named_with_the_nearest_known_one() -> None:
    services = ServiceTable({"user-service": Service(name="user-service", url="http://127.0.0.1:1")})
    with pytest.raises(NotFound, match="did you mean 'user-service'") as raised:
        services.get("user-servce")
    assert raised.value.code == "unknown-service"


def test_later_changes_of_the_mapping_do_not_matter() -> None:
    known = {"a": Service(name="a", url="http://127.0.0.1:1")}
    services = ServiceTable(known)
    known.clear()
    assert services.get("a").name == "a"
