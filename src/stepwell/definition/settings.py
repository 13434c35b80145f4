"""The settings (`config`) of every built-in step type, as they are written.

A text with `{{ ... }}` in it may stand anywhere in place of a typed value. Types that are not listed here (registered
tasks and plug-ins) take whatever is written.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, Tag

from stepwell.base.instants import from_rfc3339
from stepwell.definition.document import JsonSchema, Steps
from stepwell.definition.shapes import (
    LIST,
    NUMBER,
    TEXT,
    Apart,
    BoolOrExpression,
    Count,
    CountOrExpression,
    Doc,
    DurationOrExpression,
    ListOrExpression,
    MappingOrExpression,
    Name,
    OrExpression,
    Priority,
    TimeoutOrExpression,
    optional,
    required,
    shapes,
    upper_case_hint,
    wrong,
)
from stepwell.definition.text import shortened

Method = Annotated[
    Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"],
    upper_case_hint("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"),
    OrExpression(),
]


def _url(value: str) -> str:
    if not value.lower().startswith(("http://", "https://")):
        raise wrong("bad-url", f"{shortened(value)!r} is not a URL", "it begins with http:// or https://")
    return value


def _instant(value: str) -> str:
    try:
        from_rfc3339(value)
    except ValueError:
        raise wrong("wrong-value", f"{shortened(value)!r} is not a time", "write it as 2026-11-20T10:00:00Z") from None
    return value


Url = Annotated[str, AfterValidator(_url), OrExpression()]
Instant = Annotated[str, AfterValidator(_instant), OrExpression()]

_StatusCode = Annotated[int, Field(ge=100, le=599)]
Statuses = Annotated[
    Annotated[_StatusCode, Tag(NUMBER)] | Annotated[list[_StatusCode], Tag(LIST)],
    shapes("a status code or a list of them", number=NUMBER, list=LIST),
    OrExpression(),
]


class ServiceCallSettings(Doc):
    """Call a service that is registered in the configuration."""

    service: str = required("The name of the service.")
    endpoint: str = required("The path below the service's URL.")
    method: Method | None = optional("The HTTP method; GET when left out.")
    payload: Any = optional("The body, sent as JSON.")
    headers: MappingOrExpression | None = optional("Headers of the request.")
    query: MappingOrExpression | None = optional("Parameters of the query string.")
    timeout: TimeoutOrExpression | None = optional("How long the call may take.")


class HttpSettings(Doc):
    """Make an HTTP request."""

    url: Url = required("Where to.")
    method: Method | None = optional("The HTTP method; GET when left out.")
    headers: MappingOrExpression | None = optional("Headers of the request.")
    query: MappingOrExpression | None = optional("Parameters of the query string.")
    body: Any = optional("The body: a text as it is, anything else as JSON.")
    form: MappingOrExpression | None = optional("The body as a form.")
    timeout: TimeoutOrExpression | None = optional("How long the request may take.")
    expect_status: Statuses | None = optional("The status codes that are a success; 200 to 299 when left out.")
    request_schema: JsonSchema | None = optional("A JSON Schema that the body satisfies, or else nothing is sent.")
    response_schema: JsonSchema | None = optional("A JSON Schema that the decoded answer must satisfy.")


class PythonSettings(Doc):
    """Call a registered Python function."""

    task: str = required("The name it is registered under.")
    args: MappingOrExpression | None = optional("Its arguments by name.")
    available: MappingOrExpression | None = optional(
        "Further values by name, of which it takes those that it has a parameter for."
    )


class ShellSettings(Doc):
    """Run a command or a script; exactly one of both."""

    command: (
        Annotated[
            Annotated[str, Tag(TEXT)] | Annotated[list[Any], Tag(LIST)],
            shapes("a text or a list of arguments", text=TEXT, list=LIST),
        ]
        | None
    ) = optional("A program and its arguments.")
    script: str | None = optional("Lines for the shell.")
    env: MappingOrExpression | None = optional("Environment variables.")
    cwd: str | None = optional("The directory it runs in.")
    timeout: TimeoutOrExpression | None = optional("How long it may run.")


class SqlSettings(Doc):
    """Run an SQL statement."""

    connection: str = required("The name of a connection of the configuration.")
    query: str = required("The statement, with placeholders for `params`.")
    params: Any = optional("Values of the placeholders.")
    fetch: Annotated[Literal["all", "one", "value", "none"], OrExpression()] | None = optional("What of the result.")


class FileSettings(Doc):
    """Read, write, list, copy, move or delete a file."""

    op: Annotated[Literal["read", "write", "list", "copy", "move", "delete"], OrExpression()] = required("What to do.")
    path: str = required("The file, below the configured directory.")
    to: str | None = optional("For copy and move: where to.")
    content: Any = optional("For write: what.")
    format: Annotated[Literal["text", "json", "csv", "bytes"], OrExpression()] | None = optional("How it is read.")


class NotifySettings(Doc):
    """Tell people."""

    channels: ListOrExpression | None = optional("Names of channels from the server's configuration.")
    recipients: ListOrExpression | None = optional("Who gets it.")
    title: str | None = optional("A title.")
    message: str = required("What to say.")
    priority: Priority | None = optional("How urgent it is.")


class AiSettings(Doc):
    """Ask a language model."""

    prompt: str = required("What to ask.")
    system: str | None = optional("Instructions for the model.")
    model: str | None = optional("Which model.")
    output_schema: JsonSchema | None = optional("A JSON Schema that the answer must satisfy.")
    tools: ListOrExpression | None = optional("What the model may call.")
    data: Any = optional("What the prompt is about.")
    data_from: ListOrExpression | None = optional("Objects that are put together to be the data; later ones win.")
    template: str | None = optional("The text that is asked: `{prompt}` is the prompt, `{name}` a variable.")
    template_variables: MappingOrExpression | None = optional("The values of the template's variables.")


class EmitEventSettings(Doc):
    """Publish an event."""

    type: str = required("The type of the event.")
    data: Any = optional("What it says.")
    subject: str | None = optional("What it is about.")


class ValidationRuleDoc(Doc):
    """One rule: a built-in one, one registered in Python, or one that a service checks.

    Keys that are not named here are the rule's own parameters.
    """

    model_config = ConfigDict(extra="allow")

    field: str = required("A dotted path into the data.")
    rule: str = required("The name of the rule.")
    service: str | None = optional("The service that checks it.")
    message: str | None = optional("What to say when it fails.")


class ValidationSettings(Doc):
    """Check data by rules or by a JSON Schema; exactly one of both."""

    validation_rules: list[ValidationRuleDoc] | None = optional("The rules.")
    schema_: JsonSchema | None = optional("A JSON Schema.", alias="schema")
    data: Any = optional("What to check; the workflow's input when left out.")


class TransformSettings(Doc):
    """Make a value."""

    value: Any = required("The value, written with expressions.")


class InputSettings(Doc):
    """Collect data."""

    data: Any = required("The data.")
    source: str | None = optional("Where it comes from.")


Operation = Literal["uppercase", "lowercase", "capitalize", "title", "trim", "reverse", "to_text", "to_number"]
"""What a rule of a `process` step does with a value."""


class ProcessRuleDoc(Doc):
    """One change of one field."""

    type: Literal["transform"] = required("What kind of rule it is: transform.")
    field: Annotated[str, Field(min_length=1)] = required("A dotted path into the data; `*` is every entry of a list.")
    operation: Annotated[Operation, OrExpression()] = required("What is done with the value.")
    if_missing: Literal["ignore", "fail"] | None = optional("When there is no such field: ignore it, or fail.")


class ProcessSettings(Doc):
    """Change data by rules."""

    rules: Annotated[list[ProcessRuleDoc], OrExpression()] | None = optional("The rules, applied in order.")
    data: Any = optional("The data.")
    data_from: ListOrExpression | None = optional("Objects that are put together to be the data; later ones win.")


class OutputSettings(Doc):
    """Deliver data."""

    data: Any = optional("The data.")
    destination: str | None = optional(
        "Where to: `default` (the execution's own record), `stdout`, `file:PATH`, or a URL that it is posted to."
    )


class WaitForEventSettings(Doc):
    """Wait for an event."""

    event_type: str = required("The type of the event.")
    filter: Any = optional("Which events: dotted paths and values or operators, or an expression over `event`.")
    timeout: TimeoutOrExpression | None = optional("How long to wait; an hour when left out.")


class WaitSettings(Doc):
    """Wait for a time; exactly one of `for` and `until`."""

    for_: DurationOrExpression | None = optional("How long.", alias="for")
    until: Instant | None = optional("Until when.")


class ReminderSettings(Doc):
    """Reminds those who are asked."""

    after: DurationOrExpression = required("How long after they were asked.")
    every: TimeoutOrExpression | None = optional(
        "How long between one reminder and the next, a minute at least; once when left out."
    )
    channels: ListOrExpression | None = optional("Names of channels; all there are when left out.")


class EscalationSettings(Doc):
    """Lets others answer, too, and tells them."""

    after: DurationOrExpression = required("How long after the question was asked.")
    to: Any = required("Who may answer then, beside those who were asked.")
    channels: ListOrExpression | None = optional("Names of channels; all there are when left out.")


class ApprovalSettings(Doc):
    """Ask a person."""

    prompt: str = required("What to ask.")
    response_schema: JsonSchema | None = optional("A JSON Schema that the answer must satisfy.")
    assigned_to: Any = optional("Who may answer.")
    timeout: TimeoutOrExpression | None = optional("How long to wait.")
    default: Any = optional("The answer when nobody gives one in time.")
    reminder: ReminderSettings | None = optional("Reminds those who are asked; takes a server.")
    escalation: EscalationSettings | None = optional("Lets others answer after a while; takes a server.")


class WorkflowSettings(Doc):
    """Run another workflow."""

    name: str = required("Its name.")
    version: str | None = optional("Its version; the default one when left out.")
    input: MappingOrExpression | None = optional("Its input.")
    wait: BoolOrExpression | None = optional("Whether to wait for its end; true when left out.")


class ParallelGroupSettings(Doc):
    """Run steps side by side."""

    steps: Apart[Steps] = required("The steps.")
    wait_for: (
        Annotated[
            Annotated[Literal["all", "any"], Tag(TEXT)] | Annotated[Count, Tag(NUMBER)],
            shapes("all, any or a number", text=TEXT, number=NUMBER),
        ]
        | None
    ) = optional("How many must end; all when left out.")
    fail_fast: BoolOrExpression | None = optional("Whether one failure ends the others.")


class CaseDoc(Doc):
    """One case of a conditional."""

    when: Any = required("The condition.")
    steps: Apart[Steps] = required("The steps that run when it holds and no earlier one did.")


class ConditionalSettings(Doc):
    """Run one of several groups of steps: `{condition, then, else}` or `{cases, default}`."""

    condition: Any = optional("The condition.")
    then: Apart[Steps] | None = optional("The steps that run when it holds.")
    else_: Apart[Steps] | None = optional("The steps that run when it does not.", alias="else")
    cases: list[CaseDoc] | None = optional("Cases, of which the first whose condition holds runs.")
    default: Apart[Steps] | None = optional("The steps that run when no case does.")


class LoopSettings(Doc):
    """Run steps again and again; exactly one of `items`, `while`, `until`, `count`."""

    items: ListOrExpression | None = optional("Once for every item.")
    while_: Any = optional("As long as this holds.", alias="while")
    until: Any = optional("Until this holds.")
    count: Annotated[int, Field(ge=0), OrExpression()] | None = optional("So often.")
    as_: Name | None = optional("The name of the item in expressions; `item` when left out.", alias="as")
    max_iterations: CountOrExpression | None = optional("At most so often; 100 when left out.")
    delay: DurationOrExpression | None = optional("The wait in between.")
    concurrency: CountOrExpression | None = optional("Items at once.")
    steps: Apart[Steps] = required("The steps.")


class TransitionDoc(Doc):
    """A way out of a state."""

    event: str = required("The type of the event.")
    when: Any = optional("A condition over `event`.")
    to: str = required("The next state.")
    actions: Apart[Steps] | None = optional("Steps that run on the way.")


class StateDoc(Doc):
    """A state of a state machine."""

    on_enter: Apart[Steps] | None = optional("Steps that run when the state is entered.")
    transitions: list[TransitionDoc] | None = optional("The ways out.")
    final: bool | None = optional("Whether the machine ends here.")


class StateMachineSettings(Doc):
    """States, and events that lead from one to another."""

    initial: str = required("The first state.")
    states: dict[Name, StateDoc] = required("The states by name.")
    strict: bool | None = optional("Whether an event without a transition is a failure.")


class DynamicSettings(Doc):
    """Run steps that are known only when the workflow runs; exactly one of `steps` and `task`."""

    steps: ListOrExpression | None = optional("The steps, or an expression that yields them.")
    task: str | None = optional("A registered task whose result is the list of steps.")
    args: MappingOrExpression | None = optional("The arguments of the task.")


class SetSettings(Doc):
    """Set variables: each key is the name of one."""

    model_config = ConfigDict(extra="allow")


class CheckpointSettings(Doc):
    """Remember this point, so that the execution can be rolled back to it."""

    name: str | None = optional("Its name; the step's when left out.")


class FailSettings(Doc):
    """Fail."""

    message: Any = optional("Why.")
    type: str | None = optional("The type of the error.")


class NoopSettings(Doc):
    """Do nothing."""


SETTINGS: dict[str, type[Doc]] = {
    "service_call": ServiceCallSettings,
    "http": HttpSettings,
    "python": PythonSettings,
    "shell": ShellSettings,
    "sql": SqlSettings,
    "file": FileSettings,
    "notify": NotifySettings,
    "ai": AiSettings,
    "emit_event": EmitEventSettings,
    "validation": ValidationSettings,
    "transform": TransformSettings,
    "input": InputSettings,
    "process": ProcessSettings,
    "output": OutputSettings,
    "wait_for_event": WaitForEventSettings,
    "wait": WaitSettings,
    "approval": ApprovalSettings,
    "workflow": WorkflowSettings,
    "parallel_group": ParallelGroupSettings,
    "conditional": ConditionalSettings,
    "loop": LoopSettings,
    "state_machine": StateMachineSettings,
    "dynamic": DynamicSettings,
    "set": SetSettings,
    "checkpoint": CheckpointSettings,
    "fail": FailSettings,
    "noop": NoopSettings,
}
"""The model of the settings of every built-in type."""
