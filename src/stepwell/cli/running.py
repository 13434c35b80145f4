"""`run`: from a file, or an execution's id, to its end."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, NamedTuple

from stepwell.app.configuration import Configuration
from stepwell.app.notifications import channels_of
from stepwell.app.policies import policies_of
from stepwell.app.process import settle_process
from stepwell.app.registries import Registries
from stepwell.app.report import execution_report
from stepwell.app.session import Session, open_session, open_store
from stepwell.base.clock import SystemClock
from stepwell.base.durations import format_duration
from stepwell.base.errors import Conflict, StepwellError
from stepwell.base.spans import Source
from stepwell.cli.failures import Stopped, TimedOut
from stepwell.cli.findings import write_findings
from stepwell.cli.given import read_json
from stepwell.cli.interrupts import Interrupted, Interrupts, OutOfTime
from stepwell.cli.opening import (
    catalogue_for,
    checked,
    configuration_of,
    configured_for,
    events_of,
    reading_codec,
    reading_of,
    registries_of,
    require_store,
)
from stepwell.cli.options import Setup
from stepwell.cli.progress import Progress, Watcher
from stepwell.cli.sources import source_to_run
from stepwell.cli.streams import is_terminal, output_kept_clean, say
from stepwell.cli.summary import exit_status_of, print_result
from stepwell.decider.create import Start, create
from stepwell.decider.plan import Plan
from stepwell.definition.diagnostics import InvalidDefinition
from stepwell.execution.history import HistoryEvent
from stepwell.execution.state import ExecutionState
from stepwell.execution.status import ExecutionStatus
from stepwell.ports.store import Store
from stepwell.store.factory import is_in_memory


class Request(NamedTuple):
    """What was asked of `run`, beside what to run. `timeout` in microseconds."""

    setup: Setup
    output: str
    quiet: bool
    timeout: int | None


class Ended(NamedTuple):
    """How the wait for an execution ended: with its report, and with an error when it goes on."""

    report: dict[str, Any]
    error: StepwellError | None = None


def run_workflow(workflow: str, given: str | None, key: str | None, request: Request) -> int:
    """Run the workflow in a file, or a registered one, to its end.

    Nothing is started before the definition and the input are known to be right.
    """
    with output_kept_clean():
        configuration = configuration_of(request.setup)
        registries = registries_of(request.setup)
        value = read_json(given, "the input") if given is not None else None
        source = source_to_run(workflow, configuration, request.setup, quiet=request.quiet)
        plan = _checked_plan(source, configuration, registries)
        configuration = configured_for(plan.definition, configuration)
        create(plan, Start(id="", input=value, seed=b""), SystemClock().now())  # would the start be accepted?
        ended = asyncio.run(_Run(request, configuration, registries).start(plan, value, key))
    return _finish(ended, request)


def resume_execution(execution: str, request: Request) -> int:
    """Go on with an execution that was interrupted; of one that has ended, the result again."""
    with output_kept_clean():
        configuration = configuration_of(request.setup)
        registries = registries_of(request.setup)
        require_store(configuration)
        ended = asyncio.run(_Run(request, configuration, registries).resume(execution))
    return _finish(ended, request)


def _checked_plan(source: Source, configuration: Configuration, registries: Registries) -> Plan:
    try:
        definition, loaded = checked(source, catalogue_for(configuration, registries))
    except InvalidDefinition as error:
        error.hint = _what_is_missing(error, configuration, registries)
        raise
    write_findings(loaded.diagnostics, source, sys.stderr)
    return Plan(definition, policies_of(configuration), sorted(channels_of(configuration)))


def _what_is_missing(error: InvalidDefinition, configuration: Configuration, registries: Registries) -> str | None:
    """How names that are defined outside of the document are made known, when none of their kind is."""
    codes = {finding.code for finding in error.diagnostics}
    hints = []
    of_tasks = codes & {"unknown-type", "unknown-task", "unknown-rule", "unknown-action"}
    if of_tasks and not list(registries.tasks.names()):
        hints.append("tasks and rules of your own are made known with --import MODULE")
    if "unknown-service" in codes and not configuration.services:
        hints.append("services are named in stepwell.yaml, or in the file given with --config")
    return "; ".join(hints) or None


def _finish(ended: Ended, request: Request) -> int:
    """Print the result. What was interrupted is printed, as it stands, to programs only."""
    if ended.error is None or request.output != "table":
        print_result(ended.report, request.output, quiet=request.quiet)
    if ended.error is not None:
        raise ended.error
    return exit_status_of(ended.report)


def _is_telling(report: dict[str, Any]) -> bool:
    """Whether somebody is still to be told something, although the execution has ended."""
    return any(each["status"] == "pending" for told in report["notifications"] for each in told["deliveries"])


def _asked_of_an_operator(state: ExecutionState) -> tuple[str, str] | None:
    """What has to be done before the execution goes on, and the verb that does it."""
    if state.status is ExecutionStatus.PAUSED:
        return "it is paused; to end the pause", "resume"
    if state.compensation_awaited:
        return "its compensation waits to be started; to start it", "compensate"
    return None


class _Run:
    """One call of `run`."""

    def __init__(self, request: Request, configuration: Configuration, registries: Registries) -> None:
        self._request = request
        self._configuration = configuration
        self._registries = registries
        self._interrupts = Interrupts()
        self._watcher = Watcher()

    async def start(self, plan: Plan, given: Any, key: str | None) -> Ended:
        """Start an execution and wait for its end; with a key that was used before, wait for that execution's end."""
        with self._interrupts.listening():
            async with open_store(self._configuration) as store:
                async with self._session(store, None) as session:
                    await session.definitions.keep(plan)
                    execution = await session.engine.start(plan, given, start_key=key)
                    if execution in self._watcher.created:
                        self._say(f"{plan.definition.name} {plan.definition.version}, execution {execution}")
                        return await self._wait(session, execution, plan, [])
                self._say(f"the key was used before: this is execution {execution}")
                return await self._go_on(store, execution)

    async def resume(self, execution: str) -> Ended:
        """Go on with an execution."""
        with self._interrupts.listening():
            async with open_store(self._configuration) as store:
                return await self._go_on(store, execution)

    async def _go_on(self, store: Store, execution: str) -> Ended:
        reading = reading_of(store)
        if await reading.is_over(execution):
            report = await reading.execution(execution)
            if not _is_telling(report):
                return Ended(report)
        shard = await reading.shard_of(execution)
        past = [event async for event in events_of(store, reading_codec(), execution)]
        try:
            async with self._session(store, shard) as session:
                stored = await store.load(execution)
                assert stored is not None, "it was there a moment ago, and executions are not deleted"
                plan = await session.definitions.plan(stored.created.digest)
                self._say(f"{plan.definition.name} {plan.definition.version}, execution {execution} goes on")
                return await self._wait(session, execution, plan, past)
        except Conflict as conflict:
            if conflict.code != "shard-owned":
                raise
            hint = f"to follow it: stepwell execution watch {execution}{self._request.setup.same_store()}"
            raise Conflict(f"the execution is being run: {conflict.message}", code=conflict.code, hint=hint) from None

    async def _wait(self, session: Session, execution: str, plan: Plan, past: Sequence[HistoryEvent]) -> Ended:
        """Wait for the end, and show how the execution gets on."""
        progress = None if self._request.quiet else self._progress(execution, plan, past)
        self._watcher.follow(execution, progress)
        try:
            with progress.shown() if progress is not None else nullcontext():
                work = session.engine.ended(execution)
                state = await self._interrupts.wait_for(work, self._request.timeout)
                if state.untold:
                    await session.engine.told()
            return Ended(execution_report(plan, state))
        except (Interrupted, OutOfTime) as why:
            state = await session.engine.state(execution)
            return Ended(execution_report(plan, state), self._unfinished(state, why))
        except StepwellError as error:
            error.hint = "; ".join(filter(None, (error.hint, self._how_to_go_on(execution))))
            raise

    def _unfinished(self, state: ExecutionState, why: Exception) -> StepwellError:
        hint = self._how_to_go_on(state.id)
        if (asked := _asked_of_an_operator(state)) is not None:
            what, verb = asked
            hint = f"{what}: stepwell execution {verb} {state.id}{self._request.setup.same_store()}; {hint}"
        if isinstance(why, Interrupted):
            return Stopped("the execution was interrupted", hint=hint)
        return TimedOut(f"it has not ended within {format_duration(self._request.timeout or 0)}", hint=hint)

    def _how_to_go_on(self, execution: str) -> str:
        if is_in_memory(self._configuration.state_store.url):
            return "it was kept in memory only, and is gone"
        return f"to go on: stepwell run --resume {execution}{self._request.setup.again()}"

    def _session(self, store: Store, shard: int | None) -> AbstractAsyncContextManager[Session]:
        settle_process()
        return open_session(
            self._configuration, self._registries, store=store, shard=shard, observer=self._watcher, announce=say
        )

    def _progress(self, execution: str, plan: Plan, past: Sequence[HistoryEvent]) -> Progress:
        sendable = not is_in_memory(self._configuration.state_store.url)
        progress = Progress(execution, plan.definition, self._request.setup if sendable else None)
        progress.recall(past)
        return progress

    def _say(self, message: str) -> None:
        if not self._request.quiet and not is_terminal(sys.stderr):
            say(message)
