"""Which template a path belongs to: the same as the application says, and nothing else comes to it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.routing import Match, Route

from stepwell.api import documents
from stepwell.api.known_paths import PATHS
from stepwell.api.paths import Paths
from stepwell.api.permissions import PERMISSIONS
from stepwell.api.routes.table import HOT_ROUTES, ROUTERS
from tests.api.conftest import Server

ROUTES = [
    *HOT_ROUTES,
    *documents.ROUTES,
    *(route for router in ROUTERS for route in router.routes if isinstance(route, Route)),
]

TEMPLATES = Paths([
    ("GET", "/a/{id}"), ("POST", "/a/actions"), ("GET", "/a/{id}/b"), ("GET", "/a/x/b"), ("POST", "/w/{path:path}"),
    ("PUT", "/p/{kind}/{name:path}"), ("GET", "/"),
])  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "template", "parameters"),
    [
        ("GET", "/a/7", "/a/{id}", {"id": "7"}),
        ("GET", "/a/actions", "/a/{id}", {"id": "actions"}),
        ("POST", "/a/actions", "/a/actions", {}),
        ("GET", "/a/x/b", "/a/x/b", {}),
        ("GET", "/a/y/b", "/a/{id}/b", {"id": "y"}),
        ("POST", "/w/a/b/c", "/w/{path:path}", {"path": "a/b/c"}),
        ("PUT", "/p/k/a/b", "/p/{kind}/{name:path}", {"kind": "k", "name": "a/b"}),
        ("GET", "/", "/", {}),
    ],
)
def test_a_path_belongs_to_a_template(method: str, path: str, template: str, parameters: dict[str, str]) -> None:
    assert TEMPLATES.find(method, path) == (template, parameters)


@pytest.mark.parametrize("path", ["", "/a", "/a/", "/a//b", "/a/7/", "/A/7", "/a/7/b/c", "//a/7", "/a/7\n/b/", "/w"])
def test_what_only_looks_like_one_belongs_to_none(path: str) -> None:
    assert TEMPLATES.find("GET", path) is None


def test_the_methods_of_a_path_are_known() -> None:
    assert TEMPLATES.methods("/a/actions") == {"GET", "POST"}
    assert TEMPLATES.methods("/nothing") == frozenset()


def _chosen(method: str, path: str) -> str | None:
    """The template that the application itself would choose."""
    scope = {"type": "http", "method": method, "path": path, "root_path": "", "headers": []}
    return next((route.path for route in ROUTES if route.matches(scope)[0] is Match.FULL), None)


def _filled(template: str, value: str) -> str:
    return "/".join(value if part.startswith("{") else part for part in template.split("/"))


@pytest.mark.parametrize(("method", "template"), sorted(PERMISSIONS))
@pytest.mark.parametrize("value", ["7", "actions", "validate", "a.b"])
def test_the_application_chooses_the_same_template(method: str, template: str, value: str) -> None:
    path = _filled(template, value)
    found = PATHS.find(method, path)
    chosen = _chosen(method, path)
    assert found is not None
    assert chosen in (found.template, None if template == "/openapi.json" else found.template)


_PARTS = st.sampled_from(
    [*sorted({part for _, template in PERMISSIONS for part in template.split("/")}), "7", "", "%2F", ".."]
)


@given(st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE"]), st.lists(_PARTS, max_size=7))
def test_what_the_application_would_answer_is_never_taken_for_something_else(method: str, parts: list[str]) -> None:
    path = "/" + "/".join(parts)
    found, chosen = PATHS.find(method, path), _chosen(method, path)
    assert chosen is None or found is None or found.template == chosen


async def test_a_path_that_is_not_there_is_404_and_another_method_405(server: Server) -> None:
    nothing = (await server.get("/api/v1/nothing")).json()
    assert (nothing["code"], nothing["hint"]) == ("not-found", "/docs shows what there is")
    slash = (await server.get("/api/v1/executions/")).json()
    assert (slash["code"], slash["hint"]) == ("not-found", "leave out the slash at its end")
    answer = await server.delete("/api/v1/executions")
    assert answer.status_code == 405
    assert "GET" in answer.headers["allow"]
    assert "HEAD" in answer.headers["allow"]
