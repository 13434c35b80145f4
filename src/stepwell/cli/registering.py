"""`workflow list`, `show`, `deprecate`, `retire`, `activate` and `default`: workflows by name and version."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from rich.console import RenderableType
from rich.text import Text

from stepwell.app.registry import Reference, reference_of
from stepwell.base.clock import SystemClock
from stepwell.base.errors import UsageError
from stepwell.cli.documents import emit
from stepwell.cli.options import Setup
from stepwell.cli.subjects.opening import run_in
from stepwell.cli.subjects.workflows import Workflows, open_workflows
from stepwell.cli.tables import rendered, table
from stepwell.cli.words import day_or_time
from stepwell.ports.records import Lifecycle

Report = Mapping[str, Any]
_STYLES: Final = {"active": "green", "deprecated": "yellow", "retired": "dim"}


def list_workflows(setup: Setup, output: str, *, name: str | None, tag: str | None, lifecycle: Lifecycle | None) -> int:
    """Print what is registered."""
    page = run_in(open_workflows(setup), lambda workflows: workflows.page(name=name, tag=tag, lifecycle=lifecycle))
    emit(page, output, lambda: _list_text(page["items"]))
    return 0


def _list_text(items: Sequence[Report]) -> str:
    if not items:
        return "no workflows"
    now = SystemClock().now()
    rows = [(*_cells(item), day_or_time(item["registered_at"], now), item["registered_by"]) for item in items]
    return rendered(table("workflow", "version", "", "lifecycle", "tags", "registered", "by", cut="tags", rows=rows))


def _cells(item: Report) -> Iterator[RenderableType]:
    yield item["name"]
    yield item["version"]
    yield "default" if item["default"] else ""
    yield Text(item["lifecycle"], _STYLES.get(item["lifecycle"], ""))
    yield ", ".join(item["tags"])


def show_workflow(given: str, setup: Setup, output: str) -> int:
    """Print the source of a registered workflow, or all that is known of it."""
    reference = _reference(given)
    report = run_in(open_workflows(setup), lambda workflows: workflows.show(reference))
    emit(report, output, lambda: str(report["text"]))
    return 0


def set_lifecycle(given: str, to: Lifecycle, reason: str | None, setup: Setup, output: str) -> int:
    """Move a version on in its life, and print what it is now."""
    return _change(given, setup, output, lambda workflows, *version: workflows.set_lifecycle(*version, to, reason))


def set_default(given: str, reason: str | None, setup: Setup, output: str) -> int:
    """Choose the version that the name alone means."""
    return _change(given, setup, output, lambda workflows, *version: workflows.set_default(*version, reason))


def _change(given: str, setup: Setup, output: str, alter: Callable[[Workflows, str, str], Awaitable[Report]]) -> int:
    name, version = _reference(given)
    if version is None:
        raise UsageError(
            f"{name!r} names no version", hint=f"write NAME@VERSION; `stepwell workflow list --name {name}` shows them"
        )
    report = run_in(open_workflows(setup), lambda workflows: alter(workflows, name, version))
    emit(report, output, lambda: _is_now(report))
    return 0


def _is_now(report: Report) -> str:
    default = ", and the default" if report["default"] else ""
    return f"{report['name']}@{report['version']} is {report['lifecycle']}{default}"


def _reference(given: str) -> Reference:
    reference = reference_of(given)
    if reference is None:
        raise UsageError(f"{given!r} is not a name of a workflow", hint="write NAME or NAME@VERSION")
    return reference
