"""What starts a workflow, as it is written under `spec.triggers`; see `stepwell.definition.document`."""

from __future__ import annotations

from typing import Any, Literal

from stepwell.definition.shapes import Doc, Duration, MappingOrExpression, Timeout, optional, required


class ScheduleDoc(Doc):
    """Start at times; exactly one of `cron`, `every`, `at`."""

    cron: str | None = optional("Minute, hour, day, month and weekday, the second before them if need be; or @daily")
    every: Timeout | None = optional("An interval.")
    at: str | None = optional("One instant, such as 2026-11-20T10:00:00Z.")
    timezone: str | None = optional("A name such as Europe/Berlin; UTC when left out.")
    catch_up: Literal["skip", "one", "all"] | None = optional("What happens to times missed while the server was down.")
    jitter: Duration | None = optional("Up to how much later it may start.")
    anchor: str | None = optional("An instant that intervals are counted from; 1970-01-01T00:00:00Z when left out.")
    overlap: Literal["allow", "skip"] | None = optional("skip: not while what it started before still runs.")


class VerifyDoc(Doc):
    """How the sender of a webhook is verified; which settings a scheme has, the page on webhooks says."""

    scheme: Literal["github", "stripe", "slack", "standard-webhooks", "hmac", "token"] = required("How it is signed.")
    secret: str | list[str] = required("The secret, written {{ secrets.NAME }}; several while one replaces another.")
    header: str | None = optional("The header with the signature, or the token.")
    algorithm: Literal["sha256", "sha1", "sha512"] | None = optional("sha256 when left out.")
    encoding: Literal["hex", "base64"] | None = optional("How the signature is written; hex when left out.")
    prefix: str | None = optional("What stands before the signature, such as sha256=.")
    timestamp_header: str | None = optional("The header with the time of signing, in seconds since 1970.")
    signed: str | None = optional("What is signed: a text with {body}, and {timestamp} where there is one.")
    tolerance: Duration | None = optional("How old a signature may be; 5m when left out.")
    id_header: str | None = optional("The header with the id of the delivery; a second one with it does nothing.")


class WebhookDoc(Doc):
    """Start when an HTTP request comes."""

    path: str = required("The path below /webhooks/.")
    verify: VerifyDoc | None = optional("How the sender is verified.")


class TopicDoc(Doc):
    """Start when a message comes to a topic of a broker."""

    broker: str | None = optional("A broker of the server's configuration.")
    name: str = required("The topic.")
    filter: Any = optional("Which messages; as for events.")


class TriggerDoc(Doc):
    """What starts the workflow; exactly one of `event`, `schedule`, `webhook`, `topic`."""

    event: str | None = optional("A type of event, such as ticket:created or ticket:*.")
    schedule: ScheduleDoc | None = optional("Start at times.")
    webhook: WebhookDoc | None = optional("Start when an HTTP request comes.")
    topic: TopicDoc | None = optional("Start when a message comes to a topic.")
    filter: Any = optional("Which events: dotted paths and values or operators, or an expression over `event`.")
    map: MappingOrExpression | None = optional("The workflow's input, written with expressions over `event`.")
    dedupe_key: Any = optional("Events with the same key start one execution.")
    active: bool | None = optional("Whether it starts anything; true when left out.")
