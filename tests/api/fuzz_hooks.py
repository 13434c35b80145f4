"""For the fuzzing of the API: ids that exist now and then, and what a refusal of well-formed input must say."""

from __future__ import annotations

import os
from typing import Any

import schemathesis

KNOWN = {
    "execution_id": os.environ.get("FUZZED_EXECUTION", ""),
    "name": os.environ.get("FUZZED_WORKFLOW", ""),
    "version": "1.0.0",
    "step": "approve",
}
"""Of what the test made."""


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """Every other id is one that is there."""
    if not path_parameters:
        return path_parameters
    return {
        name: KNOWN[name] if name in KNOWN and len(str(value)) % 2 else value for name, value in path_parameters.items()
    }


"""Of what the test made."""


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
