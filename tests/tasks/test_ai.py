"""Steps of type `ai`, and the provider that is there without configuration."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.ports.models import ModelAnswer, ModelProvider, ModelQuestion
from stepwell.ports.work import TaskError, TaskResult
from stepwell.tasks.ai import AiHandler
from stepwell.tasks.offline_model import OfflineModel
from tests.tasks.context import PlainContext

SCHEMA = {"type": "object", "required": ["mood"], "properties": {"mood": {"enum": ["good", "bad"]}}}


class Model(ModelProvider):
    """Answers what it is told to, and notes the questions."""

    def __init__(self, answer: str | Exception = "fine") -> None:
        self.answer = answer
        self.questions: list[ModelQuestion] = []
        self.closed = False

    async def ask(self, question: ModelQuestion) -> ModelAnswer:
        self.questions.append(question)
        if isinstance(self.answer, Exception):
            raise self.answer
        return ModelAnswer(text=self.answer, model="m-1", usage={"input_tokens": 3})

    async def close(self) -> None:
        self.closed = True


async def asked(provider: ModelProvider, **config: Any) -> TaskResult:
    return await AiHandler(provider).run(config, PlainContext())


async def failure(provider: ModelProvider, **config: Any) -> TaskError:
    with pytest.raises(TaskError) as caught:
        await asked(provider, **config)
    return caught.value


async def test_the_response_is_what_the_model_answers() -> None:
    model = Model()
    result = await asked(model, prompt="How are you?", data={"x": 1}, system="Be brief", tools=["search"])
    assert result.value == {"ai_response": "fine"}
    assert result.scope == {"ai_model": "m-1", "ai_usage": {"input_tokens": 3}}
    assert model.questions == [
        ModelQuestion(prompt="How are you?", data={"x": 1}, system="Be brief", tools=("search",))
    ]


async def test_data_is_put_together_from_several_objects() -> None:
    model = Model()
    await asked(model, prompt="p", data_from=[{"a": 1}, {"a": 2}])
    assert model.questions[0].data == {"a": 2}


async def test_a_step_that_names_a_model_is_told_which_one_answered() -> None:
    model = Model()
    result = await asked(model, prompt="p", model="m")
    assert result.value == {"ai_response": "fine", "ai_model": "m-1", "ai_usage": {"input_tokens": 3}}
    assert model.questions[0].model == "m"


async def test_a_template_is_filled_in_once() -> None:
    model = Model()
    variables = {"who": "{prompt}", "n": 3, "list": ["a"]}
    await asked(model, prompt="hello", template="{who} {n} {list}: {prompt} {}", template_variables=variables)
    assert model.questions[0].prompt == '{prompt} 3 ["a"]: hello {}'


async def test_a_template_with_an_unknown_variable_fails_the_step() -> None:
    error = await failure(Model(), prompt="p", template="{nobody}")
    assert (error.type, error.retryable) == ("invalid_config", False)
    assert "{nobody}" in error.message


@pytest.mark.parametrize("config", [{}, {"prompt": " "}, {"prompt": 1}])
async def test_a_prompt_must_be_there(config: dict[str, Any]) -> None:
    assert (await failure(Model(), **config)).type == "invalid_config"


async def test_an_answer_by_a_schema_is_a_value() -> None:
    result = await asked(Model('{"mood": "good"}'), prompt="p", output_schema=SCHEMA)
    assert result.value == {"ai_response": {"mood": "good"}}


@pytest.mark.parametrize(
    ("answer", "words"),
    [("good", "did not answer with JSON"), ('{"mood": "odd"}', "at mood"), ("[]", "does not fit the schema:")],
)
async def test_another_answer_is_asked_for_again(answer: str, words: str) -> None:
    error = await failure(Model(answer), prompt="p", output_schema=SCHEMA)
    assert (error.type, error.retryable) == ("invalid_response", True)
    assert words in error.message


async def test_a_provider_that_fails_is_asked_again() -> None:
    error = await failure(Model(ValueError("busy")), prompt="p")
    assert (error.type, error.message, error.retryable) == (
        "model_error",
        "the model did not answer: ValueError: busy",
        True,
    )


async def test_a_provider_may_say_that_asking_again_is_in_vain() -> None:
    error = await failure(Model(TaskError("no_credit", "pay first")), prompt="p")
    assert (error.type, error.retryable) == ("no_credit", False)


async def test_the_provider_is_closed_with_the_handler() -> None:
    model = Model()
    await AiHandler(model).close()
    assert model.closed


# The offline one


@pytest.mark.parametrize(
    ("data", "about"),
    [
        (None, ""),
        ({"value": 2, "secret": "s"}, " (context keys: ['value', 'secret'])"),
        ([1, 2], " (context: 2 entries)"),
        ("secret", " (context: one value)"),
    ],
)
async def test_without_a_provider_the_answer_says_that_no_model_was_asked(data: Any, about: str) -> None:
    first, second = [await asked(OfflineModel(), prompt="Analyze data", data=data, model="m") for _ in range(2)]
    assert first == second
    assert first.value["ai_response"] == f"Offline answer (no model was asked) to: Analyze data{about}"
    assert first.value["ai_model"] == "offline"


@pytest.mark.parametrize("config", [{"output_schema": SCHEMA}, {"tools": ["search"]}])
async def test_without_a_provider_there_are_no_answers_by_a_schema(config: dict[str, Any]) -> None:
    error = await failure(OfflineModel(), prompt="p", **config)
    assert (error.type, error.retryable) == ("offline_model", False)
    assert "models=" in error.message
