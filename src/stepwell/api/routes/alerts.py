"""Alert rules: made, changed, deleted, and how they stand."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Body, Path
from pydantic import Field
from starlette.responses import Response

from stepwell.api.answers import answer, created
from stepwell.api.bodies import Body as BodyModel
from stepwell.api.bodies import Name
from stepwell.api.caller import Caller, Calling
from stepwell.api.context import Here
from stepwell.api.parameters import Cursor, Limit
from stepwell.api.problems import Problem
from stepwell.api.routing import PREFIX, creates, problems
from stepwell.api.routing import router as new_router
from stepwell.api.shapes import Shape
from stepwell.app.access import Forbidden
from stepwell.app.alert_rules import Rule, RuleState
from stepwell.app.alerting import Alerts
from stepwell.app.cursors import cursor_of, place_in
from stepwell.base.durations import DAY, SECOND, format_duration, parse_duration
from stepwell.base.errors import NotFound, UsageError
from stepwell.base.instants import to_rfc3339

router = new_router("alerts")

RuleName = Annotated[str, Path(description="The name of an alert rule.", max_length=200)]
Span = Annotated[str, Field(max_length=40, examples=["1h", "5m", "30s"])]


class AlertBody(BodyModel):
    """An alert rule: fires when `metric` `op` `threshold` has held for as long as `for`; over at `resolve_at`."""

    metric: Name = Field(examples=["error_rate", "execution_time.p95", "queue_depth"])
    op: Literal[">", ">=", "<", "<="] = ">"
    threshold: float = Field(allow_inf_nan=False)
    resolve_at: float | None = Field(default=None, allow_inf_nan=False, description="The threshold, unless given.")
    window: Span = Field(default="1h", description="Over what time rates and durations are taken.")
    for_: Span = Field(default="0s", alias="for", description="How long it must hold.")
    workflow: Name | None = Field(default=None, description="Of which workflow; null for all.")
    channels: list[Name] | None = Field(default=None, max_length=50, description="Over which channels; null for all.")
    recipients: list[Name] = Field(default=[], max_length=100)
    enabled: bool = True


class NewAlertBody(AlertBody):
    """An alert rule with its name."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$", max_length=128)]


class Alert(Shape):
    """An alert rule, and how it stands since when; `value` is what was seen then."""

    name: str
    metric: str
    op: Literal[">", ">=", "<", "<="]
    threshold: float
    resolve_at: float | None
    window: str
    for_: str = Field(alias="for")
    workflow: str | None
    channels: list[str] | None
    recipients: list[str]
    enabled: bool
    source: Literal["configuration", "api", "sla"]
    status: Literal["ok", "pending", "firing"]
    since: str | None
    value: float | None


class AlertList(Shape):
    """All rules, by name."""

    items: list[Alert]


class AlertHistory(Shape):
    """What became of a rule, newest first: changes (`from`, `to`, `value`) and who was told (`told`, `deliveries`)."""

    items: list[dict[str, Any]]
    next: str | None


@router.get("/alerts", operation_id="listAlerts", response_model=AlertList)
async def list_alerts(here: Here, caller: Calling) -> Response:
    """Every alert rule, and how it stands. Whoever sees only some namespaces sees the rules about their workflows."""
    alerts = here.service(Alerts)
    seen = [rule for rule in await alerts.rules() if _sees(caller, rule.workflow)]
    return answer({"items": [_shown(rule, await alerts.state(rule.name)) for rule in seen]})


@router.post(
    "/alerts",
    operation_id="createAlert",
    status_code=201,
    response_model=Alert,
    responses=problems(409, 413, 415, 422),
)
@creates
async def create_alert(here: Here, caller: Calling, body: Annotated[NewAlertBody, Body()]) -> Response:
    """Make an alert rule."""
    rule = _rule(body.name, body)
    _check_may(caller, rule.workflow)
    try:
        await here.service(Alerts).add(rule)
    except UsageError as error:
        raise _invalid(error) from None
    return created(_shown(rule, RuleState()), f"{PREFIX}/alerts/{rule.name}")


