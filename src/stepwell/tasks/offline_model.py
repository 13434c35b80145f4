"""The model provider that is there without any configuration: it asks no model, and says so."""

from __future__ import annotations

from typing import Any, Final

from stepwell.ports.models import ModelAnswer, ModelProvider, ModelQuestion
from stepwell.ports.work import TaskError

OFFLINE: Final = "offline"
"""What it calls its model."""


class OfflineModel(ModelProvider):
    """Answers every question with a sentence made from the question: the same always, so that examples and tests of
    workflows run anywhere. It understands nothing; give the engine a provider of your own for real answers."""

    async def ask(self, question: ModelQuestion) -> ModelAnswer:
        """The sentence.

        Raises:
            TaskError: (type `offline_model`) the answer should satisfy a schema, or use tools.
        """
        if question.output_schema is not None or question.tools:
            raise TaskError(
                "offline_model",
                "no model provider is configured, and the built-in offline one can neither answer by a schema nor use "
                "tools: give the engine one (`WorkflowEngine(..., models=...)`)",
            )
        text = f"Offline answer (no model was asked) to: {question.prompt}{_about(question.data)}"
        return ModelAnswer(text=text, model=OFFLINE, usage={"input_characters": len(question.prompt)})


def _about(data: Any) -> str:
    """What the answer shows of the data: names and sizes, never values."""
    if data is None:
        return ""
    if isinstance(data, dict):
        return f" (context keys: {list(data)})"
    return f" (context: {len(data)} entries)" if isinstance(data, list) else " (context: one value)"
