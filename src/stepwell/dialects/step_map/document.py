"""The step map as it is written: `{id, steps: {name: {type, input, depends_on, ...}}}`."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import Field

from stepwell.base.durations import SECOND
from stepwell.definition.shapes import Count, Doc, Duration, Names, Timeout, Version, optional, required
from stepwell.policy.retry import NO_LIMIT, RetryPolicy

MAX_RETRIES: Final = 3
DEFAULT_TYPE: Final = "process"
DEFAULT_VERSION: Final = "1.0.0"

DEFAULT_RETRY: Final = RetryPolicy(
    max_attempts=MAX_RETRIES + 1,
    backoff="exponential",
    initial_delay=1 * SECOND,
    multiplier=2.0,
    max_delay=60 * SECOND,
)
"""How steps are retried that say nothing about it."""

Retries = Annotated[int, Field(ge=0, lt=NO_LIMIT)]


class StepMapRetryDoc(Doc):
    """How patiently a failing step is tried again: the first wait, doubled after each try."""

    base_delay: Duration | None = optional("The wait after the first try; 1 second when left out.")
    max_delay: Duration | None = optional("No wait is longer; 60 seconds when left out.")
    retryable_errors: Names | None = optional("The types of error that are tried again, and no others.")


class StepMapStepDoc(Doc):
    """A step."""

    type: Annotated[str, Field(min_length=1)] | None = optional("What does it; process when left out.")
    description: str | None = optional("For people.")
    input: dict[str, Any] | None = optional("What it is given, literally.")
    depends_on: Names | None = optional("The steps that must complete first.")
    max_retries: Retries | None = optional("How often it is tried again; 3 times when left out.")
    retry: StepMapRetryDoc | None = optional("The waits between tries.")
    timeout: Timeout | None = optional("How long one try may take.")


class StepMapDoc(Doc):
    """A workflow."""

    id: Annotated[str, Field(min_length=1)] = required("What the workflow is called.")
    name: str | None = optional("For people.")
    description: str | None = optional("For people.")
    version: Version | None = optional("A semantic version; 1.0.0 when left out.")
    max_parallel_steps: Count | None = optional("Steps running at once.")
    max_retries: Retries | None = optional("Of every step that says nothing about it.")
    retry: StepMapRetryDoc | None = optional("Of every step that says nothing about it.")
    steps: dict[str, Any] = required("The steps by name.")
