"""The workflows of the product's API: `workflowDefinition`, in the words of documents with `execution`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import Field, SkipValidation, Tag

from stepwell.definition.findings import Findings
from stepwell.definition.model import Path
from stepwell.definition.reading import describe, read, wrong_type
from stepwell.definition.shapes import (
    NUMBER,
    TEXT,
    Count,
    Doc,
    Duration,
    Text,
    Timeout,
    optional,
    required,
    shape_tag,
    shapes,
    upper_case_hint,
)
from stepwell.dialects.execution.calls import SLEEP
from stepwell.dialects.execution.models import Filled, ManifestDoc
from stepwell.dialects.execution.whole import given
from stepwell.dialects.native.parts import duration
from stepwell.dialects.origin import Taken
from stepwell.policy.retry import NO_LIMIT

KEY: Final = "workflowDefinition"
"""The key that these documents have."""

_FAILURES: Final = {"CONTINUE": "continue", "ABORT": "abort", "COMPENSATE": "compensate"}
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_.-]+")


class ApiActivityDoc(Doc):
    """An activity of the catalogue."""

    unique_identifier: Filled = required("What it is called.", alias="uniqueIdentifier")
    version: Any = optional("Its version.")
    auto_upgrade: bool | None = optional(
        "Whether a newer version is taken; true when left out.", alias="autoUpgradeToLatestVersion"
    )


class ApiRetryDoc(Doc):
    """How often a failing step is tried."""

    maximum_attempts: Annotated[int, Field(ge=1, le=NO_LIMIT)] = required("All tries counted.", alias="maximumAttempts")
    initial_interval: Duration | None = optional("The wait after the first try.", alias="initialInterval")
    backoff_coefficient: Annotated[float, Field(ge=1, le=1_000)] | None = optional(
        "By how much a wait grows.", alias="backoffCoefficient"
    )


ApiActivity = Annotated[
    Text | Annotated[ApiActivityDoc, Tag(shape_tag(ApiActivityDoc))],
    shapes("a name, or a mapping with `uniqueIdentifier`", text=TEXT, mapping=shape_tag(ApiActivityDoc)),
]
Identifier = Annotated[Text | Annotated[Count, Tag(NUMBER)], shapes("a number or a name", text=TEXT, number=NUMBER)]


class ApiUndoDoc(Doc):
    """What undoes a step."""

    activity: ApiActivity = required("The activity.")
    input: dict[str, Any] | None = optional("What it is given.")


class ApiStepDoc(Doc):
    """A step."""

    step_identifier: Identifier = required("Its number.", alias="stepIdentifier")
    activity: ApiActivity = required("The activity that is run.")
    input: dict[str, Any] | None = optional("What it is given; the variables of its parameters' names when left out.")
    retry_policy: ApiRetryDoc | None = optional("How often it is tried.", alias="retryPolicy")
    on_failure: Annotated[Literal["CONTINUE", "ABORT", "COMPENSATE"], upper_case_hint(*_FAILURES)] | None = optional(
        "What its failure does; ABORT when left out.", alias="onFailure"
    )
    execution_timeout: Timeout | None = optional("How long one try may take, in seconds.", alias="executionTimeout")
    is_sleep: bool | None = optional("Whether it only waits: its input is `{duration}`.", alias="isSleepActivity")
    dependencies: list[Identifier] | None = optional("Steps that must end first; the one before it when left out.")
    require_approval: bool | None = optional("Whether somebody must agree first.", alias="requireApproval")
    approver: Any = optional("Who may agree.")
    filters: Any = optional("It runs only when the payload of the event satisfies this filter.")
    compensation_activity: ApiUndoDoc | None = optional("What undoes it.", alias="compensationActivity")


class ApiDoc(Doc):
    """A workflow."""

    name: Filled = required("Its name.")
    description: str | None = optional("For people.")
    workflow_definition: SkipValidation[list[ApiStepDoc]] = required("Its steps.", alias=KEY)
    type: str | None = optional("MANUAL, or what starts it.")
    sub_type: str | None = optional("WORKFLOW.", alias="subType")
    trigger_event: Filled | None = optional("The event that starts it.", alias="triggerEvent")
    filters: Any = optional("Which events.")
    is_active: bool | None = optional("Whether events start it; true when left out.", alias="isActive")
    version: Count | None = optional("Its version.")
    uid: str | None = optional("What the product calls it.")
    unique_identifier: str | None = optional("What the product calls it.", alias="uniqueIdentifier")
    metadata: Any = optional("For people.")
    annotations: Any = optional("Means nothing here.")
    executing_agent: Any = optional("Means nothing here.", alias="executingAgent")
    team_id: Any = optional("Means nothing here.", alias="teamId")
    activities: SkipValidation[list[ManifestDoc]] | None = optional("Activities that are services on the net.")
    dialect: Any = optional("The dialect: execution.")


def read_api(document: dict[str, Any], findings: Findings) -> dict[str, Any] | None:
    """The same workflow as a document with `execution`; None when it says none."""
    written = read(ApiDoc, document, (), findings)
    if written is None:
        return None
    for key in ("annotations", "executingAgent", "teamId"):
        if document.get(key):
            findings.add("no-effect", f"`{key}` means nothing here", (key,), hint="it is not looked at", key=True)
    steps = document[KEY]
    if not isinstance(steps, list):
        wrong_type("a list of steps", steps, (KEY,), findings)
        return None
    name = _NOT_IN_NAMES.sub("_", written.name)
    execution = given(
        workflow=Taken(name if name[:1].isalpha() or name[:1] == "_" else f"_{name}", ("name",)),
        version=_taken(written.version, ("version",)),
        description=_description(written, name),
        trigger=_trigger(written),
        activities=Taken([_step(step, (KEY, number), findings) for number, step in enumerate(steps)], (KEY,)),
    )
    return given(
        execution=execution,
        error_handling={"workflow_error": {"strategy": "abort"}},
        activities=_taken(document.get("activities"), ("activities",)),
    )


def step_of(identifier: str | int) -> str:
    """The name of the step with this identifier."""
    return f"step_{identifier}" if isinstance(identifier, int) else identifier


def _taken(value: Any, path: Path) -> Any:
    return Taken(value, path) if value is not None else None


def _description(written: ApiDoc, name: str) -> Any:
    if written.description is not None:
        return Taken(written.description, ("description",))
    return Taken(written.name, ("name",)) if written.name != name else None


def _trigger(written: ApiDoc) -> Any:
    if written.trigger_event is None:
        return None
    return given(
        event=Taken(written.trigger_event, ("triggerEvent",)),
        conditions=_taken(written.filters, ("filters",)),
        active=_taken(written.is_active, ("isActive",)),
    )


def _step(entry: Any, path: Path, findings: Findings) -> Any:
    written = read(ApiStepDoc, entry, path, findings)
    if written is None:
        name = f"step {describe(entry)}" if not isinstance(entry, dict) else f"step_{path[-1]}"
        return Taken({"name": name}, path)
    approver = _taken(_people(written.approver) or None, (*path, "approver"))
    activity, place = _activity(written.activity, (*path, "activity"), findings)
    made = given(
        name=Taken(step_of(written.step_identifier), (*path, "stepIdentifier")),
        activity=Taken(SLEEP, (*path, "isSleepActivity")) if written.is_sleep else Taken(activity, place),
        input=_taken(written.input, (*path, "input")),
        retry=_retry(written.retry_policy, (*path, "retryPolicy")),
        on_failure=_taken(_FAILURES.get(written.on_failure or ""), (*path, "onFailure")),
        timeout=_taken(duration(written.execution_timeout), (*path, "executionTimeout")),
        depends_on=_dependencies(written.dependencies, (*path, "dependencies")),
        filters=_taken(written.filters, (*path, "filters")),
        approval=Taken(given(approver=approver), (*path, "requireApproval")) if written.require_approval else None,
        compensation=_undo(written.compensation_activity, (*path, "compensationActivity"), findings),
    )
    return Taken(made, path)


def _people(approver: Any) -> Any:
    """Who may agree: of a person who is described, whatever names them."""
    if isinstance(approver, dict):
        return [value for value in approver.values() if isinstance(value, str) and value]
    return approver


def _activity(written: str | ApiActivityDoc, path: Path, findings: Findings) -> tuple[str, Path]:
    if isinstance(written, str):
        return written, path
    if written.version is not None:
        message = "activities have no versions here; the one that is registered is run"
        findings.add("no-effect", message, (*path, "version"), hint="leave `version` out", key=True)
    return written.unique_identifier, (*path, "uniqueIdentifier")


def _dependencies(written: list[Any] | None, path: Path) -> Any:
    if written is None:
        return None
    return Taken([Taken(step_of(each), (*path, number)) for number, each in enumerate(written)], path)


def _retry(written: ApiRetryDoc | None, path: Path) -> Any:
    if written is None:
        return None
    backoff = given(
        initial=_taken(duration(written.initial_interval), (*path, "initialInterval")),
        multiplier=_taken(written.backoff_coefficient, (*path, "backoffCoefficient")),
    )
    attempts = Taken(written.maximum_attempts, (*path, "maximumAttempts"))
    return Taken(given(max_attempts=attempts, backoff=backoff or None), path)


def _undo(written: ApiUndoDoc | None, path: Path, findings: Findings) -> Any:
    if written is None:
        return None
    activity, place = _activity(written.activity, (*path, "activity"), findings)
    params = _taken(written.input, (*path, "input"))
    return Taken(given(activity=Taken(activity, place), params=params), path)
