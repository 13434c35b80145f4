"""What operators ask of an execution: one class for each verb, with who asks and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import msgspec


class Asked(msgspec.Struct, frozen=True, kw_only=True, tag_field="verb"):
    """What an operator asks for.

    Attributes:
        by: who asks.
        reason: why, in his words, or empty.
    """

    by: str
    reason: str = ""


class Pause(Asked, frozen=True, kw_only=True, tag="pause"):
    """Start nothing new; what runs may end."""


class Resume(Asked, frozen=True, kw_only=True, tag="resume"):
    """Go on after a pause. Steps whose failure paused the execution are tried again."""


class Cancel(Asked, frozen=True, kw_only=True, tag="cancel"):
    """End the execution as cancelled, once what runs has ended.

    Attributes:
        stop: stop what runs instead of waiting for it; None: as the definition says.
        compensate: undo what was done before; None: as the definition says.
    """

    stop: bool | None = None
    compensate: bool | None = None


class Terminate(Asked, frozen=True, kw_only=True, tag="terminate"):
    """End the execution as cancelled, at once: everything is stopped and nothing is undone."""


class Retry(Asked, frozen=True, kw_only=True, tag="retry"):
    """Try steps of a failed execution again: the same work, with further attempts.

    Attributes:
        steps: keys or names of failed steps; empty: all whose failure nothing handled.
        settings: what is put over the rendered settings of the step; only with exactly one step.
    """

    steps: tuple[str, ...] = ()
    settings: dict[str, Any] | None = None


class Rerun(Asked, frozen=True, kw_only=True, tag="rerun"):
    """Run a step that has run, and everything behind it, again: other work, with new idempotency keys.

    Attributes:
        step: its key or name.
        settings: what is put over its rendered settings.
        keep_items: of a step with `for_each`, run only the items again that have not completed.
    """

    step: str
    settings: dict[str, Any] | None = None
    keep_items: bool = False


class Rollback(Asked, frozen=True, kw_only=True, tag="rollback"):
    """Undo what completed after a checkpoint, and go on from there."""

    checkpoint: str


class SkipStep(Asked, frozen=True, kw_only=True, tag="skip-step"):
    """Let a step that has not completed count as skipped by its own condition.

    Attributes:
        force: stop it when it runs.
    """

    step: str
    force: bool = False


class CompleteStep(Asked, frozen=True, kw_only=True, tag="complete-step"):
    """Let a step that has not completed count as completed, with an output that is given.

    Attributes:
        force: stop it when it runs.
    """

    step: str
    output: Any = None
    force: bool = False


class Migrate(Asked, frozen=True, kw_only=True, tag="migrate"):
    """Go on with another version of the definition, when all that has run fits into it.

    Attributes:
        digest: of that version.
        names: new names of steps by their old ones.
    """

    version: str
    digest: str
    names: dict[str, str] = {}


class Compensate(Asked, frozen=True, kw_only=True, tag="compensate"):
    """Start the compensation that waits for an operator."""


Verb: TypeAlias = (
    Pause | Resume | Cancel | Terminate | Retry | Rerun | Rollback | SkipStep | CompleteStep | Migrate | Compensate
)

DONE: Final[Mapping[str, str]] = {
    "pause": "paused",
    "resume": "resumed",
    "cancel": "cancelled",
    "terminate": "terminated",
    "retry": "retried",
    "rerun": "rerun",
    "rollback": "rolled back",
    "skip-step": "changed by hand",
    "complete-step": "changed by hand",
    "migrate": "migrated",
    "compensate": "compensated",
    "fork": "forked",
}
"""What is done to an execution, by the name of the verb."""


def name_of(verb: Verb) -> str:
    """The verb's name, as it is typed."""
    name = type(verb).__struct_config__.tag
    assert isinstance(name, str), "each class has a tag of its own"
    return name
