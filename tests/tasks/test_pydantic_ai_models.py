"""Language models through pydantic-ai: its own stand-in, and a server that speaks a provider's protocol."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from aiohttp import web

from stepwell import WorkflowEngine, task
from stepwell.ports.models import ModelQuestion
from stepwell.ports.work import TaskError
from stepwell.tasks.pydantic_ai_models import AiLimits, ModelChoice, PydanticAiModels
from tests.tasks.conftest import Serve

SCHEMA = {
    "type": "object",
    "required": ["city"],
    "properties": {"city": {"type": "string"}},
    "additionalProperties": False,
}


def models(choice: ModelChoice, limits: AiLimits | None = None, **tools: Any) -> PydanticAiModels:
    return PydanticAiModels({"main": choice}, "main", limits or AiLimits(), lambda: tools, lambda value: value)


async def failure(provider: PydanticAiModels, question: ModelQuestion) -> TaskError:
    with pytest.raises(TaskError) as raised:
        await provider.ask(question)
    return raised.value


async def test_the_stand_in_answers_with_text_and_counts_what_was_used() -> None:
    answer = await models(ModelChoice(model="test")).ask(ModelQuestion(prompt="hello"))
    assert answer.text == "success (no tool calls)"
    assert answer.usage["requests"] == 1
    assert answer.usage["total_tokens"] == answer.usage["input_tokens"] + answer.usage["output_tokens"]


async def test_an_answer_by_a_schema_satisfies_it() -> None:
    answer = await models(ModelChoice(model="test")).ask(ModelQuestion(prompt="where?", output_schema=SCHEMA))
    assert set(json.loads(answer.text)) == {"city"}


async def test_a_model_may_call_the_tasks_that_a_step_names() -> None:
    called: list[str] = []

    async def look_up(city: str) -> str:
        """The weather of a city."""
        called.append(city)
        return "sunny"

    answer = await models(ModelChoice(model="test"), look_up=look_up).ask(
        ModelQuestion(prompt="weather?", tools=["look_up"])
    )
    assert len(called) == 1
    assert "sunny" in answer.text


@pytest.mark.parametrize(
    ("question", "type_"),
    [
        (ModelQuestion(prompt="x", model="mian"), "unknown_model"),
        (ModelQuestion(prompt="x", tools=["nothing"]), "unknown_tool"),
    ],
)
async def test_unknown_names_are_refused(question: ModelQuestion, type_: str) -> None:
    assert (await failure(models(ModelChoice(model="test")), question)).type == type_


async def test_an_unknown_provider_is_named() -> None:
    error = await failure(models(ModelChoice(model="nobody:x")), ModelQuestion(prompt="x"))
    assert (error.type, "nobody:x" in str(error)) == ("unknown_model", True)


async def test_more_than_is_allowed_is_an_error_that_is_not_tried_again() -> None:
    error = await failure(models(ModelChoice(model="test"), AiLimits(output_tokens=1)), ModelQuestion(prompt="x"))
    assert (error.type, error.retryable) == ("model_limit", False)


def completion(text: str) -> dict[str, Any]:
    """What a service of OpenAI's kind answers."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
    return {"id": "c1", "object": "chat.completion", "created": 1, "model": "m-1", "choices": [choice], "usage": usage}


def answering(body: Mapping[str, Any], status: int = 200) -> Any:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response(body, status=status)

    return answer


async def test_a_real_provider_gets_its_key_and_the_prompt_with_its_data(serve: Serve) -> None:
    server = await serve(answering(completion("Ulm")))
    choice = ModelChoice(model="openai-chat:m-1", api_key="k3y", base_url=f"{server.url}/v1")
    question = ModelQuestion(prompt="where?", system="be brief", data={"a": 1})
    answer = await models(choice).ask(question)
    assert (answer.text, answer.usage["input_tokens"], answer.usage["output_tokens"]) == ("Ulm", 5, 3)
    (seen,) = server.seen
    assert (seen.path, seen.headers["authorization"]) == ("/v1/chat/completions", "Bearer k3y")
    messages = json.loads(seen.body)["messages"]
    assert [message["content"] for message in messages] == ["be brief", 'where?\n\n{"a":1}']


@pytest.mark.parametrize(("status", "retryable"), [(401, False), (400, False), (429, True), (503, True)])
async def test_what_a_provider_refuses_is_told_without_the_key(serve: Serve, status: int, retryable: bool) -> None:
    server = await serve(answering({"error": {"message": "wrong key: k3y-0123"}}, status))
    choice = ModelChoice(model="openai-chat:m-1", api_key="k3y-0123", base_url=f"{server.url}/v1")
    error = await failure(models(choice), ModelQuestion(prompt="x"))
    assert (error.type, error.retryable) == ("model_error", retryable)
    assert f"status {status}" in str(error)
    assert "k3y-0123" not in str(error)


async def test_a_configured_model_answers_a_step(monkeypatch: pytest.MonkeyPatch, serve: Serve) -> None:
    server = await serve(answering(completion('{"city": "Ulm"}')))
    monkeypatch.setenv("STEPWELL_SECRET_AI_KEY", "k3y-0123")

    @task("unused")
    def unused() -> None: ...

    main = {"model": "openai-chat:m-1", "api_key": "{{ secrets.AI_KEY }}", "base_url": f"{server.url}/v1"}
    config = {"state_store": {"type": "memory"}, "ai": {"models": {"main": main}}}
    definition = {
        "apiVersion": "workflow/v1",
        "kind": "Workflow",
        "metadata": {"name": "ask", "version": "1.0.0"},
        "spec": {"steps": [{"name": "ask", "type": "ai", "config": {"prompt": "where?"}}]},
    }
    async with WorkflowEngine(config, tasks=[unused]) as engine:
        report = await engine.execute_workflow(definition)
    assert report["status"] == "completed"
    assert report["steps"][0]["output"] == {"ai_response": '{"city": "Ulm"}'}
    assert server.seen[0].headers["authorization"] == "Bearer k3y-0123"
