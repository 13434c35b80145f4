"""Whether the server lives, and whether it is ready for work."""

from __future__ import annotations

from typing import Any, Literal

from starlette.responses import Response

from stepwell.api.answers import answer
from stepwell.api.context import Context
from stepwell.api.problems import Problem
from stepwell.api.routing import problems
from stepwell.api.routing import router as new_router
from stepwell.api.shapes import Shape
from stepwell.base.version import VERSION

router = new_router("health", prefix="")


class Alive(Shape):
    """The server answers."""

    status: Literal["alive"]
    version: str


class Ready(Shape):
    """The server can be used: what was looked at, and what does not work all the same."""

    status: Literal["ready"]
    checks: list[str]
    problems: list[str]


@router.get("/healthz", operation_id="isAlive", response_model=Alive)
async def is_alive() -> Response:
    """Whether the server's event loop runs. It does if there is an answer."""
    return answer({"status": "alive", "version": VERSION}, headers=_NEVER_KEPT)


@router.get("/readyz", operation_id="isReady", response_model=Ready, responses=problems())
async def is_ready(context: Context) -> Response:
    """Whether the store can be written, the engine runs and takes what comes in, and everything beside it works; 503,
    with the reasons in `errors`, when not or when the server is about to end."""
    checks = await context.parts.health.checks(is_closing=context.closing.is_set())
    wrong: list[dict[str, Any]] = [
        {"code": check.name, "message": f"{check.name}: {check.problem}"}
        for check in checks
        if check.problem and check.is_grave
    ]
    if wrong:
        said = "; ".join(each["message"] for each in wrong)
        raise Problem(503, f"not ready: {said}", code="not-ready", errors=wrong, headers=_NEVER_KEPT)
    names = [check.name for check in checks]
    problems_left = [f"{check.name}: {check.problem}" for check in checks if check.problem]
    return answer({"status": "ready", "checks": names, "problems": problems_left}, headers=_NEVER_KEPT)


_NEVER_KEPT = {"Cache-Control": "no-store"}
