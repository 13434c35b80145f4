"""What is to be said of the triggers of a definition: how webhooks are verified, and what starts nothing here."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, NamedTuple

from stepwell.definition.code import Code
from stepwell.definition.model import Path, Trigger, WorkflowDefinition
from stepwell.triggers.signatures import BadVerification, verification_of

TRIGGER_CODES: Final[Mapping[str, Code]] = {
    "not-triggered": Code(
        "warning",
        "The trigger names a broker, or a topic of one, that the configuration here does not have.",
        "Give the server's configuration the broker: `events: {kafka: ...}`, `nats` or `rabbitmq`.",
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


def trigger_findings(definition: WorkflowDefinition, brokers: Collection[str] = ()) -> Iterator[Said]:
    """The findings about the triggers of a definition.

    Args:
        brokers: names of those in the configuration.
    """
    for trigger in definition.triggers:
        if trigger.kind == "topic" and (message := _unread(trigger, brokers)) is not None:
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


def _unread(trigger: Trigger, brokers: Collection[str]) -> str | None:
    """Why the topic of a trigger would not be read here; None when it would."""
    topic, named = trigger.config.get("name"), trigger.config.get("broker")
    if not brokers:
        return f"no broker is configured here, so the topic {topic!r} starts nothing"
    if named is None and len(brokers) > 1:
        return f"the topic {topic!r} is of none of the brokers {', '.join(sorted(brokers))}: name one with `broker`"
    if named is not None and named not in brokers:
        return f"no broker {named!r} is configured here, so the topic {topic!r} starts nothing"
    return None


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
