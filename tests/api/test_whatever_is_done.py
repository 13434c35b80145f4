"""Whatever operators, people and events do to executions, every view of them can be had and is as described."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stepwell.base.durations import MINUTE, SECOND
from tests.api.conftest import OpenServer, Server
from tests.api.described_client import DescribedClient
from tests.api.documents import API, YAML, workflow

STEPS: Final = ("first", "ask", "paid", "each", "each[0]", "rounds", "inner", "inner[1]", "way", "below", "last")
"""The names of all steps in `FLOWS`, and of some of their instances."""

FLOWS: Final[Mapping[str, str]] = {
    "asking": """\
- {name: first, type: noop, compensate: {type: noop}}
- {name: ask, type: approval, depends_on: first, config: {prompt: "Is it {{ input.n }}?", assigned_to: [ada, bob],
  timeout: 1m, default: {ok: false},
  response_schema: {type: object, required: [ok], properties: {ok: {type: boolean}}}},
  compensate: {type: python, config: {task: work}, retry: {max_attempts: 2, initial_delay: 1s}}}
- {name: last, type: python, config: {task: work}, depends_on: ask, retry: {max_attempts: 3, initial_delay: 5s}}
""",
    "waiting": """\
- {name: paid, type: wait_for_event, on_timeout: {action: continue}, config: {event_type: paid, timeout: 1m,
  filter: {n: "{{ input.n }}", "deep.1.x": {~in: [1, a]}}}}
- {name: each, type: python, config: {task: work}, depends_on: paid, for_each: {items: [1, 2, 3]}, checkpoint: half}
- {name: last, type: wait, depends_on: [paid, each], join: any, config: {for: 30s}}
""",
    "looping": """\
- name: rounds
  type: loop
  config: {count: 2, steps: [{name: inner, type: python, config: {task: work}}]}
- name: way
  type: parallel_group
  depends_on: rounds
  config:
    steps:
    - {name: first, type: wait_for_event, config: {event_type: go}}
    - {name: below, type: python, config: {task: work}}
- {name: last, type: python, config: {task: work}, depends_on: way, mutex: shop, milestone: {after: [rounds]}}
""",
    "nesting": """\
- {name: first, type: workflow, config: {name: asking, input: {n: 3}}, compensate: {type: noop}}
- {name: each, type: approval, for_each: {items: [1, 2], concurrency: 2}, config: {prompt: "{{ item }}?"}}
- name: way
  type: conditional
  depends_on: each
  config:
    condition: "{{ input.n > 1 }}"
    then: [{name: inner, type: python, config: {task: work}, retry: {max_attempts: 2, initial_delay: 5s}}]
    else: [{name: below, type: wait, config: {for: 30s}}]
- name: last
  type: python
  config: {task: work}
  depends_on: [first, way]
  on_failure: {action: fallback, fallback: {value: 7}}
