"""The description of the API, OpenAPI 3.1: what FastAPI finds in the routes, and what it cannot find there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from stepwell.api.bodies import StartBody
from stepwell.api.permissions import PERMISSIONS
from stepwell.api.problems import FieldError, ProblemDocument
from stepwell.api.routes import events, starting
from stepwell.api.routes.table import ROUTERS
from stepwell.api.routing import problems
from stepwell.api.shapes import Execution

_SCHEMAS: Final = "#/components/schemas/"
_MODELS: Final[Sequence[type[BaseModel]]] = (ProblemDocument, FieldError, StartBody, Execution)
"""What is referred to where FastAPI does not see it."""

DESCRIPTION: Final = """\
Register workflows, start and steer executions, send events, answer questions, and follow what happens.

Instants are RFC 3339 in UTC. Errors are problem documents (RFC 9457) with a stable `code`; `errors` says what is
wrong where. Lists are given in parts: `next` of one part is the `cursor` of the following. Whatever was answered with a
status below 300 is durable.
"""

_SECURITY: Final[Mapping[str, Any]] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, or a JWT of the configured issuer."},
}

_KEY: Final[Mapping[str, Any]] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Of a request that may be sent again: the same key and request get the same answer, once made.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"},
}
_ETAG: Final = {"description": "What `If-None-Match` and `If-Match` may name.", "schema": {"type": "string"}}
_LOCATION: Final = {"description": "Where it is.", "schema": {"type": "string"}}
_HEADERS: Final[Mapping[str, Mapping[str, Mapping[str, Any]]]] = {
    "registerWorkflow": {"201": {"Location": _LOCATION, "ETag": _ETAG}, "200": {"Location": _LOCATION, "ETag": _ETAG}},
    "getWorkflow": {"200": {"ETag": _ETAG}, "304": {"ETag": _ETAG}},
    "getWorkflowVersion": {"200": {"ETag": _ETAG}, "304": {"ETag": _ETAG}},
    "changeWorkflowVersion": {"200": {"ETag": _ETAG}},
    "startExecution": {"201": {"Location": _LOCATION, "ETag": _ETAG}},
    "getExecution": {"200": {"ETag": _ETAG}, "304": {"ETag": _ETAG}},
    "forkExecution": {"201": {"Location": _LOCATION}},
}
"""The headers of answers, by operation and status."""

_CONDITION: Final[Mapping[str, Any]] = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "The `ETag` of what is known already: 304 when there is nothing newer.",
    "schema": {"type": "string"},
}


def described(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of the application."""
    document = get_openapi(
        title="stepwell", version=app.version, description=DESCRIPTION, routes=app.routes, openapi_version="3.1.0"
    )
    document["info"]["license"] = {"name": "Apache-2.0", "identifier": "Apache-2.0"}
    document["servers"] = [{"url": "/"}]
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    _, more = models_json_schema([(model, "validation") for model in _MODELS], ref_template=_SCHEMAS + "{model}")
    for name, schema in more["$defs"].items():
        schemas.setdefault(name, schema)
    schemas["CloudEvent"] = events.CLOUD_EVENT
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    components["securitySchemes"] = dict(_SECURITY)
    document["paths"].setdefault(starting.PATH, {})["post"] = _start()
    creating = {route.operation_id for route in _routes() if getattr(route.endpoint, "creates", False)}
    for method, path, operation in _operations(document):
        _complete(operation, creating)
        is_open = PERMISSIONS.get((method.upper(), path)) == "anybody"
        operation["security"] = [] if is_open else [{"bearer": []}]
    document["paths"] = dict(sorted(document["paths"].items()))
    return document


def _complete(operation: dict[str, Any], creating: set[str | None]) -> None:
    """What is the same for all operations, and what is known of this one."""
    name, responses = operation["operationId"], operation["responses"]
    if "HTTPValidationError" in str(responses.get("422")):
        del responses["422"]
    parameters = operation.setdefault("parameters", [])
    if name in creating:
        parameters.append(dict(_KEY))
        for status, described in problems(409, 422).items():
            responses.setdefault(str(status), described)
    for status, headers in _HEADERS.get(name, {}).items():
        responses[status]["headers"] = {**responses[status].get("headers", {}), **headers}
    if "304" in responses:
        parameters.append(dict(_CONDITION))
    if not parameters:
        del operation["parameters"]


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if method != "parameters":
                yield method, path, operation


def _routes() -> Iterator[APIRoute]:
    for router in ROUTERS:
        yield from (route for route in router.routes if isinstance(route, APIRoute))


def _start() -> dict[str, Any]:
    """The hot route, which is a plain one."""
    failures = problems(404, 409, 413, 415, 422)
    return {
        "tags": ["executions"],
        "operationId": "startExecution",
        "summary": "Start Execution",
        "description": "Start a workflow. It is durable when this is answered. With `wait` the answer comes when the "
        "execution has ended, or that long after; either way it is 201, and `status` says which.",
        "parameters": [
            {
                "name": "name",
                "in": "path",
                "required": True,
                "description": "The name of a registered workflow.",
                "schema": {"type": "string"},
            },
            {
                "name": "wait",
                "in": "query",
                "required": False,
                "description": "How long to wait for its end: `30s`, `500ms`; five minutes at most.",
                "schema": {"type": "string", "pattern": r"^[0-9]{1,6}(\.[0-9]{1,3})?(ms|s|m)?$"},
            },
            dict(_KEY),
        ],
        "requestBody": {
            "content": {
                "application/json": {
                    "schema": {"$ref": f"{_SCHEMAS}StartBody"},
                    "examples": {"input": {"value": {"input": {"email": "ada@example.org"}}}},
                }
            }
        },
        "responses": {
            "201": {
                "description": "It was started.",
                "content": {"application/json": {"schema": {"$ref": f"{_SCHEMAS}Execution"}}},
            },
            **{str(status): described for status, described in failures.items()},
        },
    }