@router.get("/alerts/{name}", operation_id="getAlert", response_model=Alert, responses=problems(404))
async def get_alert(here: Here, caller: Calling, name: RuleName) -> Response:
    """One alert rule, and how it stands."""
    alerts = here.service(Alerts)
    return answer(_shown(await _seen(alerts, caller, name), await alerts.state(name)))


@router.put(
    "/alerts/{name}",
    operation_id="replaceAlert",
    response_model=Alert,
    responses=problems(404, 409, 413, 415, 422),
)
async def replace_alert(here: Here, caller: Calling, name: RuleName, body: Annotated[AlertBody, Body()]) -> Response:
    """Change an alert rule that was made over the API."""
    alerts = here.service(Alerts)
    await _seen(alerts, caller, name)
    rule = _rule(name, body)
    _check_may(caller, rule.workflow)
    try:
        await alerts.replace(rule)
    except UsageError as error:
        raise _invalid(error) from None
    return answer(_shown(rule, await alerts.state(name)))


@router.delete("/alerts/{name}", operation_id="deleteAlert", status_code=204, responses=problems(404, 409))
async def delete_alert(here: Here, caller: Calling, name: RuleName) -> Response:
    """Delete an alert rule that was made over the API."""
    alerts = here.service(Alerts)
    await _seen(alerts, caller, name)
    await alerts.remove(name)
    return Response(status_code=204)


@router.get(
    "/alerts/{name}/history", operation_id="getAlertHistory", response_model=AlertHistory, responses=problems(404)
)
async def get_alert_history(
    here: Here,
    caller: Calling,
    name: RuleName,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """What became of an alert rule, newest first."""
    alerts = here.service(Alerts)
    await _seen(alerts, caller, name)
    before = place_in(cursor, int)[0] if cursor is not None else None
    items = await alerts.history(name, limit, before)
    return answer({"items": items, "next": cursor_of(items[-1]["number"]) if len(items) == limit else None})


def _rule(name: str, body: AlertBody) -> Rule:
    values = body.model_dump()
    window = _duration("window", body.window, SECOND)
    lasting = _duration("for", body.for_, 0)
    channels = tuple(body.channels) if body.channels is not None else None
    known = values | {"window": window, "for_": lasting, "channels": channels, "recipients": tuple(body.recipients)}
    return Rule(**{**known, "name": name, "source": "api"})


def _duration(field: str, text: str, least: int) -> int:
    try:
        found = parse_duration(text)
    except ValueError as error:
        raise _field(field, str(error)) from None
    if not least <= found <= 366 * DAY:
        raise _field(field, f"expected a duration from {format_duration(least)} to 366d")
    return found


def _invalid(error: UsageError) -> Problem:
    field, _, message = error.message.partition(": ")
    return _field(field, message)


def _field(name: str, message: str) -> Problem:
    errors = [{"pointer": f"/{name}", "message": message}]
    return Problem(422, f"{name}: {message}", code="invalid-alert", errors=errors)


async def _seen(alerts: Alerts, caller: Caller, name: str) -> Rule:
    rule = await alerts.rule(name)
    if not _sees(caller, rule.workflow):
        raise NotFound(f"there is no alert rule {name!r}", code="unknown-alert")
    return rule


def _sees(caller: Caller, workflow: str | None) -> bool:
    return caller.namespaces is None or (workflow is not None and caller.sees(workflow))


def _check_may(caller: Caller, workflow: str | None) -> None:
    if not _sees(caller, workflow):
        raise Forbidden("an alert rule of this caller is about a workflow of a namespace that it sees")


def _shown(rule: Rule, state: RuleState) -> dict[str, Any]:
    return {
        "name": rule.name,
        "metric": rule.metric,
        "op": rule.op,
        "threshold": rule.threshold,
        "resolve_at": rule.resolve_at,
        "window": format_duration(rule.window),
        "for": format_duration(rule.for_),
        "workflow": rule.workflow,
        "channels": list(rule.channels) if rule.channels is not None else None,
        "recipients": list(rule.recipients),
        "enabled": rule.enabled,
        "source": rule.source,
        "status": state.status,
        "since": to_rfc3339(state.since) if state.since else None,
        "value": state.value,
    }
