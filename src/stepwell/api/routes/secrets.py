"""Secrets that the store keeps: their values go in, and never out."""

from __future__ import annotations

from typing import Annotated

from fastapi import Body, Path
from pydantic import Field, StringConstraints
from starlette.requests import Request
from starlette.responses import Response

from stepwell.api.answers import answer
from stepwell.api.bodies import Body as BodyModel
from stepwell.api.bodies import Name
from stepwell.api.caller import Caller, Calling, Doing
from stepwell.api.context import Here
from stepwell.api.routing import problems
from stepwell.api.routing import router as new_router
from stepwell.api.shapes import Shape
from stepwell.app.access import Forbidden
from stepwell.app.serving import Parts
from stepwell.base.errors import NotFound
from stepwell.services.secrets import LARGEST

router = new_router("secrets")

SecretName = Annotated[str, Path(description="As in `secrets.NAME`.", max_length=128)]


class SetSecretBody(BodyModel):
    """Sets a secret."""

    value: Annotated[str, StringConstraints(min_length=1, max_length=LARGEST)] = Field(
        json_schema_extra={"writeOnly": True}
    )
    namespaces: list[Name] | None = Field(default=None, description="Whose workflows may use it; null for all.")


class Secret(Shape):
    """A secret: nothing of its value. `key` names the key that it is encrypted with."""

    name: str
    namespaces: list[str] | None
    key: str
    created_at: str
    created_by: str
    updated_at: str
    updated_by: str


class SecretList(Shape):
    """All secrets, in order of name."""

    items: list[Secret]
    next: str | None = None


@router.get("/secrets", operation_id="listSecrets", response_model=SecretList)
async def list_secrets(here: Here, caller: Calling) -> Response:
    """The names of the secrets that the store keeps, and who may use them. Values are never shown."""
    found = [each for each in await here.session.secret_store.list() if _is_of(caller, each["namespaces"])]
    return answer({"items": found, "next": None})


@router.put(
    "/secrets/{name}", operation_id="setSecret", response_model=Secret, responses=problems(404, 409, 413, 415, 422)
)
async def set_secret(
    here: Here,
    request: Request,
    caller: Calling,
    doer: Doing,
    name: SecretName,
    body: Annotated[SetSecretBody, Body()],
) -> Response:
    """Set a secret, in place of the one of that name if there is one. It is used from the next step on."""
    await _check_change(here, caller, name)
    if not _is_of(caller, body.namespaces):
        raise Forbidden("the secret would be for namespaces that this caller may not see")
    made = await here.session.secret_store.set(name, body.value, body.namespaces, doer)
    request.scope["audited"] = True
    return answer(made)


@router.delete("/secrets/{name}", operation_id="deleteSecret", status_code=204, responses=problems(404, 409))
async def delete_secret(here: Here, request: Request, caller: Calling, doer: Doing, name: SecretName) -> Response:
    """Forget a secret."""
    await _check_change(here, caller, name)
    await here.session.secret_store.delete(name, doer)
    request.scope["audited"] = True
    return Response(status_code=204)


async def _check_change(here: Parts, caller: Caller, name: str) -> None:
    """Whether the caller may change a secret. Names are of the whole server, so one of others cannot be taken.

    Raises:
        NotFound: it is there, and of other namespaces.
    """
    if caller.namespaces is None:
        return
    known = {each["name"]: each["namespaces"] for each in await here.session.secret_store.list()}
    if name in known and not _is_of(caller, known[name]):
        raise NotFound(f"there is no secret {name!r}", code="unknown-secret")


def _is_of(caller: Caller, namespaces: list[str] | None) -> bool:
    """Whether everything that may use it is the caller's."""
    return caller.namespaces is None or (namespaces is not None and caller.namespaces >= frozenset(namespaces))
