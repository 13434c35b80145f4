"""Language models of many providers, through the library pydantic-ai."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from stepwell.base.suggest import hint_for
from stepwell.ports.models import ModelAnswer, ModelProvider, ModelQuestion
from stepwell.ports.work import TaskError

if TYPE_CHECKING:
    from pydantic_ai import Agent
    from pydantic_ai.models import Model
    from pydantic_ai.usage import RunUsage


class ModelChoice(msgspec.Struct, frozen=True, kw_only=True):
    """A model that steps may ask.

    Attributes:
        model: as pydantic-ai has it: `openai:gpt-5`, `anthropic:claude-sonnet-4-5`, ...
        api_key: may be `SecretText` or `SecretRef`; None for what the provider's library finds in the environment.
        base_url: of a service that speaks the provider's protocol; None for the provider's own.
    """

    model: str
    api_key: Any = None
    base_url: str | None = None


class AiLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one question may use. None for no bound."""

    requests: int = 10
    output_tokens: int | None = None
    total_tokens: int | None = None


class PydanticAiModels(ModelProvider):
    """Asks the configured models.

    Args:
        choices: by the name under which steps ask for them.
        default: the name of the one that is asked when a step names none.
        tools: the functions that a model may call, by name.
        open_secrets: gives a value with all that is secret in it opened.
    """

    def __init__(
        self,
        choices: Mapping[str, ModelChoice],
        default: str,
        limits: AiLimits,
        tools: Callable[[], Mapping[str, Callable[..., Any]]],
        open_secrets: Callable[[Any], Any],
    ) -> None:
        self._choices = choices
        self._default = default
        self._limits = limits
        self._tools = tools
        self._open = open_secrets

    async def ask(self, question: ModelQuestion) -> ModelAnswer:
        """Put the question to the model, let it call the tools, and give its answer.

        Raises:
            TaskError: `unknown_model`, `unknown_tool`, `missing_library`; `model_limit` (it used more than allowed);
                `model_error` (may be tried again unless the request itself was refused).
        """
        name = question.model if question.model is not None else self._default
        if name not in self._choices:
            hint = hint_for(name, self._choices)
            raise TaskError("unknown_model", f"there is no model {name!r} in the configuration ({hint})")
        choice = self._choices[name]
        key = self._open(choice.api_key)
        try:
            model = await asyncio.to_thread(_model, choice, key)  # what it imports takes long
            return await self._asked(question, model)
        except TaskError as error:
            if key:
                error.message = error.message.replace(key, "***")
            raise

    async def _asked(self, question: ModelQuestion, model: Model) -> ModelAnswer:
        from pydantic_ai import exceptions
        from pydantic_ai.usage import UsageLimits

        limits = self._limits
        allowed = UsageLimits(
            request_limit=limits.requests,
            output_tokens_limit=limits.output_tokens,
            total_tokens_limit=limits.total_tokens,
        )
        try:
            async with model:
                result = await self._agent(question, model).run(_prompt(question), usage_limits=allowed)
        except exceptions.UsageLimitExceeded as error:
            raise TaskError("model_limit", f"the model used more than is allowed: {error}") from None
        except exceptions.ModelHTTPError as error:
            said = f"the provider answered with status {error.status_code}: {error.body}"
            refused = 400 <= error.status_code < 500 and error.status_code not in (408, 409, 425, 429)
            raise TaskError("model_error", said, retryable=not refused) from None
        except exceptions.UserError as error:
            raise TaskError("model_error", f"the model cannot be asked so: {error}") from None
        except exceptions.AgentRunError as error:
            raise TaskError("model_error", f"the model did not answer: {error}", retryable=True) from None
        answer = result.output
        text = answer if isinstance(answer, str) else msgspec.json.encode(answer).decode()
        return ModelAnswer(text=text, model=model.model_name, usage=_usage(result.usage))

    def _agent(self, question: ModelQuestion, model: Model) -> Agent[Any, Any]:
        from pydantic_ai import Agent, StructuredDict, Tool

        known = self._tools()
        for name in question.tools:
            if name not in known:
                raise TaskError("unknown_tool", f"there is no task {name!r} to be a tool ({hint_for(name, known)})")
        schema = question.output_schema
        output: Any = str if schema is None else StructuredDict(dict(schema), name="answer")
        tools = [Tool(known[name], name=name) for name in question.tools]
        return Agent(model, output_type=output, instructions=question.system, tools=tools)


def _model(choice: ModelChoice, key: str | None) -> Model:
    try:
        from pydantic_ai.exceptions import UserError
        from pydantic_ai.models import infer_model
        from pydantic_ai.providers import infer_provider, infer_provider_class
    except ImportError:
        raise TaskError("missing_library", "steps of type ai need pydantic-ai: pip install 'stepwell[ai]'") from None

    def provider(name: str) -> Any:
        given = {"api_key": key, "base_url": choice.base_url}
        wanted = {argument: value for argument, value in given.items() if value is not None}
        return infer_provider_class(name)(**wanted) if wanted else infer_provider(name)

    try:
        return infer_model(choice.model, provider_factory=provider)
    except ImportError as error:
        raise TaskError("missing_library", f"the model {choice.model!r} needs another library: {error}") from None
    except (UserError, ValueError, TypeError) as error:
        raise TaskError("unknown_model", f"the model {choice.model!r} cannot be used: {error}") from None


def _prompt(question: ModelQuestion) -> str:
    if question.data is None:
        return question.prompt
    return f"{question.prompt}\n\n{msgspec.json.encode(question.data).decode()}"


def _usage(used: RunUsage) -> dict[str, int]:
    counts = {"requests": used.requests, "input_tokens": used.input_tokens, "output_tokens": used.output_tokens}
    return {**counts, "total_tokens": used.total_tokens, "tool_calls": used.tool_calls}
