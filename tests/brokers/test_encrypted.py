"""Brokers over encrypted connections, as they are configured: NATS and RabbitMQ, real servers.

The cluster that librdkafka has built in for Kafka knows neither TLS nor SASL.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stepwell.app.broker_opening import configured_brokers
from stepwell.app.broker_sections import BrokerName
from stepwell.app.configuration import configuration_from
from stepwell.base.errors import ConfigurationError
from stepwell.ports.brokers import Broker, BrokerError
from tests.brokers.test_nats import add_stream
from tests.brokers.test_rabbitmq import add_queue
from tests.conformance.broker import bodies, outgoing, pulled
from tests.conformance.dispatcher import KnownSecrets
from tests.servers.certificates import certificates
from tests.servers.nats import NatsServer, new_server, tls_settings
from tests.servers.rabbitmq import new_queue, shared_server


def files() -> dict[str, str]:
    own = certificates()
    return {"ca_file": str(own.authority), "client_cert": str(own.client), "client_key": str(own.client_key)}


def broker(name: BrokerName, section: dict[str, Any]) -> Broker:
    """The broker of a configuration."""
    configuration = configuration_from({"events": {name: section}})
    return configured_brokers(configuration.events, KnownSecrets({"PASSWORD": "guest"}))[name]


async def goes_and_comes(broker: Broker, topic: str) -> None:
    assert await broker.publish(topic, [outgoing(n) for n in range(3)]) == [None] * 3
    subscription = await broker.subscribe(topic, "g")
    came = await pulled(subscription, 3)
    assert bodies(came) == [0, 1, 2]
    await subscription.acknowledge(came)
    await subscription.close()
    await broker.close()


@pytest.fixture(scope="module")
def nats_server() -> Iterator[NatsServer]:
    server = new_server(more=tls_settings(verify=True))
    yield server
    server.close()


async def test_nats_with_certificates_on_both_sides(nats_server: NatsServer) -> None:
    url = nats_server.url.replace("nats:", "tls:")
    made = broker("nats", {"servers": [url], **files()})
    client = await made._connected()  # type: ignore[attr-defined]
    await client.jetstream().add_stream(name="s", subjects=["orders"])
    await goes_and_comes(made, "orders")


async def test_rabbitmq_with_certificates_on_both_sides() -> None:
    server = shared_server()
    queue = await add_queue(server.url, new_queue("orders"))
    url = server.tls_url.replace("guest@", "{{ secrets.PASSWORD }}@")
    await goes_and_comes(broker("rabbitmq", {"url": url, **files()}), queue)


async def test_a_nats_server_that_is_not_trusted_is_told_nothing(nats_server: NatsServer) -> None:
    section = {"servers": [nats_server.url.replace("nats:", "tls:")], **files()}
    with pytest.raises(BrokerError, match="its certificate is not trusted: unable to get local issuer certificate"):
        await broker("nats", {**section, "ca_file": str(certificates().stranger)}).reach()


async def test_a_nats_server_that_does_not_encrypt_is_told_nothing() -> None:
    server = new_server()
    try:
        await add_stream(server.url, "s", "orders")
        for url, more in ((server.url.replace("nats:", "tls:"), {}), (server.url, files())):
            with pytest.raises(BrokerError, match="does not offer the encryption that is configured here"):
                await broker("nats", {"servers": [url], **more}).reach()
    finally:
        server.close()


async def test_a_rabbitmq_server_that_is_not_trusted_is_told_nothing() -> None:
    section = {"url": shared_server().tls_url, **files(), "ca_file": str(certificates().stranger)}
    with pytest.raises(BrokerError, match="its certificate is not trusted: self-signed certificate"):
        await broker("rabbitmq", section).reach()


async def test_a_rabbitmq_server_that_wants_a_certificate_is_said_to_refuse() -> None:
    section = {"url": shared_server().tls_url, "ca_file": str(certificates().authority)}
    with pytest.raises(BrokerError, match="cannot be reached"):
        await broker("rabbitmq", section).reach()


@pytest.mark.parametrize("name", ["nats", "rabbitmq"])
@pytest.mark.parametrize("key", ["ca_file", "client_cert"])
def test_a_file_that_is_missing_or_holds_something_else_is_an_error(name: BrokerName, key: str, tmp_path: Path) -> None:
    where: dict[str, Any] = {"servers": ["tls://h"]} if name == "nats" else {"url": "amqps://h/"}
    with pytest.raises(ConfigurationError, match=rf"events\.{name}\.{key}: there is no file /nowhere"):
        broker(name, {**where, key: "/nowhere"})
    (tmp_path / "file").write_text("nothing of the kind")
    with pytest.raises(ConfigurationError, match="these are no certificates and keys"):
        broker(name, {**where, key: str(tmp_path / "file")})


def test_files_for_encryption_with_a_url_that_asks_for_none_are_an_error() -> None:
    with pytest.raises(ConfigurationError, match="the URL asks for none"):
        broker("rabbitmq", {"url": "amqp://h/", "ca_file": str(certificates().authority)})
    with pytest.raises(ConfigurationError, match="belongs to a `client_cert`"):
        broker("nats", {"servers": ["tls://h"], "client_key": "k"})
