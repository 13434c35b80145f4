"""Circuit breakers, bulkheads and rate limits: seen, and given other numbers while the server runs."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Body
from starlette.responses import Response

from stepwell.api.answers import answer
from stepwell.api.caller import Calling
from stepwell.api.context import Here
from stepwell.api.routing import problems
from stepwell.api.routing import router as new_router
from stepwell.api.shapes import Shape
from stepwell.app.policy_settings import PolicySettings
from stepwell.policy.limits import PolicyKind

router = new_router("policies")


class PolicyShape(Shape):
    """A policy: its numbers in force, who set them when, if somebody did while the server ran, and how it stands.
    `opened_at` and `next_try_at` are there once it was used, and say something of a circuit breaker that is open."""

    name: str
    kind: PolicyKind
    policy: dict[str, Any] | None
    set_by: str | None
    set_at: str | None
    state: str | None
    running: int | None
    waiting: int
    rejected: int
    failures: int | None
    error_rate: float | None
    opened_at: str | None = None
    next_try_at: str | None = None


class PolicyList(Shape):
    """All policies that have a name and are configured, set or in use."""

    items: list[PolicyShape]


Numbers = Annotated[
    dict[str, Any], Body(description="The numbers, as in the configuration.", examples=[{"max_concurrent": 5}])
]


@router.get("/policies", operation_id="listPolicies", response_model=PolicyList)
async def list_policies(here: Here) -> Response:
    """Every policy, in order of name. `rejected` and the like count since this server was started."""
    return answer({"items": here.service(PolicySettings).list()})


@router.put(
    "/policies/{kind}/{name:path}",
    operation_id="setPolicy",
    response_model=PolicyShape,
    responses=problems(404, 415, 422),
)
async def set_policy(here: Here, caller: Calling, kind: PolicyKind, name: str, numbers: Numbers) -> Response:
    """Put other numbers in force, at once here and within seconds on every other node."""
    return answer(await here.service(PolicySettings).set(kind, name, numbers, caller.name))


@router.delete("/policies/{kind}/{name:path}", operation_id="clearPolicy", status_code=204, responses=problems(404))
async def clear_policy(here: Here, kind: PolicyKind, name: str) -> Response:
    """Have what the definition or the configuration says be in force again."""
    await here.service(PolicySettings).clear(kind, name)
    return Response(status_code=204)


@router.post(
    "/circuit-breakers/reset/{name:path}", operation_id="resetCircuitBreaker", status_code=204, responses=problems(404)
)
async def reset_circuit_breaker(here: Here, name: str) -> Response:
    """Close a circuit breaker of this server, and count anew."""
    here.service(PolicySettings).reset(name)
    return Response(status_code=204)
