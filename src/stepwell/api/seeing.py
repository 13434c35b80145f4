"""What a caller may see. What it may not see is, for it, not there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stepwell.api.caller import Caller
from stepwell.api.problems import Problem
from stepwell.app.registry import Reference
from stepwell.app.serving import Parts
from stepwell.base.errors import NotFound
from stepwell.base.namespaces import namespace_of
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


async def check_settings(here: Parts, caller: Caller, execution: str, settings: Mapping[str, Any] | None) -> None:
    """Whether the caller may put other settings over those of a step of an execution.

    Raises:
        Forbidden: code `settings-not-allowed`.
    """
    if settings is None:
        return
    stored = await here.store.load(execution)
    if stored is not None:
        definition = await here.session.definitions.stored(stored.created.digest)
        await here.session.allowances.check_settings(definition, caller, settings)


def check_event_type(caller: Caller, type_: str) -> None:
    """Whether the caller may speak so: an event may wake, and start, what is in any namespace, so who does not see all
    of them names its type after one of his own.

    Raises:
        Problem: 403, code `foreign-namespace`.
    """
    if not caller.sees(type_):
        message = (
            f"{caller.name} may not send events of type {type_[:200]!r}: it is in namespace {namespace_of(type_)!r}"
        )
        hint = "name it NAMESPACE.TYPE, after one of your namespaces"
        raise Problem(403, message, code="foreign-namespace", hint=hint)


def namespaces_of(caller: Caller) -> tuple[str, ...] | None:
    """For the query of a list."""
    return tuple(sorted(caller.namespaces)) if caller.namespaces is not None else None
