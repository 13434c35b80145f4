"""stepwell: durable, declarative workflows.

A process is written down as YAML or JSON, and the engine runs it to the end whatever crashes on the way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stepwell.base.version import VERSION as __version__  # noqa: N811 - the usual name at the root of a package

if TYPE_CHECKING:
    from stepwell.app.builder import Workflow, step
    from stepwell.app.handle import WorkflowHandle
    from stepwell.app.lifecycle import LifecycleEvent
    from stepwell.app.step_map_engine import WorkflowExecutionEngine
    from stepwell.app.workflow_engine import WorkflowEngine, WorkflowExecution, WorkflowStatus
    from stepwell.base.errors import NotFound, StepwellError
    from stepwell.definition.diagnostics import InvalidDefinition
    from stepwell.ports.models import ModelAnswer, ModelProvider, ModelQuestion
    from stepwell.ports.notices import Notice, Notifier
    from stepwell.ports.services import SecretSource
    from stepwell.ports.work import TaskContext, TaskError, TaskHandler, TaskResult
    from stepwell.tasks.executors import ExecutionContext, ExecutionResult, StepExecutor, StepExecutorFactory, StepType
    from stepwell.tasks.registry import rule, task

__all__ = [
    "ExecutionContext",
    "ExecutionResult",
    "InvalidDefinition",
    "LifecycleEvent",
    "ModelAnswer",
    "ModelProvider",
    "ModelQuestion",
    "NotFound",
    "Notice",
    "Notifier",
    "SecretSource",
    "StepExecutor",
    "StepExecutorFactory",
    "StepType",
    "StepwellError",
    "TaskContext",
    "TaskError",
    "TaskHandler",
    "TaskResult",
    "Workflow",
    "WorkflowEngine",
    "WorkflowExecution",
    "WorkflowExecutionEngine",
    "WorkflowHandle",
    "WorkflowStatus",
    "__version__",
    "rule",
    "step",
    "task",
]

_HOMES = {
    "ExecutionContext": "stepwell.tasks.executors",
    "ExecutionResult": "stepwell.tasks.executors",
    "InvalidDefinition": "stepwell.definition.diagnostics",
    "LifecycleEvent": "stepwell.app.lifecycle",
    "ModelAnswer": "stepwell.ports.models",
    "ModelProvider": "stepwell.ports.models",
    "ModelQuestion": "stepwell.ports.models",
    "NotFound": "stepwell.base.errors",
    "Notice": "stepwell.ports.notices",
    "Notifier": "stepwell.ports.notices",
    "SecretSource": "stepwell.ports.services",
    "StepExecutor": "stepwell.tasks.executors",
    "StepExecutorFactory": "stepwell.tasks.executors",
    "StepType": "stepwell.tasks.executors",
    "StepwellError": "stepwell.base.errors",
    "TaskContext": "stepwell.ports.work",
    "TaskError": "stepwell.ports.work",
    "TaskHandler": "stepwell.ports.work",
    "TaskResult": "stepwell.ports.work",
    "Workflow": "stepwell.app.builder",
    "WorkflowEngine": "stepwell.app.workflow_engine",
    "WorkflowExecution": "stepwell.app.workflow_engine",
    "WorkflowExecutionEngine": "stepwell.app.step_map_engine",
    "WorkflowHandle": "stepwell.app.handle",
    "WorkflowStatus": "stepwell.app.workflow_engine",
    "rule": "stepwell.tasks.registry",
    "step": "stepwell.app.builder",
    "task": "stepwell.tasks.registry",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that `import stepwell` costs nothing."""
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module 'stepwell' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
