"""All routes of the server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fastapi import APIRouter
from starlette.routing import Route

from stepwell.api.routes import executions

ROUTERS: Final[Sequence[APIRouter]] = (executions.router,)
"""One for each subject."""

HOT_ROUTES: Final[Sequence[Route]] = ()
"""Plain routes for what is called often: they come first, and describe themselves to OpenAPI by hand."""
