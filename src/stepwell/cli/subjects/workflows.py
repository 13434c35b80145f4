"""Registered workflows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple, Protocol

from stepwell.app.registry import Reference, Registry, full_report, registration_report
from stepwell.app.who import this_user
from stepwell.base.clock import SystemClock
from stepwell.base.spans import Source, Span
from stepwell.cli.noting import note
from stepwell.cli.options import Setup
from stepwell.cli.remote.address import quoted
from stepwell.cli.subjects.opening import OpenStore, Served, opened
from stepwell.definition.diagnostics import Diagnostic, InvalidDefinition
from stepwell.ports.records import Lifecycle

Report = Mapping[str, Any]
_JSON = "application/json"
_YAML = "application/yaml"


class Workflows(Protocol):
    """What commands ask about workflows. A name or version that there is not: NotFound, code `unknown-workflow` or
    `unknown-version`."""

    async def page(self, *, name: str | None, tag: str | None, lifecycle: Lifecycle | None) -> Report:
        """What is registered, by name, the newest version first."""
        ...

    async def show(self, reference: Reference) -> Report:
        """A version with its text."""
        ...

    async def set_lifecycle(self, name: str, version: str, to: Lifecycle, reason: str | None) -> Report:
        """Move a version on in its life; what it is then."""
        ...

    async def set_default(self, name: str, version: str, reason: str | None) -> Report:
        """Make it the version that the name alone means; what it is then."""
        ...


def open_workflows(setup: Setup) -> AbstractAsyncContextManager[Workflows]:
    """The workflows of the store or the server that the user named."""
    return opened(setup, StoredWorkflows, ServedWorkflows)


class StoredWorkflows:
    """Those of a store."""

    def __init__(self, at: OpenStore) -> None:
        self._store = at.store
        self._registry = Registry(at.store)

    async def page(self, *, name: str | None, tag: str | None, lifecycle: Lifecycle | None) -> Report:
        return await self._registry.list(name=name, tag=tag, lifecycle=lifecycle)

    async def show(self, reference: Reference) -> Report:
        registration = await self._registry.find(reference)
        return full_report(registration, await self._registry.definition(registration))

    async def set_lifecycle(self, name: str, version: str, to: Lifecycle, reason: str | None) -> Report:
        await self._registry.find(Reference(name, version))
        now, user = SystemClock().now(), this_user()
        registration = await self._store.set_lifecycle(name, version, to, at=now, by=user, reason=reason)
        await note(self._store, f"workflow.{to}", f"workflow:{name}/version:{version}")
        return registration_report(registration)

    async def set_default(self, name: str, version: str, reason: str | None) -> Report:
        await self._registry.find(Reference(name, version))
        now, user = SystemClock().now(), this_user()
        registration = await self._store.set_default(name, version, at=now, by=user, reason=reason)
        await note(self._store, "workflow.default", f"workflow:{name}/version:{version}")
        return registration_report(registration)


class Checked(NamedTuple):
    """What a server found in a text: the name and version in it when it can be read, and all findings."""

    name: str | None
    version: str | None
    findings: Sequence[Diagnostic]


class Sent(NamedTuple):
    """What became of a text that was registered. `report` has its name, version, digest and lifecycle."""

    is_new: bool
    report: Report


class ServedWorkflows:
    """Those of a server."""

    def __init__(self, at: Served) -> None:
        self._client = at.client

    async def page(self, *, name: str | None, tag: str | None, lifecycle: Lifecycle | None) -> Report:
        asked = {"name": name, "tag": tag, "lifecycle": lifecycle}
        return {"items": await self._client.pages("/workflows", asked), "next": None}

    async def show(self, reference: Reference) -> Report:
        report: Report = await self._client.get(_path(*reference), has="text")
        return report

    async def set_lifecycle(self, name: str, version: str, to: Lifecycle, reason: str | None) -> Report:
        return await self._change(name, version, {"lifecycle": to, "reason": reason})

    async def set_default(self, name: str, version: str, reason: str | None) -> Report:
        return await self._change(name, version, {"default": True, "reason": reason})

    async def _change(self, name: str, version: str, body: Report) -> Report:
        """Whatever it is now: who asks for this on a command line has not looked at it before."""
        answer = await self._client.send("PATCH", _path(name, version), body, headers={"If-Match": "*"})
        changed: Report = answer.document
        return changed

    async def check(self, source: Source) -> Checked:
        """What the server finds in a text; raises InvalidDefinition, with all of it, when it cannot be run there."""
        answer = await self._client.send(
            "POST", "/workflows/validate", source.text.encode(), parameters=_reading(source), headers=_kind(source)
        )
        told = answer.document
        findings = tuple(_finding(each, source) for each in told["items"])
        if not told["valid"]:
            raise InvalidDefinition(findings, source)
        return Checked(told["workflow"], told["version"], findings)

    async def register(self, source: Source, *, draft: bool, reason: str | None) -> Sent:
        """Register what a text says. Raises Conflict: the version has other content."""
        asked = {**_reading(source), "draft": "true" if draft else None, "reason": reason}
        answer = await self._client.send(
            "POST", "/workflows", source.text.encode(), parameters=asked, headers=_kind(source)
        )
        return Sent(answer.status == 201, answer.document)


def _path(name: str, version: str | None) -> str:
    whole = f"/workflows/{quoted(name)}"
    return whole if version is None else f"{whole}/versions/{quoted(version)}"


def _reading(source: Source) -> dict[str, str | None]:
    return {"dialect": source.dialect, "lenient": "true" if source.lenient else None}


def _kind(source: Source) -> dict[str, str]:
    return {"Content-Type": _JSON if source.name.endswith(".json") else _YAML}


def _finding(told: Report, source: Source) -> Diagnostic:
    """What a server found, about the text as it is called here."""
    span = Span(*(int(told.get(name) or 1) for name in ("line", "column", "end_line", "end_column")))
    return Diagnostic(
        code=str(told["code"]),
        message=str(told["message"]),
        span=span,
        severity="warning" if told["severity"] == "warning" else "error",
        hint=told.get("hint"),
        source_name=source.name,
    )
