"""stepwell: durable, declarative workflows.

A process is written down as YAML or JSON, and the engine runs it to the end whatever crashes on the way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stepwell.base.version import VERSION as __version__  # noqa: N811 - the usual name at the root of a package

if TYPE_CHECKING:
    from stepwell.app.handle import WorkflowHandle
    from stepwell.app.workflow_engine import WorkflowEngine, WorkflowExecution, WorkflowStatus
    from stepwell.base.errors import StepwellError
    from stepwell.ports import TaskContext, TaskError
    from stepwell.tasks.registry import rule, task

__all__ = [
    "StepwellError",
    "TaskContext",
    "TaskError",
    "WorkflowEngine",
    "WorkflowExecution",
    "WorkflowHandle",
    "WorkflowStatus",
    "__version__",
    "rule",
    "task",
]

_HOMES = {
    "StepwellError": "stepwell.base.errors",
    "TaskContext": "stepwell.ports",
    "TaskError": "stepwell.ports",
    "WorkflowEngine": "stepwell.app.workflow_engine",
    "WorkflowExecution": "stepwell.app.workflow_engine",
    "WorkflowHandle": "stepwell.app.handle",
    "WorkflowStatus": "stepwell.app.workflow_engine",
    "rule": "stepwell.tasks.registry",
    "task": "stepwell.tasks.registry",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that `import stepwell` costs nothing."""
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module 'stepwell' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
