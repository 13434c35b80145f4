"""For the fuzzing of the API: ids that exist now and then, and what a refusal of well-formed input must say."""

from __future__ import annotations

import json
import os
from typing import Any

import schemathesis

KNOWN: dict[str, dict[str, Any]] = json.loads(os.environ.get("FUZZED", "{}"))
"""Values of parameters in paths, by the word of the path that they stand behind: of what the test made."""
PREFIX = "/api/v1/"


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """Every other id is one that is there."""
    if not path_parameters:
        return path_parameters
    known = KNOWN.get(context.operation.path.removeprefix(PREFIX).partition("/")[0], {})
    return {
        name: known[name] if name in known and len(str(value)) % 2 else value for name, value in path_parameters.items()
    }


@schemathesis.hook
def map_query(context: Any, query: dict[str, Any] | None) -> dict[str, Any] | None:
    """Nobody waits long."""
    return {**query, "wait": "50ms"} if query and _is_wait(query.get("wait")) else query


def _is_wait(value: Any) -> bool:
    return isinstance(value, str) and value[:1].isdigit()


@schemathesis.check
def refusals_are_problems(context: Any, response: Any, case: Any) -> None:
    """Whatever is refused is refused with a problem document."""
    is_page = "text/html" in response.headers.get("content-type", [""])[0]
    if response.status_code >= 400 and case.method != "HEAD" and not is_page:
        document = response.json()
        assert document["status"] == response.status_code
        assert document["code"], "a problem has a code"
        if document["code"].startswith("invalid-"):
            assert document.get("errors") or document["detail"], "what is invalid is named"
