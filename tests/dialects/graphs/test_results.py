"""What `result()` is behind `core.http` and `core.echo`, in both dialects and wherever it may stand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from aiohttp import web

from stepwell.app.workflow_engine import WorkflowEngine
from stepwell.base.spans import Source
from stepwell.dialects.loading import load_or_raise
from stepwell.dialects.native.writing import document_of
from stepwell.dialects.writing import write
from tests.tasks.conftest import Serve, serve
from tests.tasks.servers import Answer

__all__ = ["serve"]

ORQUESTA = """
version: 1.0
vars: [{status: 0}, {body: ""}, {said: ""}]
tasks:
  look:
    action: core.http url="URL"
    retry: {when: "<% result().status_code != 200 or result().body.state != 'ready' %>", count: 4}
    next:
      - when: <% succeeded() and result().status_code = 200 %>
        publish: status=<% result().status_code %> body=<% result().body.state %>
        do: say
      - when: <% failed() and result().status_code = 503 %>
        publish: status=<% result().status_code %> body=<% result().body %>
        do: say
  say:
    action: core.echo message="<% ctx(body) %>!"
    next:
      - when: <% result().stdout != ctx(body) and result().return_code = 0 %>
        publish: said=<% result().stdout %>
output: [{status: <% ctx(status) %>}, {body: <% ctx(body) %>}, {said: <% ctx(said) %>}]
"""

TASK_GRAPH = """
ref: test.look
version: "1.0.0"
vars: {status: 0, body: "", said: ""}
tasks:
  - name: look
    action: core.http
    input: {url: "URL"}
    retry: {count: 4, delay: 0, on_error: "{{ result().status_code == 503 and result().body != 'gone' }}"}
    next:
      - when: "{{ succeeded() and result().status_code == 200 and result().body.state != 'ready' }}"
        do: [retry]
      - when: "{{ succeeded() and result().status_code == 200 }}"
        publish: [{status: "{{ result().status_code }}"}, {body: "{{ result().body.state }}"}]
        do: [say]
      - when: "{{ failed() and result().status_code == 503 }}"
        publish: [{status: "{{ result().status_code }}"}, {body: "{{ result().body }}"}]
        do: [say]
  - name: say
    action: core.echo
    input: {message: "{{ vars.body }}!"}
    publish: [{said: "{{ result().stdout }}"}]
output_map: {status: "{{ vars.status }}", body: "{{ vars.body }}", said: "{{ vars.said }}"}
"""


def one_by_one(answers: Iterable[tuple[int, Any]]) -> Answer:
    """An answer after the other: its status, and its body as JSON, a text as such."""
    left = iter(answers)

    async def answer(request: web.Request) -> web.StreamResponse:
        status, body = next(left)
        if isinstance(body, str):
            return web.Response(status=status, text=body)
        return web.json_response(body, status=status)

    return answer


async def ran(document: str, *answers: Any, serve: Serve) -> tuple[dict[str, Any], int]:
    """The report, and how often the server was asked."""
    server = await serve(one_by_one(answers))
    async with WorkflowEngine({"state_store": {"type": "memory"}}) as engine:
        return await engine.execute_workflow(document.replace("URL", server.url)), len(server.seen)


@pytest.mark.parametrize("document", [ORQUESTA, TASK_GRAPH], ids=["orquesta", "task-graph"])
async def test_it_is_read_behind_the_task_and_when_it_is_asked_whether_to_try_again(
    document: str, serve: Serve
) -> None:
    report, asked = await ran(document, (503, "busy"), (200, {"state": "new"}), (200, {"state": "ready"}), serve=serve)
    assert (report["status"], asked) == ("completed", 3)
    assert report["output"] == {"status": 200, "body": "ready", "said": "ready!"}


@pytest.mark.parametrize("document", [ORQUESTA, TASK_GRAPH], ids=["orquesta", "task-graph"])
async def test_a_server_that_refuses_for_good_has_a_status_code_too(document: str, serve: Serve) -> None:
    report, _ = await ran(document, *[(503, "gone")] * 5, serve=serve)
    assert report["output"] == {"status": 503, "body": "gone", "said": "gone!"}


@pytest.mark.parametrize("document", [ORQUESTA, TASK_GRAPH], ids=["orquesta", "task-graph"])
def test_it_is_written_as_it_was_read(document: str) -> None:
    definition = load_or_raise(Source("look.yaml", document.replace("URL", "http://x.org")))
    said = write(definition, definition.dialect, "json")
    assert not [each for each in said.unsaid if each.weight == "lost"]
    again = load_or_raise(Source("look.json", said.text))
    assert document_of(again)["spec"] == document_of(definition)["spec"]
