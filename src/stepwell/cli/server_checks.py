"""What `doctor` looks at of a server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from stepwell.app.access import Unauthenticated
from stepwell.base.errors import StepwellError
from stepwell.base.version import VERSION
from stepwell.cli.checks import Check
from stepwell.cli.options import Setup

if TYPE_CHECKING:
    from stepwell.cli.remote.client import Client


def server_checks(setup: Setup) -> Sequence[Check]:
    """Whether the server answers, is ready, and knows who calls."""
    return asyncio.run(_checks(setup))


async def _checks(setup: Setup) -> Sequence[Check]:
    from stepwell.cli.remote.client import open_client

    try:
        async with open_client(setup) as client:
            return [await _alive(client), await _ready(client), await _token(client)]
    except StepwellError as error:
        return [Check("server", "fail", error.message, error.hint)]


async def _alive(client: Client) -> Check:
    """Raises: StepwellError: it does not answer, and nothing else can be known."""
    alive = (await client.probe("/healthz")).document
    version = alive.get("version") if isinstance(alive, dict) else None
    found = f"{client.base} is stepwell {version}"
    if version != VERSION:
        hint = f"this is {VERSION}; what one of them does not know, the other cannot use"
        return Check("server", "warn", found, hint)
    return Check("server", "ok", found)


async def _ready(client: Client) -> Check:
    try:
        ready = (await client.probe("/readyz")).document
    except StepwellError as error:
        return Check("readiness", "fail", error.message, error.hint)
    return Check("readiness", "ok", f"ready: {', '.join(ready['checks'])}")


async def _token(client: Client) -> Check:
    try:
        await client.get("/executions", {"limit": 1})
    except Unauthenticated as error:
        return Check("token", "fail", error.message, error.hint)
    except StepwellError as error:
        return Check("token", "warn", error.message, error.hint)
    said = "the token is good" if client.has_token else "the server asks nobody who he is"
    return Check("token", "ok", said)
