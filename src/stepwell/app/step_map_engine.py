"""The engine as programs use it that run step maps."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from stepwell.app.configuration import Configuration, configuration_from
from stepwell.app.definitions import Definition
from stepwell.app.following import Following
from stepwell.app.workflow_engine import WorkflowEngine
from stepwell.base.clock import Clock
from stepwell.base.errors import NotFound, StepwellError, StoreError, UsageError
from stepwell.dialects.step_map.dialect import STEP_MAP
from stepwell.dialects.step_map.names import workflow_name
from stepwell.dialects.step_map.shapes import metrics_of, status_of
from stepwell.ports.models import ModelProvider
from stepwell.ports.work import Observer
from stepwell.tasks.executors import Executor

MAX_PARALLEL_STEPS: Final = 10
BASE_DELAY: Final = 1.0
MAX_DELAY: Final = 60.0

_log = logging.getLogger(__name__)


class InvalidArgument(UsageError, ValueError):
    """An argument has a value that makes no sense."""

    code = "invalid-argument"


class WorkflowExecutionEngine(WorkflowEngine):
    """Runs step maps (`{id, steps: {name: {type, input, depends_on}}}`) durably in this process.

        engine = WorkflowExecutionEngine(max_parallel_steps=10)
        result = await engine.execute_workflow(workflow)  # or engine.run(workflow), without an event loop

    It is a `WorkflowEngine` that takes every definition as a step map, unless its call says another dialect.

    Args:
        max_parallel_steps: how many steps run at once, of all workflows of this engine together.
        base_delay, max_delay: the first and the longest wait before another try, in seconds, for workflows that do not
            say it.
        config: see `WorkflowEngine`; `execution.max_concurrent_tasks` is `max_parallel_steps`.
        tasks, executors, models, observer, clock: see `WorkflowEngine`.

    Raises:
        InvalidArgument: (a `ValueError`) `max_parallel_steps` is no number from 1 on, or a delay is negative.
        ConfigurationError: the configuration, a task or an executor is wrong.
    """

    def __init__(
        self,
        max_parallel_steps: int = MAX_PARALLEL_STEPS,
        *,
        base_delay: float = BASE_DELAY,
        max_delay: float = MAX_DELAY,
        config: Mapping[str, Any] | Configuration | None = None,
        tasks: Iterable[Callable[..., Any]] = (),
        executors: Mapping[str, Executor] | None = None,
        models: ModelProvider | None = None,
        observer: Observer | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._limit = _checked_limit(max_parallel_steps)
        self._delays = _checked_delays(base_delay, max_delay)
        self._following = Following(STEP_MAP.name, observer)
        configuration = config if isinstance(config, Configuration) else configuration_from(config or {})
        execution = configuration.execution.model_copy(update={"max_concurrent_tasks": self._limit})
        super().__init__(
            configuration.model_copy(update={"execution": execution}),
            tasks=tasks,
            executors=executors,
            models=models,
            observer=self._following,
            clock=clock,
        )

    async def start_workflow(
        self,
        definition: Definition,
        input: Any = None,  # noqa: A002
        *,
        key: str | None = None,
        dialect: str | None = STEP_MAP.name,
    ) -> str:
        """See `WorkflowEngine.start_workflow`."""
        return await super().start_workflow(self._with_delays(definition), input, key=key, dialect=dialect)

    async def execute_workflow(
        self,
        definition: Definition,
        input: Any = None,  # noqa: A002
        *,
        dialect: str | None = STEP_MAP.name,
    ) -> dict[str, Any]:
        """Run a workflow to its end; returns its result.

        `{status: "completed", results: {step: data}, execution_time: seconds}`, or `{status: "failed", failed_steps,
        errors: {step: {error, type, attempts}}, results, execution_time}`. When the engine itself fails, such as when
        its store is gone: `{status: "error", error}`.

        Raises:
            InvalidDefinition: with every finding and its place; nothing runs.
            UsageError, NotFound: the call is wrong.
        """
        try:
            return await super().execute_workflow(self._with_delays(definition), input, dialect=dialect)
        except StoreError as error:
            return {"status": "error", "error": str(error)}
        except StepwellError:
            raise
        except Exception as error:  # a defect: whoever runs a workflow is told, and not with a traceback
            _log.exception("the engine failed")
            return {"status": "error", "error": f"the engine failed unexpectedly ({type(error).__name__})"}

    def run(
        self,
        definition: Definition,
        input: Any = None,  # noqa: A002
        *,
        dialect: str | None = STEP_MAP.name,
    ) -> dict[str, Any]:
        """`execute_workflow` for callers without an event loop; see `WorkflowEngine.run`."""
        return super().run(definition, input, dialect=dialect)

    def get_execution_status(self, workflow_id: str) -> dict[str, Any]:
        """How far a workflow has come that this engine runs or has run: `{workflow_id, completed_steps,
        active_executions, step_results}`, of its newest execution. Only what is committed is in it.

        Args:
            workflow_id: the `id` of the workflow, or of an execution (what `start_workflow` returned).

        Raises:
            NotFound: (code `unknown-execution`) this engine has run none.
        """
        execution = self._execution(workflow_id)
        session = self._kept.value
        at_work = session.worker.at_work(execution) if session is not None else 0
        return status_of(self._following.report(execution, self._clock.now()), workflow_id, at_work)

    def get_metrics(self, workflow_id: str) -> dict[str, Any]:
        """How the newest execution of a workflow went, or goes, in numbers: `total_time`, `step_times`, `retry_counts`,
        `failure_rates`, `failure_rate`, `resource_utilization`. Times are in seconds.

        Raises:
            NotFound: (code `unknown-execution`) this engine has run none.
        """
        report = self._following.report(self._execution(workflow_id), self._clock.now())
        return metrics_of(report, self._limit)

    def _execution(self, workflow_id: str) -> str:
        execution = self._following.execution(workflow_id) or self._following.execution(workflow_name(workflow_id))
        if execution is None:
            raise NotFound(
                f"this engine has run no workflow {workflow_id!r}",
                code="unknown-execution",
                hint="get_workflow_status(execution_id) also knows what other processes ran in this store",
            )
        return execution

    def _with_delays(self, definition: Definition) -> Definition:
        """A step map that says how long this engine waits between tries, where it is not the usual and it says nothing:
        then it means the same wherever it goes on after a restart."""
        if not self._delays or not isinstance(definition, Mapping) or "steps" not in definition:
            return definition
        said = definition.get("retry")
        if said is not None and not isinstance(said, Mapping):
            return definition
        return {**definition, "retry": {**self._delays, **(said or {})}}


def _checked_limit(limit: Any) -> int:
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise InvalidArgument(f"max_parallel_steps is a whole number from 1 on, not {limit!r}")
    return limit


def _checked_delays(base_delay: Any, max_delay: Any) -> dict[str, float]:
    """The delays that are not the usual ones."""
    for name, delay in (("base_delay", base_delay), ("max_delay", max_delay)):
        if not isinstance(delay, (int, float)) or isinstance(delay, bool) or not 0 <= delay < float("inf"):
            raise InvalidArgument(f"{name} is a number of seconds from 0 on, not {delay!r}")
    if base_delay > max_delay:
        raise InvalidArgument(f"base_delay ({base_delay}) is longer than max_delay ({max_delay})")
    if (base_delay, max_delay) == (BASE_DELAY, MAX_DELAY):
        return {}
    return {"base_delay": base_delay, "max_delay": max_delay}
