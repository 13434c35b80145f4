"""Activities that are services on the net, against a real server."""

from __future__ import annotations

import json

from stepwell.app.workflow_engine import WorkflowEngine
from tests.dialects.execution.running import document
from tests.tasks.conftest import Serve, serve
from tests.tasks.servers import saying

__all__ = ["serve"]

TEXT = """
    execution:
      workflow: w
      activities:
        - {name: create, activity: "tickets:create", publish: {ticket: "${output.id}"}}
        - {name: look, input: {id: "${workflow.ticket}"}}
        - {name: wrong, activity: "tickets:create", input: {title: 5}, on_failure: continue}
    ---
    activities:
      - name: tickets:create
        http_config: {endpoint_url: "URL/of/${workflow.team}", headers: {x-team: "${workflow.team}"}}
        request_schema: {required: [title], properties: {title: {type: string}}}
        response_schema: {required: [id]}
      - {name: look, http_config: {endpoint_url: "URL/look", httpVerb: GET}}
"""


async def test_variables_are_sent_and_what_the_schema_refuses_is_not(serve: Serve) -> None:
    server = await serve(saying({"id": "t1"}))
    async with WorkflowEngine({"state_store": {"type": "memory"}}) as engine:
        text = document(TEXT).replace("URL", server.url)
        report = await engine.execute_workflow(text, {"title": "It broke", "team": "red"})
    create, look = server.seen
    assert (create.method, create.path, create.headers["x-team"]) == ("POST", "/of/red", "red")
    assert json.loads(create.body) == {"title": "It broke", "team": "red"}
    assert (look.method, look.path) == ("GET", "/look?id=t1")
    assert (report["status"], report["failed_steps"]) == ("completed", ["wrong"])
    assert report["steps"][2]["error"]["type"] == "validation_error"
