"""The section `events` of the configuration: brokers that events come from, and that they are told to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from stepwell.app.sections import Duration, Section
from stepwell.base.durations import DAY

GROUP: Final = "stepwell"
"""The group that is shared with other nodes, unless something else is configured."""

TopicName: TypeAlias = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00-\x20\x7f]+$")]
Pattern: TypeAlias = Annotated[str, Field(min_length=1, max_length=500)]
SinkName: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$", max_length=100)]
BrokerName: TypeAlias = Literal["kafka", "nats", "rabbitmq"]

BROKERS: Final[tuple[BrokerName, ...]] = ("kafka", "nats", "rabbitmq")
"""What a trigger, and a sink, calls them."""


class _BrokerSection(Section):
    """What is the same for all brokers.

    `topics` are read in any case, and those that triggers name, as far as one of the patterns in `triggers` allows it.
    `group` is shared by all nodes. What cannot be taken is published to `dead_letter`, too, if there is one. `ordered`:
    each topic is read by one node at a time. `start`: whether a new group begins with the oldest message, or with what
    comes then.
    """

    topics: list[TopicName] = Field(default=[])
    triggers: list[Pattern] = Field(default=["*"])
    group: str | None = Field(default=None, min_length=1, max_length=200)
    dead_letter: TopicName | None = None
    ordered: bool = False
    start: Literal["earliest", "latest"] = "earliest"


class KafkaSection(_BrokerSection):
    """Kafka: `servers` are `host:port` of some brokers, `settings` further ones of librdkafka, such as those for TLS
    and SASL."""

    servers: list[Annotated[str, Field(min_length=1)]] = Field(min_length=1)
    settings: dict[str, str | int | float | bool] = Field(default={})


class _EncryptedSection(_BrokerSection):
    """`ca_file`: whom to trust, if not those whom the machine trusts; `client_cert` and `client_key`: what to show to a
    server that wants to see a certificate. All are files."""

    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None

    @model_validator(mode="after")
    def _key_has_a_certificate(self) -> Self:
        if self.client_key is not None and self.client_cert is None:
            raise ValueError("`client_key` belongs to a `client_cert`, and there is none")
        return self


class NatsEventsSection(_EncryptedSection):
    """NATS: `servers` are URLs. A topic is a subject that a stream of JetStream keeps. With `tls://`, or one of the
    files for it, nothing is said to a server that does not encrypt."""

    servers: list[Annotated[str, Field(min_length=1)]] = Field(min_length=1)
    user: str | None = None
    password: str | None = None
    token: str | None = None
    credentials: str | None = None


class RabbitSection(_EncryptedSection):
    """RabbitMQ: a topic is a queue, and a routing key of what is published to `exchange`; to the default one unless it
    is given. `amqps://` is encrypted."""

    url: str = Field(pattern=r"^(amqps?://.|\{\{)")
    exchange: str = ""


AnyBroker: TypeAlias = KafkaSection | NatsEventsSection | RabbitSection


class SinkSection(Section):
    """Where events are told.

    `send`: what happens to executions and steps (`lifecycle`), and the events of steps of type `emit_event`
    (`emitted`). `types` and `workflows`: which, with `*` for any characters. `format`: a CloudEvent as the body
    (`structured`), or in headers with its data as the body (`binary`), or a short `notification`.
    """

    broker: BrokerName
    topic: TopicName
    send: list[Literal["lifecycle", "emitted"]] = Field(default=["lifecycle"], min_length=1)
    types: list[Pattern] = Field(default=["*"], min_length=1)
    workflows: list[Pattern] = Field(default=["*"], min_length=1)
    format: Literal["structured", "binary", "notification"] = "structured"


class Events(Section):
    """How long events are kept, at least, for waits that have not begun yet; the brokers they come from; and the sinks
    where they are told.

    `kafka_servers`, `group_id` and `topics` are short for `kafka: {servers, group, topics}`.
    """

    keep: Duration = 7 * DAY
    kafka_servers: list[str] = Field(default=[])
    group_id: str | None = Field(default=None, min_length=1, max_length=200)
    topics: list[TopicName] = Field(default=[])
    kafka: KafkaSection | None = None
    nats: NatsEventsSection | None = None
    rabbitmq: RabbitSection | None = None
    sinks: dict[SinkName, SinkSection] = Field(default={})

    @model_validator(mode="after")
    def _fits_together(self) -> Events:
        if self.kafka_servers and self.kafka is not None:
            raise ValueError("give either `kafka_servers` or `kafka`")
        if self.topics and not self.kafka_servers:
            raise ValueError("`topics` belongs to `kafka_servers`; those of other brokers stand in their sections")
        for name, sink in self.sinks.items():
            if sink.broker not in self.brokers():
                raise ValueError(f"the sink {name!r} names the broker {sink.broker!r}, which is not configured")
        return self

    def brokers(self) -> Mapping[BrokerName, AnyBroker]:
        """The configured brokers by what they are called."""
        short = KafkaSection(servers=self.kafka_servers, topics=self.topics) if self.kafka_servers else None
        found: dict[BrokerName, Any] = {"kafka": self.kafka or short, "nats": self.nats, "rabbitmq": self.rabbitmq}
        return {name: section for name, section in found.items() if section is not None}

    def group_of(self, broker: AnyBroker) -> str:
        """The group that reads from this broker."""
        return broker.group or self.group_id or GROUP