""",
}
DATA = st.sampled_from([None, {}, {"n": 1}, {"n": 1, "deep": [0, {"x": "a"}]}, {"ok": True}, True, "text", [1]])
STEP = st.sampled_from([*STEPS, "half"])


def flow(name: str, version: str) -> str:
    more = "  input: {schema: {properties: {n: {type: integer, default: 1}, password: {type: string}}}}\n"
    return workflow(name, version, FLOWS[name], more)


VERBS: Final[Mapping[str, st.SearchStrategy[Mapping[str, Any]]]] = {
    "pause": st.just({"reason": "lunch"}),
    "resume": st.just({}),
    "cancel": st.fixed_dictionaries({}, optional={"compensate": st.booleans(), "stop_running": st.booleans()}),
    "terminate": st.just({"reason": "enough"}),
    "compensate": st.just({}),
    "retry": st.fixed_dictionaries({"steps": st.lists(STEP, max_size=2)}),
    "rerun": st.fixed_dictionaries({"step": STEP, "keep_items": st.booleans()}),
    "rollback": st.fixed_dictionaries({"checkpoint": STEP}),
    "fork": st.fixed_dictionaries({"at": st.integers(1, 12)}),
    "migrate": st.fixed_dictionaries({"to": st.sampled_from(["1.0.0", "2.0.0"]), "names": st.just({"last": "last"})}),
    "skip-step": st.fixed_dictionaries({"step": STEP, "force": st.booleans()}),
    "complete-step": st.fixed_dictionaries({"step": STEP, "force": st.booleans(), "output": DATA}),
    "signal": st.fixed_dictionaries({"type": st.sampled_from(["paid", "go"]), "data": DATA}),
}
VIEWS: Final = (
    "getExecution", "listSteps", "listHistory", "explainExecution", "getExecutionGraph", "getExecutionDefinition",
    "getExecutionLogs",
)  # fmt: skip


class Scene:
    """A server with executions, and what may be done to them."""

    def __init__(self, server: Server, client: DescribedClient, data: st.DataObject) -> None:
        self._server = server
        self._client = client
        self._data = data
        self.executions: list[str] = []

    async def prepared(self) -> None:
        for name in FLOWS:
            for version in ("1.0.0", "2.0.0"):
                answer = await self._post(f"{API}/workflows", content=flow(name, version), headers=YAML)
                assert answer.status_code == 201, answer.text

    async def start(self) -> None:
        name = self._data.draw(st.sampled_from(list(FLOWS)), "workflow")
        given = self._data.draw(st.sampled_from([{}, {"n": 2}, {"password": "hunter22"}]), "input")
        answer = await self._post(f"{API}/workflows/{name}/executions", json={"input": given, "version": "1.0.0"})
        self.executions.append(answer.json()["execution_id"])

    async def act(self) -> None:
        """Something that somebody does."""
        what = self._data.draw(st.sampled_from(["start", "verb", "verb", "verb", "event", "answer", "time"]), "what")
        if what == "start" or not self.executions:
            await self.start()
        elif what == "verb":
            verb = self._data.draw(st.sampled_from(sorted(VERBS)), "verb")
            id_, body = self._one(), self._data.draw(VERBS[verb], "body")
            await self._post(f"{API}/executions/{id_}/{verb}", json=body)
        elif what == "event":
            type_, content = self._data.draw(st.sampled_from(["paid", "go"]), "type"), self._data.draw(DATA, "data")
            id_ = self._data.draw(st.sampled_from("abcd"), "id")
            event = {"specversion": "1.0", "id": id_, "source": "x", "type": type_, "data": content}
            await self._post(f"{API}/events", json=event)
        elif what == "answer":
            step = self._data.draw(st.sampled_from(["ask", "paid", "each[0]"]), "step")
            answer = {"response": self._data.draw(DATA, "response"), "by": "ada"}
            await self._post(f"{API}/approvals/{self._one()}/{step}", json=answer)
        else:
            await self._server.advance(self._data.draw(st.sampled_from([SECOND, 5 * SECOND, MINUTE]), "time"))

    async def look(self) -> None:
        """At everything, in every way."""
        await self._server.clock.settle()
        for id_ in [each["execution_id"] for each in (await self._client.call("listExecutions"))["items"]]:
            for view in VIEWS:
                assert "hunter22" not in str(await self._client.call(view, execution_id=id_))
            last = (await self._client.call("listHistory", execution_id=id_))["items"][-1]["seq"]
            for at in {1, last // 2 or 1, last}:
                await self._client.call("getPastExecution", execution_id=id_, at=at)
            await self._client.call("compareExecutions", execution_id=id_, with_=self._one())
        for operation in ("listDeadLetters", "listApprovals", "getMonitoring", "getMetricsSummary"):
            await self._client.call(operation)

    def _one(self) -> str:
        return self._data.draw(st.sampled_from(self.executions), "execution") if self.executions else ""

    async def _post(self, path: str, **request: Any) -> Any:
        answer = await self._server.post(path, **request)
        assert answer.status_code < 500, f"{path} {request}: {answer.text}"
        return answer


EXAMPLES: Final = int(os.environ.get("DONE_EXAMPLES", "3"))
"""More of them: `DONE_EXAMPLES=1000 pytest tests/api/test_whatever_is_done.py`."""
_DOCUMENTS: Final[list[dict[str, Any]]] = []


async def _document(server: Server) -> dict[str, Any]:
    """The description of the API, which takes long to make and is always the same."""
    if not _DOCUMENTS:
        _DOCUMENTS.append((await server.get("/openapi.json")).json())
    return _DOCUMENTS[0]


_HEALTH: Final = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=_HEALTH)
@given(data=st.data())
async def test_every_execution_can_be_looked_at_whatever_was_done_to_it(
    open_test_server: OpenServer, data: st.DataObject
) -> None:
    outcomes = data.draw(st.lists(st.booleans(), min_size=8, max_size=8), "outcomes")

    def work() -> int:
        if outcomes and not outcomes.pop():
            raise ValueError("password=hunter22 was refused")
        return 1

    async with open_test_server(tasks=(work,)) as server:
        client = DescribedClient(await _document(server), server.client)
        scene = Scene(server, client, data)
        await scene.prepared()
        await scene.start()
        for _ in range(data.draw(st.integers(1, 8), "acts")):
            await scene.act()
            await server.clock.settle()
        await scene.look()
