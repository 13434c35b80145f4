"""The text of a definition in the body of a request: YAML or JSON, in any dialect."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request

from stepwell.api.problems import Problem
from stepwell.api.routing import check_content_type
from stepwell.base.spans import Source
from stepwell.base.suggest import hint_for
from stepwell.dialects.table import DIALECTS, dialect_named

JSON: Final = "application/json"
YAML: Final = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")
"""Types that stand for YAML, of which JSON is a part."""

_EXAMPLE: Final = {
    "apiVersion": "workflow/v1",
    "kind": "Workflow",
    "metadata": {"name": "greeting", "version": "1.0.0"},
    "spec": {"steps": [{"name": "hello", "type": "transform", "config": {"value": "Hello!"}}]},
}

REQUEST_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "A workflow, in the native language or any other dialect.",
        "content": {
            JSON: {"schema": {"description": "Read as JSON.", "examples": [_EXAMPLE]}},
            "application/yaml": {"schema": {"description": "Read as YAML, of which JSON is a part."}},
        },
    }
}
"""For `openapi_extra` of a route that takes one."""


async def definition_in(request: Request, dialect: str | None, lenient: bool) -> Source:
    """The definition that a request holds.

    Raises:
        Problem: 415, 400 (code `invalid-text`, `unknown-dialect`).
    """
    named = check_content_type(request, JSON, *YAML)
    content = await request.body()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Problem(400, f"the body is not UTF-8 text: byte {error.start}", code="invalid-text") from None
    if not text.strip():
        raise Problem(400, "the body is empty where a workflow is expected", code="invalid-text")
    is_json = named not in YAML or text.lstrip().startswith("{")
    return Source("request.json" if is_json else "request.yaml", text, _dialect(dialect), lenient)


def _dialect(name: str | None) -> str | None:
    if name is None:
        return None
    dialect = dialect_named(name)
    if dialect is None:
        message = f"there is no dialect {name!r}"
        errors = [{"parameter": "dialect", "message": message}]
        raise Problem(400, message, code="unknown-dialect", hint=hint_for(name, list(DIALECTS)), errors=errors)
    return dialect.name
