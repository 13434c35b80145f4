"""What is to be said of the triggers of a definition: how webhooks are verified, and what starts nothing here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from stepwell.definition.code import Code
from stepwell.definition.model import Path, Trigger, WorkflowDefinition
from stepwell.triggers.signatures import BadVerification, verification_of

TRIGGER_CODES: Final[Mapping[str, Code]] = {
    "not-triggered": Code(
        "warning",
        "A trigger of this kind starts nothing in this version: it has no connection to a broker.",
        "Start the workflow by an event, a webhook or a schedule, or wait for a later version.",
    ),
    "bad-verification": Code(
        "error",
        "How the sender of a webhook is verified cannot be read.",
        "Write the settings that the scheme has.",
    ),
    "unverified-webhook": Code(
        "warning",
        "Whoever can reach the server can start the workflow: the webhook verifies nobody.",
        "Say with `verify` how the sender signs.",
    ),
}


class Said(NamedTuple):
    """A finding."""

    code: str
    path: Path
    message: str


def trigger_findings(definition: WorkflowDefinition) -> Iterator[Said]:
    """The findings about the triggers of a definition."""
    for trigger in definition.triggers:
        if trigger.kind == "topic":
            name = trigger.config.get("name")
            message = f"this version has no connection to a broker, so the topic {name!r} starts nothing"
            yield Said("not-triggered", trigger.path, message)
        if trigger.kind == "webhook":
            yield from _webhook(trigger)


def verify_settings(trigger: Trigger) -> dict[str, Any] | None:
    """How the sender of a webhook is verified, with durations as texts; None when nobody is."""
    settings = trigger.config.get("verify")
    if settings is None:
        return None
    tolerance = settings.get("tolerance")
    return {**settings, **({"tolerance": f"{tolerance}us"} if tolerance is not None else {})}


def _webhook(trigger: Trigger) -> Iterator[Said]:
    path = (*trigger.path, "webhook")
    settings = verify_settings(trigger)
    if settings is None:
        message = f"anybody who reaches /webhooks/{trigger.config.get('path')} can start the workflow"
        yield Said("unverified-webhook", path, message)
        return
    try:
        verification_of(settings)
    except BadVerification as error:
        yield Said("bad-verification", (*path, "verify", error.field), str(error))
