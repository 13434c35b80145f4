"""From triggers as they are written to the canonical model."""

from __future__ import annotations

import re
from typing import Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from stepwell.base.instants import from_rfc3339
from stepwell.definition import document as doc
from stepwell.definition.building_policies import plain
from stepwell.definition.context import Context
from stepwell.definition.model import Path, Trigger
from stepwell.definition.places import TRIGGER
from stepwell.definition.reading import read, wrong_type
from stepwell.definition.settings_checks import check_filter
from stepwell.definition.text import shortened

_KINDS: tuple[Literal["event", "schedule", "webhook", "topic"], ...] = ("event", "schedule", "webhook", "topic")
_CRON_WORDS = frozenset({"@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"})
_CRON_FIELD = re.compile(r"[0-9A-Za-z*/,#?-]{1,100}")


def build_triggers(written: Any, path: Path, context: Context) -> tuple[Trigger, ...]:
    """The triggers written at `path`. What is wrong is recorded."""
    if written is None:
        return ()
    if not isinstance(written, list):
        wrong_type("a list of triggers", written, path, context.findings)
        return ()
    found = [_trigger(entry, (*path, position), context) for position, entry in enumerate(written)]
    return tuple(trigger for trigger in found if trigger is not None)


def _trigger(entry: Any, path: Path, context: Context) -> Trigger | None:
    written = read(doc.TriggerDoc, entry, path, context.findings)
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
    _check_filter(written.filter, (*path, "filter"), context)
    if written.topic is not None:
        _check_filter(written.topic.filter, (*path, "topic", "filter"), context)
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


def _check_schedule(written: doc.ScheduleDoc, path: Path, context: Context) -> None:
    findings = context.findings
    given = written.given("cron", "every", "at")
    if len(given) != 1:
        message = "a schedule is exactly one of `cron`, `every`, `at`"
        findings.add("conflicting-keys" if given else "missing-key", message, path)
    if written.cron is not None and not _is_cron(written.cron):
        message = f"{shortened(written.cron)!r} is not a cron expression"
        expected = "five fields: minute hour day month weekday, such as `0 9 * * mon-fri`; or @daily and the like"
        findings.add("bad-schedule", message, (*path, "cron"), hint=expected)
    if written.at is not None and not _is_instant(written.at):
        message = f"{shortened(written.at)!r} is not a time"
        findings.add("bad-schedule", message, (*path, "at"), hint="write it as 2026-11-20T10:00:00Z")
    if written.timezone is not None and not _is_timezone(written.timezone):
        hint = findings.hint_for(written.timezone, available_timezones())
        message = f"there is no timezone {shortened(written.timezone)!r}"
        findings.add("bad-schedule", message, (*path, "timezone"), hint=hint)


def _is_cron(text: str) -> bool:
    fields = text.split()
    if len(fields) == 1:
        return fields[0].lower() in _CRON_WORDS
    return len(fields) == 5 and all(_CRON_FIELD.fullmatch(field) for field in fields)


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
