"""From triggers as they are written to the canonical model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from stepwell.base.durations import SECOND
from stepwell.base.instants import from_rfc3339
from stepwell.definition.building_policies import plain
from stepwell.definition.context import Context
from stepwell.definition.cron import EXPECTED, cron_problem
from stepwell.definition.model import Path, Trigger
from stepwell.definition.places import TRIGGER
from stepwell.definition.reading import read, wrong_type
from stepwell.definition.settings_checks import check_filter
from stepwell.definition.text import shortened
from stepwell.definition.trigger_document import ScheduleDoc, TriggerDoc, WebhookDoc

_KINDS: tuple[Literal["event", "schedule", "webhook", "topic"], ...] = ("event", "schedule", "webhook", "topic")
_SHORTEST = SECOND
_WEBHOOK_PATH = re.compile(r"[A-Za-z0-9_.~-]+(/[A-Za-z0-9_.~-]+)*", re.ASCII)
_LONGEST_PATH = 200
_SECRET = re.compile(r"\s*\{\{\s*secrets\.[A-Za-z_][A-Za-z0-9_-]{0,127}\s*\}\}\s*", re.ASCII)


def build_triggers(written: Any, path: Path, context: Context) -> tuple[Trigger, ...]:
    """The triggers written at `path`. What is wrong is recorded."""
    if written is None:
        return ()
    if not isinstance(written, list):
        wrong_type("a list of triggers", written, path, context.findings)
        return ()
    found = [_trigger(entry, (*path, position), context) for position, entry in enumerate(written)]
    triggers = tuple(trigger for trigger in found if trigger is not None)
    _check_paths(triggers, context)
    return triggers


def _check_paths(triggers: Sequence[Trigger], context: Context) -> None:
    """A path starts one thing."""
    seen: set[str] = set()
    for trigger in triggers:
        if trigger.kind == "webhook":
            webhook = trigger.config["path"]
            if webhook in seen:
                message = f"another webhook of this workflow has the path {shortened(webhook)!r}"
                context.findings.add("bad-webhook", message, (*trigger.path, "webhook", "path"))
            seen.add(webhook)


def _trigger(entry: Any, path: Path, context: Context) -> Trigger | None:
    written = read(TriggerDoc, entry, path, context.findings)
    if written is None:
        return None
    kinds = [kind for kind in _KINDS if getattr(written, kind) is not None]
    if len(kinds) != 1:
        message = "a trigger is exactly one of `event`, `schedule`, `webhook`, `topic`"
        given = any(isinstance(entry, dict) and entry.get(kind) is not None for kind in _KINDS)
        if kinds or not given:
            context.findings.add("conflicting-keys" if kinds else "missing-key", message, path)
        return None
    kind = kinds[0]
    settings = plain(getattr(written, kind))
    if written.schedule is not None:
        _check_schedule(written.schedule, (*path, "schedule"), context)
    if written.webhook is not None:
        _check_webhook(written.webhook, (*path, "webhook"), context)
    _check_filter(written.filter, (*path, "filter"), context)
    if written.topic is not None:
        _check_filter(written.topic.filter, (*path, "topic", "filter"), context)
        if written.topic.filter is not None and written.filter is not None:
            message = "the filter is given twice: for the topic, and for the trigger"
            context.findings.add("conflicting-keys", message, (*path, "topic", "filter"))
    context.template(written.map, (*path, "map"), TRIGGER)
    context.template(written.dedupe_key, (*path, "dedupe_key"), TRIGGER)
    return Trigger(
        kind=kind,
        config={kind: settings} if kind == "event" else settings,
        filter=written.filter,
        map=written.map,
        dedupe_key=written.dedupe_key,
        path=path,
        active=written.active is not False,
    )


def _check_filter(written: Any, path: Path, context: Context) -> None:
    check_filter(written, path, context)
    if isinstance(written, str):
        context.condition(written, path, TRIGGER)
    else:
        context.template(written, path, TRIGGER)


def _check_schedule(written: ScheduleDoc, path: Path, context: Context) -> None:
    findings = context.findings
    given = written.given("cron", "every", "at")
    if len(given) != 1:
        message = "a schedule is exactly one of `cron`, `every`, `at`"
        findings.add("conflicting-keys" if given else "missing-key", message, path)
    problem = cron_problem(written.cron) if written.cron is not None else None
    if problem is not None:
        message = f"{shortened(written.cron or '')!r} is not a cron expression: {problem}"
        findings.add("bad-schedule", message, (*path, "cron"), hint=f"expected {EXPECTED}")
    if written.every is not None and written.every < _SHORTEST:
        findings.add("bad-schedule", "the shortest interval is 1s", (*path, "every"))
    if written.anchor is not None and not _is_instant(written.anchor):
        message = f"{shortened(written.anchor)!r} is not a time"
        findings.add("bad-schedule", message, (*path, "anchor"), hint="write it as 2026-11-20T10:00:00Z")
    if written.at is not None and not _is_instant(written.at):
        message = f"{shortened(written.at)!r} is not a time"
        findings.add("bad-schedule", message, (*path, "at"), hint="write it as 2026-11-20T10:00:00Z")
    if written.timezone is not None and not _is_timezone(written.timezone):
        hint = findings.hint_for(written.timezone, available_timezones())
        message = f"there is no timezone {shortened(written.timezone)!r}"
        findings.add("bad-schedule", message, (*path, "timezone"), hint=hint)


def _check_webhook(written: WebhookDoc, path: Path, context: Context) -> None:
    if not _WEBHOOK_PATH.fullmatch(written.path) or len(written.path) > _LONGEST_PATH or ".." in written.path:
        message = f"{shortened(written.path)!r} cannot be the path of a webhook"
        hint = "letters, digits, '_', '-', '.' and '~', in parts with a slash between them, such as github/pushes"
        context.findings.add("bad-webhook", message, (*path, "path"), hint=hint)
    if written.verify is None:
        return
    given = written.verify.secret
    for secret in [given] if isinstance(given, str) else given:
        if not _SECRET.fullmatch(secret):
            message = "a secret is named, and does not stand in a definition itself"
            hint = 'write secret: "{{ secrets.NAME }}"'
            context.findings.add("bad-webhook", message, (*path, "verify", "secret"), hint=hint)


def _is_instant(text: str) -> bool:
    try:
        from_rfc3339(text)
    except ValueError:
        return False
    return True


def _is_timezone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True
