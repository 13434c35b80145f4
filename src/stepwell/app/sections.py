"""What the sections of the configuration are made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from stepwell.base.durations import parse_duration

Duration = Annotated[int, BeforeValidator(parse_duration)]
"""Microseconds, written as a duration."""

PositiveDuration = Annotated[Duration, Field(gt=0)]


class Section(BaseModel):
    """A section: unknown keys are errors, and nothing changes once it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RateLimitSection(Section):
    """At most `limit` starts within any `per`."""

    limit: int = Field(ge=1)
    per: PositiveDuration
