"""What a caller may see. What it may not see is, for it, not there."""

from __future__ import annotations

from stepwell.api.caller import Caller
from stepwell.app.registry import Reference
from stepwell.app.serving import Parts
from stepwell.base.errors import NotFound
from stepwell.engine.operating import unknown_execution


async def check_execution(here: Parts, caller: Caller, execution: str) -> None:
    """Whether the caller sees an execution. One that sees everything learns from what it does that there is none.

    Raises:
        NotFound: code `unknown-execution`.
    """
    if caller.namespaces is not None and not caller.sees(await here.reading.workflow_of(execution)):
        raise unknown_execution(execution)


def check_workflow(caller: Caller, workflow: str) -> None:
    """Whether the caller sees a workflow.

    Raises:
        NotFound: code `unknown-workflow`.
    """
    if not caller.sees(workflow):
        raise NotFound(f"no workflow {Reference(workflow)!s} is registered", code="unknown-workflow")


def namespaces_of(caller: Caller) -> tuple[str, ...] | None:
    """For the query of a list."""
    return tuple(sorted(caller.namespaces)) if caller.namespaces is not None else None
