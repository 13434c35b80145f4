"""`doctor` looks whether brokers can be used."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from stepwell.app.configuration import configuration_from
from stepwell.base.errors import ConfigurationError
from stepwell.cli.broker_checks import broker_check
from tests.servers.nats import shared_server


def configured(**events: Any) -> Any:
    return configuration_from({"events": events})


def test_a_broker_that_is_there_is_reached() -> None:
    sink = {"broker": "nats", "topic": "told"}
    given = configured(nats={"servers": [shared_server().url], "topics": ["orders"]}, sinks={"audit": sink})
    assert broker_check("nats", given)[:3] == ("nats", "ok", "reached; 1 topics configured, 1 sinks")


@pytest.mark.parametrize(
    ("name", "section", "said"),
    [
        ("kafka", {"servers": ["127.0.0.1:1"]}, "Kafka at 127.0.0.1:1 cannot be used: "),
        ("nats", {"servers": ["nats://ann:s3cret@127.0.0.1:1"]}, "NATS at nats://127.0.0.1:1 cannot be reached: "),
        ("rabbitmq", {"url": "amqp://ann:s3cret@127.0.0.1:1/"}, "RabbitMQ at 127.0.0.1:1/ cannot be reached: "),
    ],
)
def test_one_that_is_not_there_is_said_in_a_line(name: Any, section: dict[str, Any], said: str) -> None:
    check = broker_check(name, configured(**{name: section}))
    assert (check.check, check.status, check.hint) == (name, "fail", "check the address, and that it runs")
    assert check.message.startswith(said)
    assert "s3cret" not in str(check)


def test_a_missing_library_fails_and_a_secret_that_is_not_known_here_is_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = configured(rabbitmq={"url": "amqp://ann:{{ secrets.NOWHERE }}@127.0.0.1:1/"})
    assert broker_check("rabbitmq", given).status == "warn"
    monkeypatch.setitem(sys.modules, "aio_pika", None)
    with pytest.raises(ConfigurationError, match="needs the library aio_pika"):
        broker_check("rabbitmq", given)
