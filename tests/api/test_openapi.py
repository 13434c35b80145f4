"""The description of the API is complete, and the page that shows it needs nothing from elsewhere."""

from __future__ import annotations

import re
from typing import Any

from stepwell.api.permissions import PERMISSIONS
from tests.api.conftest import Server

UNDESCRIBED = {"/openapi.json", "/docs", "/docs/docs.js", "/docs/docs.css", "/answer/{token}"}


async def described(server: Server) -> dict[str, Any]:
    document: dict[str, Any] = (await server.get("/openapi.json")).json()
    return document


async def test_every_route_is_described(server: Server) -> None:
    document = await described(server)
    found = {
        (method.upper(), path.replace("{path}", "{path:path}"))
        for path, operations in document["paths"].items()
        for method in operations
    }
    wanted = {(method, re.sub(r":path}", "}", path)) for method, path in PERMISSIONS if path not in UNDESCRIBED}
    assert {(method, re.sub(r":path}", "}", path)) for method, path in found} == wanted


async def test_every_operation_says_all_that_a_client_needs(server: Server) -> None:
    document = await described(server)
    names = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            names.append(operation["operationId"])
            assert operation["description"], where
            assert operation["tags"], where
            assert any(status.startswith("2") for status in operation["responses"]), where
            assert "security" in operation, where
            for status, response in operation["responses"].items():
                assert response["description"], where
                if int(status) >= 400:
                    assert set(response["content"]) == {"application/problem+json"}, f"{where} {status}"
    assert len(names) == len(set(names))
    assert document["openapi"].startswith("3.1")


async def test_every_reference_leads_somewhere(server: Server) -> None:
    text = (await server.get("/openapi.json")).text
    known = (await described(server))["components"]["schemas"]
    for name in re.findall(r'"#/components/schemas/([^"]+)"', text):
        assert name in known
    assert "HTTPValidationError" not in text


async def test_the_page_loads_nothing_from_elsewhere(server: Server) -> None:
    for path, kind in (("/docs", "text/html"), ("/docs/docs.js", "text/javascript"), ("/docs/docs.css", "text/css")):
        answer = await server.get(path)
        assert answer.headers["content-type"].startswith(kind)
        assert "script-src 'self'" in answer.headers["content-security-policy"]
        assert "://" not in answer.text
        again = await server.get(path, headers={"If-None-Match": answer.headers["etag"]})
        assert again.status_code == 304
