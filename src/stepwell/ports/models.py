"""The contract of a language model provider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec


class ModelQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """What a language model is asked.

    Attributes:
        prompt: the text, filled in.
        system: instructions for the model.
        model: which one; None for the provider's own choice.
        data: what the prompt is about, a JSON value.
        output_schema: a JSON Schema that the answer, read as JSON, has to satisfy.
        tools: names of what the model may call.
    """

    prompt: str
    system: str | None = None
    model: str | None = None
    data: Any = None
    output_schema: Mapping[str, Any] | None = None
    tools: Sequence[str] = ()


class ModelAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a language model answered: the text, the model that gave it, and what it used (such as `input_tokens`)."""

    text: str
    model: str
    usage: Mapping[str, int] = {}


class ModelProvider(Protocol):
    """Asks language models."""

    async def ask(self, question: ModelQuestion) -> ModelAnswer:
        """Put a question to a model.

        Raises:
            TaskError: it cannot be asked like this, or should not be asked again. Exception: anything else is a failure
                that may pass, and is retried.
        """
        ...

    async def close(self) -> None:
        """Give up what is held between calls."""
        return  # many hold nothing
