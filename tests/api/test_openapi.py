"""The description of the API is complete, and the page that shows it needs nothing from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs

from stepwell.api.permissions import PERMISSIONS
from tests.api.conftest import Server

UNDESCRIBED = {"/openapi.json", "/docs", "/docs/docs.js", "/docs/docs.css", "/answer/{token}"}


def schemas_in(part: Any, name: str = "") -> Iterator[dict[str, Any]]:
    """Every schema in a part of the document; the names of properties are none."""
    if isinstance(part, dict):
        if name != "properties" and ("type" in part or "$ref" in part or "anyOf" in part):
            yield part
        for key, inner in part.items():
            if key not in ("example", "examples", "default"):
                yield from schemas_in(inner, key if name != "properties" else "")
    elif isinstance(part, list):
        for inner in part:
            yield from schemas_in(inner)


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


async def test_what_is_given_as_a_default_or_an_example_is_as_described(server: Server) -> None:
    document = await described(server)
    found = list(schemas_in(document))
    assert len(found) > 500
    for schema in found:
        bare = {name: value for name, value in schema.items() if name not in ("default", "examples")}
        given = [schema[name] for name in ("default",) if name in schema] + list(schema.get("examples", ()))
        for value in given:
            jsonschema_rs.validate({**bare, "components": document["components"]}, value)


async def test_what_programs_make_names_of_can_be_a_name(server: Server) -> None:
    document = await described(server)
    assert all(re.fullmatch("[A-Z][A-Za-z0-9]+", name) for name in document["components"]["schemas"])
    for operations in document["paths"].values():
        for operation in operations.values():
            assert re.fullmatch("[a-z][A-Za-z0-9]+", operation["operationId"])
            for body in operation.get("requestBody", {}).get("content", {}).values():
                assert "schema" in body, operation["operationId"]


def snake_case(name: str) -> str:
    return re.sub("(?<!^)(?=[A-Z])", "_", name).lower()


async def test_programs_that_make_clients_make_such_as_work(server: Server) -> None:
    """What openapi-python-client or openapi-generator makes something broken of, or nothing."""
    document = await described(server)
    for name, schema in document["components"]["schemas"].items():
        parts = schema.get("properties", {})
        assert snake_case(name) not in parts, "a variable for the object and one for its part"
        assert not [part for part in parts.values() if part.get("type") == "null"], f"{name}: a part that is nothing"
        assert "properties" not in schema or not schema.keys() & {"anyOf", "oneOf", "allOf"}, f"{name}: of no type"
    for operations in document["paths"].values():
        for operation in operations.values():
            bodies = [body["schema"] for body in operation.get("requestBody", {}).get("content", {}).values()]
            kinds = {"object" if "$ref" in body else body.get("type") for body in bodies}
            assert len(kinds) < 2, f"{operation['operationId']}: which it is cannot be told from what is given"


async def test_the_page_loads_nothing_from_elsewhere(server: Server) -> None:
    for path, kind in (("/docs", "text/html"), ("/docs/docs.js", "text/javascript"), ("/docs/docs.css", "text/css")):
        answer = await server.get(path)
        assert answer.headers["content-type"].startswith(kind)
        assert "script-src 'self'" in answer.headers["content-security-policy"]
        assert "://" not in answer.text
        again = await server.get(path, headers={"If-None-Match": answer.headers["etag"]})
        assert again.status_code == 304
