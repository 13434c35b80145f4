"""Brokers in the configuration."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import pytest

from stepwell.app.broker_opening import configured_brokers
from stepwell.app.broker_sections import Events
from stepwell.app.configuration import configuration_from
from stepwell.base.errors import ConfigurationError, NotFound
from stepwell.brokers.kafka import KafkaBroker
from stepwell.brokers.nats import NatsBroker
from stepwell.brokers.rabbitmq import RabbitBroker
from stepwell.ports.services import SecretSource

ALL = {
    "kafka": {
        "servers": ["a:1", "b:2"],
        "settings": {"security.protocol": "SASL_SSL", "sasl.password": "{{ secrets.PW }}"},
    },
    "nats": {"servers": ["nats://a:1"], "user": "ann", "password": "{{ secrets.PW }}"},
    "rabbitmq": {"url": "amqp://ann:{{ secrets.PW }}@a:1/", "exchange": "x"},
}


class Secrets(SecretSource):
    def __init__(self, known: Mapping[str, str]) -> None:
        self._known = known

    def get(self, name: str) -> str:
        if name not in self._known:
            raise NotFound(f"there is no secret {name!r}", code="unknown-secret")
        return self._known[name]


def events(**given: Any) -> Events:
    return configuration_from({"events": given}).events


def refused(**given: Any) -> str:
    with pytest.raises(ConfigurationError) as raised:
        events(**given)
    return str(raised.value)


async def test_every_broker_is_made_with_its_secrets() -> None:
    brokers = configured_brokers(events(**ALL), Secrets({"PW": "s3cret"}))
    assert {name: type(broker) for name, broker in brokers.items()} == {
        "kafka": KafkaBroker,
        "nats": NatsBroker,
        "rabbitmq": RabbitBroker,
    }
    assert brokers["kafka"]._settings["sasl.password"] == "s3cret"  # type: ignore[attr-defined]
    assert brokers["rabbitmq"]._url == "amqp://ann:s3cret@a:1/"  # type: ignore[attr-defined]


def test_the_short_form_is_kafka() -> None:
    short = events(kafka_servers=["a:1"], group_id="workflow-engine", topics=["orders"])
    section = short.brokers()["kafka"]
    assert (section.topics, short.group_of(section)) == (["orders"], "workflow-engine")
    assert events().brokers() == {}


def test_a_group_of_a_broker_goes_before_that_of_all() -> None:
    given = events(group_id="all", nats={"servers": ["nats://a"], "group": "own"}, rabbitmq={"url": "amqp://a"})
    assert [given.group_of(section) for section in given.brokers().values()] == ["own", "all"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kafka_servers": ["a"], "kafka": {"servers": ["a"]}}, "either `kafka_servers` or `kafka`"),
        ({"topics": ["x"]}, "`topics` belongs to `kafka_servers`"),
        ({"kafka": {"servers": []}}, "events.kafka.servers: "),
        ({"kafka": {"servers": ["a"], "tpics": []}}, "unknown key 'events.kafka.tpics' (did you mean 'topics'?"),
        ({"sinks": {"a": {"broker": "kafka", "topic": "x"}}}, "names the broker 'kafka', which is not configured"),
        ({"sinks": {"a": {"broker": "redis", "topic": "x"}}}, "events.sinks.a.broker: "),
        ({"rabbitmq": {"url": "amqp://a"}, "sinks": {"a": {"broker": "rabbitmq", "topic": "a b"}}}, "sinks.a.topic: "),
    ],
)
def test_what_is_wrong_is_said(given: dict[str, Any], said: str) -> None:
    assert said in refused(**given)


def test_what_may_hold_secrets_is_not_shown() -> None:
    assert "s3cret" not in refused(rabbitmq={"url": ["amqp://ann:s3cret@a"]})
    assert "s3cret" not in refused(nats={"servers": ["x"], "password": ["s3cret"]})
    assert "s3cret" not in refused(rabbitmq={"url": "amqp://ann:s3cret@a"}, topics=["x"])


@pytest.mark.parametrize(
    ("name", "library"), [("kafka", "confluent_kafka"), ("nats", "nats"), ("rabbitmq", "aio_pika")]
)
def test_a_missing_library_is_said_with_how_to_install_it(
    name: str, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ConfigurationError) as raised:
        configured_brokers(events(**{name: ALL[name]}), Secrets({"PW": "x"}))
    assert (raised.value.code, raised.value.hint) == ("missing-library", f"pip install 'stepwell[{name}]'")


def test_a_missing_secret_and_another_expression_are_said() -> None:
    with pytest.raises(ConfigurationError, match=r"events.nats.password: there is no secret 'PW'"):
        configured_brokers(events(nats=ALL["nats"]), Secrets({}))
    with pytest.raises(ConfigurationError, match=r"events.rabbitmq.url: the expression in it cannot be used"):
        configured_brokers(events(rabbitmq={"url": "amqp://{{ env.x }}"}), Secrets({}))
