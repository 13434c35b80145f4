"""What requests may say."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, model_validator

from stepwell.api.parameters import Instant

Text = Annotated[str, StringConstraints(max_length=4_000)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=400)]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Label = Annotated[str, StringConstraints(max_length=400)]
Values = dict[str, JsonValue]


class Body(BaseModel):
    """A body: no other keys, and no value of another type that could be taken for what is meant."""

    model_config = ConfigDict(extra="forbid", strict=True)


class StartBody(Body):
    """Starts an execution."""

    input: Values | None = Field(default=None, description="What the workflow's schema asks for.")
    version: Name | None = Field(default=None, description="Instead of the default version.")
    tags: list[Tag] = Field(default=[], max_length=50, description="What to list it under, beside the workflow's tags.")


class ChangeVersion(Body):
    """Changes a registered version: at least one of `lifecycle` and `default`."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        # Not `anyOf`, of which programs that make clients would make a body of any kind.
        json_schema_extra={"minProperties": 1, "dependentSchemas": {"reason": {"minProperties": 2}}},
    )

    # They may be absent, but not null.
    lifecycle: Literal["active", "deprecated", "retired"] = Field(default=None)  # type: ignore[arg-type]
    default: Literal[True] = Field(
        default=None,  # type: ignore[arg-type]
        description="Make it the version that the name alone means.",
    )
    reason: Text | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.model_fields_set & {"lifecycle", "default"}:
            raise ValueError("nothing is to be changed: expected lifecycle, default, or both")
        return self


class ReasonBody(Body):
    """Why something is done; it is recorded with who did it."""

    reason: Text = ""


class CancelBody(ReasonBody):
    """How an execution is cancelled. What is left out is as the workflow says."""

    stop_running: bool | None = Field(default=None, description="Stop what runs, instead of waiting for its end.")
    compensate: bool | None = Field(default=None, description="Undo what was done before it ends.")


class RetryBody(ReasonBody):
    """Which failed steps are tried again."""

    steps: list[Name] = Field(default=[], max_length=1_000, description="Their names; none means all that failed.")
    settings: Values | None = Field(default=None, description="Put over the settings of the step, when it is one.")


class RerunBody(ReasonBody):
    """From which step on everything runs again."""

    step: Name
    settings: Values | None = Field(default=None, description="Put over the settings of the step.")
    keep_items: bool = Field(default=False, description="Of a step with `for_each`, run only what has not completed.")


class RollbackBody(ReasonBody):
    """To which checkpoint everything is undone."""

    checkpoint: Name


class ForkBody(ReasonBody):
    """After which event the other execution begins."""

    at: int = Field(ge=1, le=2**53, description="The number of a history event.")


class MigrateBody(ReasonBody):
    """With which version the execution goes on."""

    to: Name = Field(description="A registered version of the same workflow.")
    names: dict[Name, Name] = Field(default={}, description="New names of steps by their old ones.")
    dry_run: bool = Field(default=False, description="Only say whether it can be.")


class SkipStepBody(ReasonBody):
    """Which step counts as skipped."""

    step: Name
    force: bool = Field(default=False, description="Stop the step when it runs.")


class CompleteStepBody(ReasonBody):
    """Which step counts as completed, and with what."""

    step: Name
    output: JsonValue = None
    force: bool = Field(default=False, description="Stop the step when it runs.")


class SignalBody(Body):
    """An event for one execution."""

    type: Name
    data: JsonValue = None


class QueryBody(Body):
    """Which executions are meant: all that fit everything that is said."""

    workflow: Name | None = None
    version: Name | None = None
    status: list[Literal[
        "pending", "running", "waiting", "paused", "compensating", "completed", "failed", "cancelled"
    ]] = []  # fmt: skip
    tag: Tag | None = None
    created_from: Annotated[Instant | None, Field(alias="from", strict=False)] = None
    created_to: Annotated[Instant | None, Field(alias="to", strict=False)] = None
    text: Text | None = None


class ActionsBody(ReasonBody):
    """Does the same to many executions, the newest first."""

    action: Literal["pause", "resume", "cancel", "terminate", "retry", "compensate"]
    query: QueryBody
    dry_run: bool = Field(default=False, description="Only say which it could be done to.")
    limit: int = Field(default=100, ge=1, le=1_000, description="At most so many.")
    stop_running: bool | None = Field(default=None, description="Of `cancel`: stop what runs.")
    compensate: bool | None = Field(default=None, description="Of `cancel`: undo what was done.")

    @model_validator(mode="after")
    def _says_nothing_for_another_action(self) -> Self:
        named = [name for name in ("stop_running", "compensate") if getattr(self, name) is not None]
        if named and self.action != "cancel":
            raise ValueError(f"{' and '.join(named)} would do nothing: only `cancel` heeds it")
        return self


class AnswerBody(Body):
    """Answers a question."""

    response: JsonValue = Field(description="What the question's schema asks for.")
    by: Name | None = Field(default=None, description="Who answers, where the server asks nobody who he is.")


class RetryLetterBody(ReasonBody):
    """Tries the step of a dead letter, or its event, again."""

    settings: Values | None = Field(
        default=None, description="Put over the settings of the step, or the data of the event."
    )


class PollBody(Body):
    """Asks for work."""

    worker: Name = Field(description="What the worker is called: for people, and the same in all its calls.")
    queues: list[Name] = Field(min_length=1, max_length=100, description="Those that it serves, the first ones first.")
    limit: int = Field(default=1, ge=1, le=1_000, description="At most so many assignments.")
    wait: float = Field(default=20, ge=0, le=60, description="Seconds to wait for the first of them.")
    labels: dict[Name, Label] = Field(
        default={}, max_length=100, description="What it is labelled with: it gets steps that ask for nothing else."
    )


class BeatBody(Body):
    """A sign of life."""

    worker: Name
    assignments: list[Name] = Field(max_length=10_000, description="The ids of those that it is at work on.")


class CompleteBody(Body):
    """Reports that the work is done."""

    id: Name = Field(description="Of the assignment.")
    result: JsonValue = Field(default=None, description="The step's result.")
    scope: Values | None = Field(default=None, description="Further names for the step's `output` mapping.")


class FailBody(Body):
    """Reports that the work has failed."""

    id: Name = Field(description="Of the assignment.")
    type: Name = Field(description="The kind of error, which retry policies may name.")
    message: Text
    details: Values | None = None
    retryable: bool = Field(default=False, description="Whether another try may end otherwise.")


class PersonBody(Body):
    """Says who does it."""

    by: Name | None = Field(default=None, description="Who, where the server asks nobody who he is.")


class HandOnBody(PersonBody):
    """Hands a question on."""

    to: Name = Field(description="Who may answer, too.")


class LinkBody(Body):
    """Asks for a link with which a question is answered."""

    person: Name = Field(description="Who answers with it; he must be asked.")
    valid_for: float = Field(default=7 * 86_400, gt=0, le=365 * 86_400, description="Seconds.")
