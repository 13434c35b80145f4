"""Workflows that the tests of the command line run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_workflow(path: str, *steps: Mapping[str, Any], name: str = "demo", **spec: Any) -> Path:
    """A definition with these steps, in a JSON file."""
    document = {
        "apiVersion": "workflow/v1",
        "kind": "Workflow",
        "metadata": {"name": name, "version": "1.0.0"},
        "spec": {"steps": list(steps), **spec},
    }
    Path(path).write_text(json.dumps(document, indent=1))
    return Path(path)


def value(name: str, value: Any = 1, **more: Any) -> dict[str, Any]:
    """A step that computes something."""
    return {"name": name, "type": "transform", "config": {"value": value}, **more}


def task(name: str, task: str, **more: Any) -> dict[str, Any]:
    """A step that calls a task."""
    return {"name": name, "type": "python", "config": {"task": task}, **more}


def wait(name: str, event_type: str = "go", filter: Any = None, timeout: str = "1h", **more: Any) -> dict[str, Any]:  # noqa: A002
    """A step that waits for an event."""
    config = {"event_type": event_type, "timeout": timeout, **({"filter": filter} if filter else {})}
    return {"name": name, "type": "wait_for_event", "config": config, **more}


TASKS = """
import subprocess, sys
from stepwell import rule, task

tries = []

@task
def chatty() -> str:
    print("printed by a task")
    subprocess.run([sys.executable, "-c", "print('printed by a child')"], check=True)
    return "done"

@task
def boom() -> None:
    raise RuntimeError("it went \\x1b[31mboom")

@task
async def flaky() -> str:
    tries.append(1)
    if len(tries) < 3:
        raise ConnectionError("nobody answers")
    return "at last"

@rule
def even(value: int) -> bool:
    return value % 2 == 0

print("printed by an import")
"""


def write_tasks(path: str) -> Path:
    """A module with tasks. Its name must differ from test to test: modules are imported once."""
    Path(path).write_text(TASKS)
    return Path(path)
