"""Who may do what, and the log of what was done."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stepwell.api.context import ServerContext
from stepwell.api.known_paths import PATHS
from stepwell.api.permissions import UNAUDITED, WHOLE_SERVER
from stepwell.api.problems import Problem, problem_response
from stepwell.api.routing import PREFIX
from stepwell.app.access import Caller
from stepwell.app.audit import Outcome, act_entry, doer_of
from stepwell.app.security import Security
from stepwell.base.clock import Clock
from stepwell.base.errors import StepwellError, StoreError
from stepwell.base.values import MASK

_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_SINGULAR: Final[Mapping[str, str]] = {"policies": "policy"}


class Authorization:
    """Answers 403 to a caller whose role is too low. Notes it in the audit log, and every change that is made.

    The answer to a change is sent when the entry is durable. A handler that notes a change itself, in the transaction
    that makes it, sets `scope["audited"]`; one that knows better what it was done to sets `scope["audit_on"]`.
    """

    def __init__(self, app: ASGIApp, context: ServerContext) -> None:
        self._app = app
        self._audit = context.parts.service(Security).audit
        self._clock: Clock = context.parts.clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        caller = scope["caller"]
        said = _refusal(scope, caller)
        if said is not None:
            return await problem_response(await self._refused(said, scope, caller))(scope, receive, send)
        if scope["method"] in _READING or (scope["method"], scope["template"]) in UNAUDITED:
            return await self._app(scope, receive, send)
        return await self._noted(scope, caller, receive, send)

    async def _refused(self, said: str, scope: Scope, caller: Caller) -> StepwellError:
        try:
            await self._note(scope, caller, 403, named_in(scope["template"], scope["parameters"]))
        except StoreError as error:
            return error
        return Problem(403, said, code="forbidden")

    async def _noted(self, scope: Scope, caller: Caller, receive: Receive, send: Send) -> None:
        failure: StepwellError | None = None

        async def sending(message: Message) -> None:
            nonlocal failure
            if message["type"] == "http.response.start":
                status = message["status"]
                if _is_told(status) and not scope.get("audited"):
                    try:
                        await self._note(scope, caller, status, _object(scope, message))
                    except StoreError as error:  # what was made is durable, but who made it is not
                        failure = error
                        await problem_response(error)(scope, receive, send)
            if failure is None:
                await send(message)

        await self._app(scope, receive, sending)

    async def _note(self, scope: Scope, caller: Caller, status: int, on: str) -> None:
        doer = doer_of(caller, scope["address"], scope.get("request_id", ""))
        what = f"{scope['method']} {scope['template'].removeprefix(PREFIX)}"
        now = self._clock.now()
        await self._audit.note(act_entry(doer, what, on, now, outcome=_outcome(status), status=status))


def _refusal(scope: Scope, caller: Caller) -> str | None:
    """Why the caller may not do this, or None."""
    permission = scope["permission"]
    if permission == "anybody":
        return None
    if not caller.has(permission):
        return f"this takes the role {permission}, and {caller.name} has the role {caller.role}"
    if caller.namespaces is not None and (scope["method"], scope["template"]) in WHOLE_SERVER:
        return f"this concerns all namespaces, and {caller.name} may not see them all"
    return None


def named_in(template: str, parameters: Mapping[str, Any]) -> str:
    """What a path names: `execution:ID`, `workflow:NAME/version:V`. A token in it is a proof, and is not repeated."""
    parts = template.split("/")
    found = []
    for before, part in pairwise(parts):
        if part.startswith("{"):
            name = part[1:-1].partition(":")[0]
            value = MASK if name == "token" else parameters[name]
            of = "" if before.startswith("{") else f"{_SINGULAR.get(before, before.removesuffix('s'))}:"
            found.append(of + str(value))
    return "/".join(found)


def _object(scope: Scope, message: Message) -> str:
    """What was changed: as the handler says, what the answer says was made, or what the path names."""
    if "audit_on" in scope:
        return str(scope["audit_on"])
    location = next((value for name, value in message.get("headers", ()) if name.lower() == b"location"), None)
    made = PATHS.find("GET", location.decode("latin-1").partition("?")[0]) if location is not None else None
    return named_in(*made) if made is not None else named_in(scope["template"], scope["parameters"])


def _is_told(status: int) -> bool:
    """What was done, what one may not do, and what broke; not what made no sense."""
    return status < 400 or status == 403 or status >= 500


def _outcome(status: int) -> Outcome:
    return "done" if status < 400 else "refused" if status < 500 else "failed"
