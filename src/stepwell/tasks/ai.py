"""`ai {prompt, data, model, ...}`: a step that asks a language model, through whichever provider the engine has."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from stepwell.decider.checking import SchemaCheck
from stepwell.ports.models import ModelAnswer, ModelProvider, ModelQuestion
from stepwell.ports.work import TaskContext, TaskError, TaskHandler, TaskResult
from stepwell.tasks.settings import invalid_config, merged, read_settings

_VARIABLE: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


class _AiSettings(msgspec.Struct):
    prompt: str
    system: str | None = None
    model: str | None = None
    output_schema: dict[str, Any] | None = None
    tools: list[str] | None = None
    data: Any = None
    data_from: list[Any] | None = None
    template: str | None = None
    template_variables: dict[str, Any] | None = None


class AiHandler(TaskHandler):
    """Asks, and gives `{ai_response}`; with `{ai_model, ai_usage}` beside it when the step names a `model`.

    In the step's `output` mapping `ai_model` and `ai_usage` can always be read. With `output_schema` the response is
    the JSON value that the model answered, else its text.
    """

    def __init__(self, provider: ModelProvider) -> None:
        self._provider = provider

    async def run(self, config: Any, context: TaskContext) -> TaskResult:
        """Ask the model.

        Raises:
            TaskError: `model_error` (the provider failed; may be tried again), `invalid_response` (not what the schema
                asks for; the same), `invalid_config`, and what the provider raises.
        """
        settings = read_settings(config, _AiSettings, "ai")
        if not settings.prompt.strip():
            raise invalid_config("ai", "its prompt is empty")
        answer = await self._answer(_question(settings))
        response = answer.text if settings.output_schema is None else _decoded(answer.text, settings.output_schema)
        made = {"ai_model": answer.model, "ai_usage": dict(answer.usage)}
        return TaskResult({"ai_response": response, **(made if settings.model is not None else {})}, made)

    async def close(self) -> None:
        await self._provider.close()

    async def _answer(self, question: ModelQuestion) -> ModelAnswer:
        try:
            return await self._provider.ask(question)
        except TaskError:
            raise
        except Exception as error:  # whatever a provider's library raises: its service may answer the next time
            message = f"the model did not answer: {type(error).__name__}: {error}"
            raise TaskError("model_error", message, retryable=True) from error


def _question(settings: _AiSettings) -> ModelQuestion:
    return ModelQuestion(
        prompt=settings.prompt if settings.template is None else _filled(settings.template, settings),
        system=settings.system,
        model=settings.model,
        data=settings.data if settings.data_from is None else merged(settings.data_from, "ai"),
        output_schema=settings.output_schema,
        tools=tuple(settings.tools or ()),
    )


def _filled(template: str, settings: _AiSettings) -> str:
    """The template with its variables filled in, in one pass: what a variable holds is not looked through again."""
    variables = {"prompt": settings.prompt, **(settings.template_variables or {})}

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name not in variables:
            raise invalid_config("ai", f"the template has {{{name}}}, and there is no such variable")
        found = variables[name]
        return found if isinstance(found, str) else msgspec.json.encode(found).decode()

    return _VARIABLE.sub(value, template)


def _decoded(text: str, schema: dict[str, Any]) -> Any:
    try:
        value = msgspec.json.decode(text)
        problems = list(SchemaCheck(schema).problems(value))
    except msgspec.DecodeError:
        raise TaskError("invalid_response", "the model did not answer with JSON", retryable=True) from None
    except ValueError as error:
        raise invalid_config("ai", f"its output_schema cannot be used: {str(error).partition(chr(10))[0]}") from None
    if problems:
        path, message = problems[0]
        where = f" at {path}" if path else ""
        raise TaskError(
            "invalid_response", f"the model's answer does not fit the schema{where}: {message}", retryable=True
        )
    return value
