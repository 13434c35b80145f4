"""Channels over which people are told things: whether the configuration has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stepwell.definition.building import Parts
from stepwell.definition.context import Context
from stepwell.definition.model import Bulkhead, Path, Step
from stepwell.definition.shapes import is_expression


def check_channels(steps: list[Step], parts: Parts, context: Context) -> None:
    """Check that every channel is known, and that there is one wherever somebody is to be told."""
    known = context.known.channels
    if known is None:
        return
    inherited = _channels(parts.config.on_error.notify)
    for said, path in _said(steps, parts):
        named = _channels(said)
        for position, channel in enumerate(named if isinstance(named, list) else ()):
            if isinstance(channel, str) and not is_expression(channel) and channel not in known:
                hint = context.findings.hint_for(channel, known) if known else "there is none in the configuration"
                message = f"there is no channel {channel!r}: what is sent over it is recorded as undelivered"
                context.findings.add("unknown-channel", message, (*path, "channels", position), hint=hint)
        if not named and not inherited and not known:
            message = "nobody is told: no channel is named here, and none is in the configuration"
            context.findings.add("unknown-channel", message, path, hint="configure one under `notifications`")


def _said(steps: list[Step], parts: Parts) -> Iterator[tuple[Any, Path]]:
    """Everything that tells somebody something, and where it stands."""
    yield from _if_said(parts.config.on_error.notify, ("spec", "config", "on_error", "notify"))
    yield from _if_said(parts.compensation.notification, ("spec", "compensation", "notification"))
    for step in steps:
        if step.type == "notify":
            yield step.config, (*step.path, "config")
        for action in (step.on_failure, step.on_timeout):
            if action is not None:
                yield from _if_said(action.notify, (*action.path, "notify"))
        bulkhead = step.bulkhead if isinstance(step.bulkhead, Bulkhead) else None
        fallbacks = [each.fallback for each in (step.on_failure, step.on_timeout, bulkhead) if each is not None]
        for body in (step.compensate, *(each.body for each in fallbacks if each is not None)):
            if body is not None and body.type == "notify":
                yield body.config, (*body.path, "config")


def _if_said(said: Any, path: Path) -> Iterator[tuple[Any, Path]]:
    if said is not None and said is not False:
        yield said, path


def _channels(said: Any) -> Any:
    return said.get("channels") if isinstance(said, Mapping) else None
