"""A task graph as it is written. What is passed on as it stands is checked where it comes to stand (`Any`)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from stepwell.definition.shapes import Count, Doc, Name, Version, WorkflowName, optional, required

MOST_RETRIES = 100


class WorkflowDoc(Doc):
    """A workflow."""

    ref: WorkflowName = required("The name it is stored under: `pack.name`.")
    version: Version = required('A semantic version such as "1.0.0".')
    label: str | None = optional("A title for people.")
    name: str | None = optional("The name without the pack; for people.")
    description: str | None = optional("For people.")
    parameters: dict[str, Any] | None = optional("What it is started with: parameters by name, or a JSON Schema.")
    output: dict[str, Any] | None = optional("The schema of its output: fields by name, or a JSON Schema.")
    output_schema: dict[str, Any] | None = optional("The same as `output`.")
    vars: Any = optional(
        "Variables and their first values: a mapping, or a list of mappings; later ones see earlier ones."
    )
    config: dict[str, Any] | None = optional("The configuration of the pack, read as `config.NAME`.")
    tasks: Any = required("The tasks.")
    output_map: dict[str, Any] | None = optional("The output, written with expressions.")
    tags: list[str] | None = optional("For finding it.")
    cancellation_policy: Literal["allow_finish", "cancel_running"] | None = optional(
        "Whether running work is waited for or stopped when the workflow is cancelled."
    )
    enabled: bool | None = optional("Whether it can be started.")
    timeout: Any = optional("Seconds that the whole may take.")
    on_error: Any = optional("Tasks that run when the workflow has failed; they see `error`.")
    triggers: Any = optional("What starts it, as a native workflow says it; a rule of a pack becomes one.")
    metadata: dict[str, Any] | None = optional("More for people.")
    dialect: str | None = optional("`task-graph`.")


class RetryDoc(Doc):
    """How often a failing task is tried again."""

    count: Annotated[int, Field(ge=1, le=MOST_RETRIES)] = required("Tries after the first one.")
    delay: Annotated[float, Field(ge=0)] | None = optional("Seconds before the first of them.")
    backoff: Literal["constant", "linear", "exponential"] | None = optional("How waits grow; constant when left out.")
    max_delay: Annotated[float, Field(ge=0)] | None = optional("No wait is longer.")
    on_error: Any = optional("Only when this holds; `error` and `result()` are known here.")


class ItemsDoc(Doc):
    """Run a task once for every item."""

    items: Any = required("A list, or an expression that yields one.")
    when: Any = optional("Which items.")
    batch_size: Count | None = optional("Items handed over at once, as a list.")
    concurrency: Count | None = optional("Items at once; 10 when left out.")


class NextDoc(Doc):
    """Where to go on when a task has ended."""

    when: Any = optional("A condition; succeeded() failed() timed_out() skipped() result() are known here.")
    publish: Any = optional("Variables that are set when this way is taken.")
    do: Any = optional("The tasks to go on with, or a command: continue, fail, noop, retry.")
    next: Any = optional("The same as `do`.")


class DecisionDoc(Doc):
    """One branch of a decision."""

    when: Any = optional("The condition of this branch.")
    next: str | None = optional("The task to go on with.")
    default: Any = optional("This branch is taken when no other is: true beside `next`, or the name of the task.")


class TaskDoc(Doc):
    """A task."""

    name: Name = required("Unique in the workflow.")
    type: Literal["action", "parallel", "workflow"] | None = optional("What it is; action when left out.")
    description: str | None = optional("For people.")
    label: str | None = optional("For people.")
    action: str | None = optional("What it runs: `pack.action`, with parameters behind it if you like.")
    input: dict[str, Any] | None = optional("The input of the action; expressions allowed anywhere.")
    tasks: Any = optional("Of a parallel task: the tasks that run side by side.")
    when: Any = optional("Skip the task unless this holds.")
    with_items: Any = optional("Run it once for every item of this list.")
    batch_size: Count | None = optional("Items handed over at once, as a list.")
    concurrency: Count | None = optional("Items at once; 10 when left out.")
    publish: Any = optional("Variables that are set when it succeeded.")
    retry: RetryDoc | None = optional("How often it is tried again.")
    timeout: Any = optional("Seconds that one try may take.")
    delay: Any = optional("Seconds to wait before it starts.")
    join: Any = optional("How many of the tasks that lead here must have taken their way: a number, or all.")
    depends_on: Any = optional("Tasks that must end first.")
    max_visits: Any = optional("How often a task of a cycle may run; without it a cycle is an error.")
    output: dict[str, Any] | None = optional("Its result; expressions see `response`, what the action gave.")
    repeat: dict[str, Any] | None = optional("Run it again `while` or `until` a condition holds.")
    next: Any = optional("Where to go on.")
    on_success: Any = optional("The task to go on with when it succeeded.")
    on_failure: Any = optional("The task to go on with when it failed.")
    on_complete: Any = optional("The task to go on with however it ended.")
    on_timeout: Any = optional("The task to go on with when it timed out.")
    decision: Any = optional("Branches, of which the first whose condition holds is taken.")
    permission_set_refs: Any = optional("Means nothing here.")
    worker_selector: Any = optional("Means nothing here.")
    worker_tolerations: Any = optional("Means nothing here.")
    worker_affinity: Any = optional("Means nothing here.")
    chart_meta: Any = optional("For drawing.", alias="__chart_meta__")
