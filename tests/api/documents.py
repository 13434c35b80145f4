"""Workflows that the tests register, and how they do."""

from __future__ import annotations

from typing import Any

import httpx

from tests.api.conftest import Server

API = "/api/v1"
YAML = {"Content-Type": "application/yaml"}


def workflow(
    name: str = "hello", version: str = "1.0.0", steps: str = "- {name: one, type: noop}", more: str = ""
) -> str:
    """A workflow as YAML; `steps` on one line each, `more` beside them."""
    lines = "\n".join(f"    {line}" for line in steps.splitlines())
    return (
        "apiVersion: workflow/v1\nkind: Workflow\n"
        f'metadata: {{name: {name}, version: "{version}", tags: [blue]}}\nspec:\n{more}  steps:\n{lines}\n'
    )


WITH_SCHEMA = workflow(
    more="  input: {schema: {required: [email], properties: {email: {type: string}, items: {type: array, items: "
    "{type: object, properties: {price: {type: number}}}}}}}\n"
)
WAITING = workflow("waiting", steps="- {name: paid, type: wait_for_event, config: {event_type: paid, timeout: 30d}}")
ASKING = workflow(
    "asking",
    steps='- {name: approve, type: approval, config: {prompt: "May it be?", assigned_to: ada, '
    "response_schema: {type: boolean}}}",
)


async def registered(server: Server, text: str, **query: str) -> httpx.Response:
    """Register a workflow, which must be new."""
    answer = await server.post(f"{API}/workflows", content=text, headers=YAML, params=query)
    assert answer.status_code == 201, answer.text
    return answer


async def started(server: Server, name: str = "hello", given: Any = None, **body: Any) -> str:
    """Start an execution; its id."""
    answer = await server.post(f"{API}/workflows/{name}/executions", json={"input": given or {}, **body})
    assert answer.status_code == 201, answer.text
    await server.clock.settle()
    return str(answer.json()["execution_id"])


def problem_of(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document of an answer, which must have this status and code."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["code"] == code
    assert document["status"] == status
    assert document["type"] == f"urn:stepwell:error:{code}"
    return document
