"""What stands in a pack beside workflows: actions and rules, as task graphs that mean the same."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from stepwell.base.instants import from_rfc3339, to_rfc3339
from stepwell.dialects.graphs.schemas import schema_of

_FROM_ACTION: Final = ("ref", "label", "description", "parameters", "output", "tags", "enabled")
"""What the metadata of an action says for the workflow that it is."""

_HTTP_INPUT: Final[Mapping[str, Any]] = {
    "url": None,
    "method": "GET",
    "headers": {},
    "query_params": {},
    "json_body": None,
    "body": None,
}
"""The input of an HTTP request that a parameter of the same name gives, and what it is without one."""

_METHOD: Final = re.compile(r"(GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS)\s+(\S+)")
_UNITS: Final[Mapping[str, str]] = {
    "millisecond": "ms", "second": "s", "minute": "m", "hour": "h", "day": "d",
}  # fmt: skip
_TIMERS: Final[Mapping[str, str]] = {
    "core.intervaltimer": "interval",
    "core.interval": "interval",
    "core.crontimer": "cron",
    "core.cron": "cron",
    "core.datetimetimer": "datetime",
    "core.datetime": "datetime",
}
"""Triggers that are times, and the kind of timer that each is."""

_WEBHOOK: Final = "core.webhook"
_OPERATORS: Final[Mapping[str, str]] = {
    "equals": "~eq", "eq": "~eq", "not_equals": "~neq", "ne": "~neq", "greater_than": "~gt", "gt": "~gt",
    "less_than": "~lt", "lt": "~lt", "gte": "~gte", "lte": "~lte", "in": "~in", "not_in": "~nin",
    "contains": "~contains", "starts_with": "~starts", "ends_with": "~ends", "matches": "~regex",
}  # fmt: skip
_PAYLOAD: Final = re.compile(r"^(event\.)?payload\.")

EVENT: Final[Mapping[str, str]] = {
    "payload": "{{ event.payload }}",
    "type": "{{ event.type }}",
    "id": "{{ event.id }}",
    "source": "{{ event.source }}",
}
"""What a rule hands on of its event."""


class NotInPack(ValueError):
    """A file of a pack says something that cannot be done here."""


def workflow_of_action(action: Mapping[str, Any], graph: Mapping[str, Any], version: str) -> dict[str, Any]:
    """The task graph of an action that is a workflow: what its graph does not say itself is said by the action."""
    said = {key: action[key] for key in _FROM_ACTION if action.get(key) is not None and graph.get(key) is None}
    return {**said, **graph, "version": str(graph.get("version", version))}


def workflow_of_request(action: Mapping[str, Any], version: str) -> dict[str, Any]:
    """The task graph of an action that is an HTTP request.

    Raises:
        NotInPack: it does not say where to.
    """
    parameters = action.get("parameters") or {}
    names = schema_of(parameters).get("properties") or {}
    given = {name: _parameter(name, or_else) for name, or_else in _HTTP_INPUT.items() if name in names}
    written = str(action.get("entry_point") or "")
    method = _METHOD.fullmatch(written.strip())
    if method is not None:
        given = {**given, "method": method[1], "url": method[2]}
    elif written:
        given = {**given, "url": written}
    if "url" not in given:
        raise NotInPack(
            "an action with `runner_type: http` says where to: `entry_point: GET https://...`, or a parameter `url`"
        )
    result = {key: f"{{{{ task.request.result.{key} }}}}" for key in ("status_code", "headers", "body")}
    said = {key: action[key] for key in _FROM_ACTION if action.get(key) is not None and key != "output"}
    request = {"name": "request", "action": "core.http", "input": given}
    return {**said, "version": version, "tasks": [request], "output_map": result}


def _parameter(name: str, or_else: Any) -> str:
    if or_else is None:
        return f"{{{{ parameters.{name} | default(none) }}}}"
    return f"{{{{ parameters.{name} | default({or_else!r}) }}}}"


def workflow_of_rule(rule: Mapping[str, Any], version: str) -> dict[str, Any]:
    """The task graph that does what a rule says: started by its event or its times, it runs its action.

    Raises:
        NotInPack: its trigger, its conditions or its action cannot be read.
    """
    for key in ("ref", "action_ref"):
        if not isinstance(rule.get(key), str):
            raise NotInPack(f"a rule says its `{key}`")
    trigger = _trigger(rule) | {"filter": _filter(rule.get("conditions")), "map": {"event": dict(EVENT)}}
    said = {key: rule[key] for key in ("ref", "label", "description", "tags", "enabled") if rule.get(key) is not None}
    return {
        **said,
        "version": version,
        "parameters": {"event": {"type": "object", "default": {"payload": {}}}},
        "triggers": [{key: value for key, value in trigger.items() if value}],
        "tasks": [{"name": "run", "action": rule["action_ref"], "input": dict(rule.get("action_params") or {})}],
    }


def _trigger(rule: Mapping[str, Any]) -> dict[str, Any]:
    """The native trigger of a rule, without its filter."""
    named = rule.get("trigger_ref")
    timer = rule.get("timer")
    if isinstance(timer, Mapping) and len(timer) == 1:
        ((kind, settings),) = timer.items()
        return {"schedule": schedule(str(kind), settings)}
    if not isinstance(named, str):
        raise NotInPack("a rule says what starts it: `trigger_ref`, or a `timer`")
    if named in _TIMERS:
        return {"schedule": schedule(_TIMERS[named], rule.get("trigger_params"))}
    if named == _WEBHOOK:
        return {"webhook": _webhook(rule.get("trigger_params"))}
    return {"event": named}


def _webhook(settings: Any) -> dict[str, Any]:
    """The native webhook of `trigger_params: {path, verify}`.

    Raises:
        NotInPack: it has no path.
    """
    said = settings if isinstance(settings, Mapping) else {}
    path = said.get("path", said.get("url"))
    if not isinstance(path, str):
        raise NotInPack("a rule with `trigger_ref: core.webhook` says its `path` in `trigger_params`")
    return {"path": path.strip("/"), **({"verify": said["verify"]} if said.get("verify") is not None else {})}


def schedule(kind: str, settings: Any) -> dict[str, Any]:
    """The native schedule of a timer: `interval {unit, interval}`, `cron {expression, timezone}`, `datetime {fire_at,
    timezone}`.

    Raises:
        NotInPack: it cannot be read.
    """
    said = settings if isinstance(settings, Mapping) else {}
    match kind:
        case "interval":
            return {"every": _interval(said)}
        case "cron":
            zone = {"timezone": said["timezone"]} if said.get("timezone") else {}
            return {"cron": _cron(str(said.get("expression") or "")), **zone}
        case "datetime":
            return {"at": _instant(str(said.get("fire_at") or ""), said.get("timezone"))}
        case _:
            raise NotInPack(f"there is no timer {kind!r}; there are interval, cron and datetime")


def _interval(said: Mapping[str, Any]) -> str:
    unit, number = str(said.get("unit", "seconds")).removesuffix("s"), said.get("interval")
    if unit not in _UNITS or isinstance(number, bool) or not isinstance(number, int) or number < 1:
        expected = ", ".join(f"{name}s" for name in _UNITS)
        raise NotInPack(f"an interval has a `unit` ({expected}) and a whole number as `interval`")
    return f"{number}{_UNITS[unit]}"


def _cron(expression: str) -> str:
    """The expression, without a second that is 0."""
    fields = expression.split()
    is_on_the_minute = len(fields) == 6 and fields[0] in ("0", "00")
    return " ".join(fields[1:] if is_on_the_minute else fields)


def _instant(text: str, timezone: Any) -> str:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=ZoneInfo(str(timezone or "UTC")))
        return to_rfc3339(from_rfc3339(moment.isoformat()))
    except (ValueError, KeyError, OSError):
        raise NotInPack(f"`fire_at: {text}` is no time, or its timezone is none; write 2026-11-20T10:00:00Z") from None


def _filter(conditions: Any) -> Any:
    """The filter that the conditions of a rule are: a mapping from path to value, a list of `{field, operator, value}`,
    or an expression."""
    if conditions is None or isinstance(conditions, str):
        return conditions
    if isinstance(conditions, Mapping):
        return {_PAYLOAD.sub("", str(path)): value for path, value in conditions.items()}
    if not isinstance(conditions, list):
        raise NotInPack("the conditions of a rule are a mapping from path to value, or a list of them")
    found: dict[str, Any] = {}
    for condition in conditions:
        operator = _OPERATORS.get(str(condition.get("operator", "equals"))) if isinstance(condition, Mapping) else None
        if operator is None or not isinstance(condition.get("field"), str):
            raise NotInPack(f"a condition is `field`, `operator` and `value`; operators are {', '.join(_OPERATORS)}")
        found.setdefault(_PAYLOAD.sub("", condition["field"]), {})[operator] = condition.get("value")
    return found
