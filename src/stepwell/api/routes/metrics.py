"""Metrics for Prometheus."""

from __future__ import annotations

import logging

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from stepwell.api.context import Here
from stepwell.api.routing import produces
from stepwell.api.routing import router as new_router
from stepwell.base.errors import StoreError

_log = logging.getLogger(__name__)

router: APIRouter = new_router("metrics", prefix="")

PLAIN = "text/plain"
OPEN_METRICS = "application/openmetrics-text"


@router.get(
    "/metrics",
    operation_id="scrapeMetrics",
    response_class=Response,
    responses={
        200: {
            "description": "Every metric, in the text format of Prometheus or, when `Accept` asks for it, OpenMetrics.",
            "content": {PLAIN: {"schema": {"type": "string"}}, OPEN_METRICS: {"schema": {"type": "string"}}},
        }
    },
)
@produces(PLAIN, OPEN_METRICS)
async def scrape_metrics(request: Request, here: Here) -> Response:
    """What was counted and measured. It names workflows of all namespaces, so only those who see all may ask."""
    try:
        here.metrics.gauges = await here.gauges()
    except StoreError as error:  # what was counted is there all the same, and wanted now more than ever
        _log.warning("metrics show what the store was last known to hold: %s", error)
    text, content_type = here.exposition.text(request.headers.get("accept", ""))
    return Response(text, headers={"Content-Type": content_type, "Cache-Control": "no-store"})
