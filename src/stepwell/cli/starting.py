"""`execution start`, and `run` at a server: executions that another process runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from stepwell.app.registry import Reference, reference_of, reference_unless_file
from stepwell.base.errors import Conflict, UsageError
from stepwell.cli.documents import emit
from stepwell.cli.findings import write_findings
from stepwell.cli.given import read_json
from stepwell.cli.options import Setup
from stepwell.cli.sources import file_source
from stepwell.cli.streams import say
from stepwell.cli.subjects.opening import Served, run_in
from stepwell.cli.subjects.starts import Begun, ServedStarts, open_starts
from stepwell.cli.subjects.workflows import ServedWorkflows
from stepwell.cli.watching import watch_execution


def start_execution(given: str, input_: str | None, key: str | None, setup: Setup, output: str, *, quiet: bool) -> int:
    """Start a registered workflow, and print which execution it is."""
    begun = _start(given, input_, key, setup, quiet=quiet)
    document = {
        "execution_id": begun.execution,
        "workflow": begun.workflow,
        "version": begun.version,
        "status": begun.status,
        "started_before": not begun.is_new,
        "engine_present": begun.has_engine,
    }
    emit(document, output, lambda: begun.execution if quiet else _told(begun))
    if not begun.has_engine and not quiet:
        say("no engine is running on this store: it begins when one does, such as `stepwell serve`")
    return 0


def start_and_watch(
    given: str, input_: str | None, key: str | None, timeout: int | None, setup: Setup, output: str, *, quiet: bool
) -> int:
    """Start a registered workflow, follow it to its end, and print its result.

    Raises:
        Conflict: (code `no-engine`) no engine runs on the store. It is started when one does, all the same.
    """
    begun = _start(given, input_, key, setup, quiet=quiet)
    if not begun.has_engine:
        message = f"execution {begun.execution} is asked for, but no engine is running on this store"
        raise Conflict(message, code="no-engine", hint="it begins when one does, such as `stepwell serve`")
    return watch_execution(begun.execution, timeout, setup, output, quiet=quiet)


def _start(given: str, input_: str | None, key: str | None, setup: Setup, *, quiet: bool) -> Begun:
    reference = reference_of(given)
    if reference is None:
        raise UsageError(f"{given!r} is not a name of a workflow", hint="write NAME or NAME@VERSION")
    value = read_json(input_, "the input") if input_ is not None else None
    begun = run_in(open_starts(setup), lambda starts: starts.start(reference, value, key))
    if begun.warning is not None and not quiet:
        say(f"warning: {begun.warning}")
    return begun


def _told(begun: Begun) -> str:
    name = Reference(begun.workflow, begun.version)
    if not begun.is_new:
        return f"{name} was started with this key before: execution {begun.execution}, {begun.status}"
    return f"{name} started: execution {begun.execution}"


def run_at_server(
    workflow: str, given: str | None, key: str | None, timeout: int | None, setup: Setup, output: str, *, quiet: bool
) -> int:
    """Register the workflow in a file, if it is one, start it, follow it to its end, and print its result.

    Raises:
        InvalidDefinition: the server finds something wrong in the file. Conflict: (code `version-exists`) the version
            is there with other content.
    """
    value = read_json(given, "the input") if given is not None else None
    begun = _run_there(workflow, value, key, setup, quiet=quiet)
    if begun.warning is not None and not quiet:
        say(f"warning: {begun.warning}")
    return watch_execution(begun.execution, timeout, setup, output, quiet=quiet)


def _run_there(workflow: str, value: Any, key: str | None, setup: Setup, *, quiet: bool) -> Begun:
    import asyncio

    from stepwell.cli.remote.client import open_client

    async def run() -> Begun:
        async with open_client(setup) as client:
            served = Served(client, setup.same_store())
            reference = reference_unless_file(workflow) or await _registered(served, workflow, setup, quiet=quiet)
            return await ServedStarts(served).start(reference, value, key)

    return asyncio.run(run())


async def _registered(served: Served, file: str, setup: Setup, *, quiet: bool) -> Reference:
    """What the workflow in a file is registered as."""
    source, workflows = file_source(Path(file), setup), ServedWorkflows(served)
    found = await workflows.check(source)
    if not quiet:
        write_findings(found.findings, source, sys.stderr)
    report = (await workflows.register(source, draft=False, reason=None)).report
    return Reference(report["name"], report["version"])
