"""API keys: made, listed, rotated, revoked. A key's secret is in one answer, and nowhere else."""

from __future__ import annotations

from typing import Annotated

from fastapi import Body, Path
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from stepwell.api.answers import answer
from stepwell.api.bodies import Body as BodyModel
from stepwell.api.bodies import Name
from stepwell.api.caller import Caller, Calling, Doing, Role
from stepwell.api.context import Here
from stepwell.api.parameters import Instant
from stepwell.api.routing import PREFIX, creates_secretly, problems
from stepwell.api.routing import router as new_router
from stepwell.api.shapes import Shape
from stepwell.app.access import Forbidden
from stepwell.app.keys import ApiKey, issued_report, key_report
from stepwell.app.security import Security
from stepwell.base.durations import DAY, SECOND
from stepwell.base.errors import NotFound

router = new_router("api keys")

KeyId = Annotated[str, Path(description="The id of the key, which is also in the key itself.", max_length=40)]


class CreateKeyBody(BodyModel):
    """Makes a key."""

    name: Name = Field(description="Who uses it.")
    role: Role
    namespaces: list[Name] | None = Field(default=None, description="Those that it opens; null for all.")
    expires_at: Instant | None = Field(default=None, description="When it stops being good.")


class RotateKeyBody(BodyModel):
    """Replaces a key."""

    overlap_seconds: int = Field(
        default=0, ge=0, le=30 * DAY // SECOND, description="How long the old key is still good."
    )


class Key(Shape):
    """An API key: nothing of its secret."""

    id: str
    name: str
    role: Role
    namespaces: list[str] | None
    status: str
    created_at: str
    created_by: str
    expires_at: str | None
    last_used_at: str | None
    revoked_at: str | None
    revoked_by: str | None
    replaces: str | None


class IssuedKey(Key):
    """A new API key, with the token that is never shown again."""

    token: str


class KeyList(Shape):
    """All keys, the newest first."""

    items: list[Key]
    next: str | None = None


@router.get("/api-keys", operation_id="listApiKeys", response_model=KeyList)
async def list_keys(here: Here, caller: Calling) -> Response:
    """All keys, those that are no longer good too, the newest first."""
    now = here.clock.now()
    found = [key for key in await here.service(Security).keys.list() if _covers(caller, key.namespaces)]
    return answer({"items": [key_report(key, now) for key in found], "next": None})


@router.post(
    "/api-keys",
    operation_id="createApiKey",
    status_code=201,
    response_model=IssuedKey,
    responses=problems(413, 415, 422),
)
@creates_secretly
async def create_key(
    here: Here, request: Request, caller: Calling, doer: Doing, body: Annotated[CreateKeyBody, Body()]
) -> Response:
    """Make a key. The first one that is made closes an open server: from then on it asks who calls."""
    security = here.service(Security)
    _check_covers(caller, body.namespaces)
    issued = await security.keys.create(body.name, body.role, body.namespaces, body.expires_at, doer)
    request.scope["audited"] = True
    security.close_now()
    made = issued_report(issued, here.clock.now())
    return answer(made, 201, headers={"Location": f"{PREFIX}/api-keys/{issued.key.id}"})


@router.get("/api-keys/{id}", operation_id="getApiKey", response_model=Key, responses=problems(404))
async def get_key(here: Here, caller: Calling, id: KeyId) -> Response:  # noqa: A002 - its name in the path
    """One key."""
    return answer(key_report(await _seen(here, caller, id), here.clock.now()))


@router.post(
    "/api-keys/{id}/rotate",
    operation_id="rotateApiKey",
    status_code=201,
    response_model=IssuedKey,
    responses=problems(404, 409, 413, 415, 422),
)
@creates_secretly
async def rotate_key(
    here: Here,
    request: Request,
    caller: Calling,
    doer: Doing,
    id: KeyId,  # noqa: A002
    body: Annotated[RotateKeyBody, Body()] = RotateKeyBody(),  # noqa: B008 - never changed
) -> Response:
    """Make a key with the same rights, and have the old one end."""
    await _seen(here, caller, id)
    issued = await here.service(Security).keys.rotate(id, doer, body.overlap_seconds * SECOND)
    request.scope["audited"] = True
    made = issued_report(issued, here.clock.now())
    return answer(made, 201, headers={"Location": f"{PREFIX}/api-keys/{issued.key.id}"})


@router.delete("/api-keys/{id}", operation_id="revokeApiKey", response_model=Key, responses=problems(404, 409))
async def revoke_key(here: Here, request: Request, caller: Calling, doer: Doing, id: KeyId) -> Response:  # noqa: A002
    """Have the key open nothing from now on. It stays in the list."""
    await _seen(here, caller, id)
    revoked = await here.service(Security).keys.revoke(id, doer)
    request.scope["audited"] = True
    return answer(key_report(revoked, here.clock.now()))


async def _seen(here: Here, caller: Caller, id_: str) -> ApiKey:
    """The key, if the caller may see it: it opens nothing that the caller's own does not.

    Raises:
        NotFound: code `unknown-key`.
    """
    key = await here.service(Security).keys.get(id_)
    if not _covers(caller, key.namespaces):
        raise NotFound(f"there is no API key {id_!r}", code="unknown-key")
    return key


def _covers(caller: Caller, namespaces: list[str] | tuple[str, ...] | None) -> bool:
    return caller.namespaces is None or (namespaces is not None and caller.namespaces >= frozenset(namespaces))


def _check_covers(caller: Caller, namespaces: list[str] | None) -> None:
    """Nobody gives what is not theirs.

    Raises:
        Forbidden: the key would open what the caller's own does not.
    """
    if not _covers(caller, namespaces):
        raise Forbidden("the key would open namespaces that its maker may not see")
