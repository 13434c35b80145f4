"""All routes of the server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fastapi import APIRouter
from starlette.routing import Route

from stepwell.api.routes import (
    alerts,
    answering,
    api_keys,
    approvals,
    audit,
    brokers,
    cluster,
    dead_letters,
    events,
    executions,
    firings,
    health,
    logs,
    metrics,
    monitoring,
    operating,
    policies,
    schedules,
    secrets,
    services,
    starting,
    streams,
    subscriptions,
    webhooks,
    workers,
    workflows,
)

ROUTERS: Final[Sequence[APIRouter]] = (
    workflows.router,
    operating.router,
    executions.router,
    streams.router,
    events.router,
    approvals.router,
    answering.router,
    dead_letters.router,
    api_keys.router,
    audit.router,
    secrets.router,
    policies.router,
    services.router,
    schedules.router,
    webhooks.router,
    subscriptions.router,
    firings.router,
    brokers.router,
    workers.router,
    monitoring.router,
    cluster.router,
    logs.router,
    alerts.router,
    metrics.router,
    health.router,
)
"""One for each subject."""

HOT_ROUTES: Final[Sequence[Route]] = (starting.route,)
"""Plain routes for what is called often: they come first, and describe themselves to OpenAPI by hand."""
