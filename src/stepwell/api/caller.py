"""Who calls, as handlers see it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from stepwell.app.access import ANONYMOUS, ROLES, Caller, Role
from stepwell.app.audit import Doer, doer_of

__all__ = ["ANONYMOUS", "ROLES", "Caller", "Calling", "Doing", "Role", "caller_of", "doer_in"]


def caller_of(request: Request) -> Caller:
    """Who sent the request. That it is known was seen to before the request came to its route."""
    caller: Caller = request.scope["caller"]
    return caller


def doer_in(request: Request) -> Doer:
    """The same for the audit log, with where the request came from."""
    return doer_of(caller_of(request), request.scope.get("address", ""), request.scope.get("request_id", ""))


Calling = Annotated[Caller, Depends(caller_of)]
"""The type of a handler's argument that is the caller."""

Doing = Annotated[Doer, Depends(doer_in)]
"""The type of a handler's argument that names the caller in the audit log."""
