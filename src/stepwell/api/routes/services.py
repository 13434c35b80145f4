"""The services that workflows call."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Body
from starlette.responses import Response

from stepwell.api.answers import answer
from stepwell.api.context import Here
from stepwell.api.routing import problems
from stepwell.api.routing import router as new_router
from stepwell.api.shapes import Shape
from stepwell.app.service_settings import ServiceSettings

router = new_router("services")


class Instance(Shape):
    """An instance of a service: its calls, and until when it is left alone after failures."""

    url: str
    running: int
    calls: int
    failures: int
    left_out_until: str | None


class ServiceShape(Shape):
    """A service. Credentials are not shown. One that is not `configured` was added while a server ran."""

    name: str
    url: str
    srv: str | None
    balance: str
    configured: bool
    instances: list[Instance]


class ServiceList(Shape):
    """All services."""

    items: list[ServiceShape]


Settings = Annotated[
    dict[str, Any],
    Body(description="As under `services` of the configuration.", examples=[{"urls": ["https://a.example"]}]),
]


@router.get("/services", operation_id="listServices", response_model=ServiceList)
async def list_services(here: Here) -> Response:
    """Every service, in order of name."""
    return answer({"items": here.service(ServiceSettings).list()})


@router.get("/services/{name}", operation_id="getService", response_model=ServiceShape, responses=problems(404))
async def get_service(here: Here, name: str) -> Response:
    """One service."""
    return answer(here.service(ServiceSettings).one(name))


@router.put(
    "/services/{name}", operation_id="putService", response_model=ServiceShape, responses=problems(409, 415, 422)
)
async def put_service(here: Here, name: str, settings: Settings) -> Response:
    """Add a service, or change one that was added so: known at once here, and within seconds on every other node."""
    return answer(await here.service(ServiceSettings).put(name, settings))


@router.delete("/services/{name}", operation_id="deleteService", status_code=204, responses=problems(404, 409))
async def delete_service(here: Here, name: str) -> Response:
    """Remove a service that was added so. Steps that call it fail from now on."""
    await here.service(ServiceSettings).remove(name)
    return Response(status_code=204)
