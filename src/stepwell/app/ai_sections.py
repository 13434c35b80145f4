"""The section of the configuration about language models."""

from __future__ import annotations

from pydantic import Field, model_validator

from stepwell.app.sections import Section
from stepwell.base.suggest import hint_for


class ModelSection(Section):
    """A model that steps of type `ai` may ask, as the library pydantic-ai has it: `openai:NAME`, `anthropic:NAME`, ...

    `api_key` may be `{{ secrets.NAME }}`; without one the provider's library looks into the environment.
    """

    model: str = Field(min_length=1)
    api_key: str | None = None
    base_url: str | None = None


class AiLimitsSection(Section):
    """What one question may use of a model."""

    requests: int = Field(default=10, ge=1)
    output_tokens: int | None = Field(default=None, ge=1)
    total_tokens: int | None = Field(default=None, ge=1)


class Ai(Section):
    """The models that steps may ask, by name, and the one that is asked when a step names none: the first otherwise."""

    models: dict[str, ModelSection] = Field(min_length=1)
    default: str | None = None
    limits: AiLimitsSection = AiLimitsSection()

    @property
    def asked(self) -> str:
        """The name of the model that is asked when a step names none."""
        return self.default if self.default is not None else next(iter(self.models))

    @model_validator(mode="after")
    def _has_its_default(self) -> Ai:
        if self.default is not None and self.default not in self.models:
            raise ValueError(f"there is no model {self.default!r} ({hint_for(self.default, self.models)})")
        return self
