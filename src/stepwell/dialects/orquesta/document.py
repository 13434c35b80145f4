"""A workflow of Orquesta as it is written: `version`, `input`, `vars`, `tasks` by name, `output`."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field, Tag

from stepwell.definition.shapes import LIST, NUMBER, TEXT, Doc, Text, optional, required, shape_tag, shapes

VERSION: Final = "1.0"
"""The version of the language."""

WORKFLOW_VERSION: Final = "1.0.0"
"""A document says nothing of its own version."""

MAX_VISITS: Final = 1000
"""How often a task of a cycle may run: Orquesta has no bound, and a cycle that never ends is found here."""

UNLIMITED: Final = 1_000_000
"""Items at once, where nothing is said of it."""

COMMAND_TRIES: Final = 4
"""How often a task runs that is told to `retry`."""

STACKSTORM: Final = {"action_execution_id": "{{ execution.id }}", "workflow_execution_id": "{{ execution.id }}"}
"""What StackStorm tells workflows in `ctx().st2`, as far as that has a meaning here."""

Number = Annotated[int | float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
JoinChoice = Annotated[
    Annotated[Literal["all"], Tag(TEXT)] | Annotated[Annotated[int, Field(ge=0)], Tag(NUMBER)],
    shapes("all or a number", text=TEXT, number=NUMBER),
]


class ItemsDoc(Doc):
    """The items that a task runs for."""

    items: str = required("An expression that yields a list, perhaps as `a, b in <% ... %>`.")
    concurrency: int | str | None = optional("Items at once; all of them when left out.")


WithChoice = Annotated[
    Text | Annotated[ItemsDoc, Tag(shape_tag(ItemsDoc))],
    shapes("an expression or a mapping with `items`", text=TEXT, mapping=shape_tag(ItemsDoc)),
]


class RetryChoice(Doc):
    """How often a task is tried again, and when."""

    when: str | None = optional("A condition; a failure when left out.")
    count: Count | str = required("How often it is tried again.")
    delay: Count | str | None = optional("Seconds between the tries.")


DoChoice = Annotated[
    Text | Annotated[list[str], Tag(LIST)],
    shapes("a name or a list of names", text=TEXT, list=LIST),
]


class TransitionDoc(Doc):
    """What follows a task."""

    when: str | None = optional("A condition; that the task has ended when left out.")
    publish: Any = optional("Variables for what follows.")
    do: DoChoice | None = optional("The tasks to go on with, or commands; `continue` when left out.")


class TaskDoc(Doc):
    """A task."""

    delay: Count | str | None = optional("Seconds before it starts.")
    join: JoinChoice | None = optional("By how many tasks it must be reached.")
    with_: WithChoice | None = optional("The items that it runs for.", alias="with")
    action: Annotated[str, Field(min_length=1)] | None = optional("What does it; nothing when left out.")
    input: Any = optional("What it is given: a mapping, or an expression that yields one.")
    retry: RetryChoice | None = optional("How often it is tried again.")
    next: list[Any] | None = optional("What follows it.")


class OrquestaDoc(Doc):
    """A workflow."""

    version: Any = optional("The version of the language: 1.0.")
    description: str | None = optional("For people.")
    input: list[Any] | None = optional("What it is started with: names, or names with defaults.")
    vars: list[Any] | None = optional("Variables and their first values; later ones see earlier ones.")
    output: list[Any] | None = optional("What it gives back; later ones see earlier ones.")
    tasks: dict[str, Any] = required("The tasks by name.")
