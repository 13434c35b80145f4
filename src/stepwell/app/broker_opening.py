"""The configured brokers, ready to be used."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

from stepwell.app.broker_sections import AnyBroker, BrokerName, Events, KafkaSection, NatsEventsSection, RabbitSection
from stepwell.base.errors import ConfigurationError, NotFound
from stepwell.expression.errors import ExpressionError, ExpressionSyntaxError
from stepwell.expression.scope import Scope
from stepwell.expression.template import compile_template
from stepwell.ports.brokers import Broker
from stepwell.ports.services import SecretSource
from stepwell.worker.opening import opened

_LIBRARIES: Final[Mapping[BrokerName, str]] = {
    "kafka": "confluent_kafka",
    "nats": "nats",
    "rabbitmq": "aio_pika",
}


def configured_brokers(events: Events, secrets: SecretSource) -> Mapping[BrokerName, Broker]:
    """The configured brokers by name. None is connected yet.

    Raises:
        ConfigurationError: (code `missing-library`) what a broker needs is not installed; something in it is wrong.
    """
    return {name: _broker(name, section, secrets) for name, section in events.brokers().items()}


def _broker(name: BrokerName, section: AnyBroker, secrets: SecretSource) -> Broker:
    check_library(name)

    def clear(value: Any, key: str) -> Any:
        return _opened(value, f"events.{name}.{key}", secrets)

    match section:
        case KafkaSection():
            from stepwell.brokers.kafka import KafkaBroker

            settings = {key: clear(value, f"settings.{key}") for key, value in section.settings.items()}
            return KafkaBroker(section.servers, settings)
        case NatsEventsSection():
            from stepwell.brokers.nats import NatsBroker

            given = {
                "user": section.user,
                "password": section.password,
                "token": section.token,
                "user_credentials": section.credentials,
            }
            options = {key: clear(value, key) for key, value in given.items() if value is not None}
            return NatsBroker([clear(server, "servers") for server in section.servers], options)
        case RabbitSection():
            from stepwell.brokers.rabbitmq import RabbitBroker

            return RabbitBroker(clear(section.url, "url"), section.exchange)


def check_library(name: BrokerName) -> None:
    """Look whether the library for a broker is there.

    Raises:
        ConfigurationError: (code `missing-library`) it is not.
    """
    library = _LIBRARIES[name]
    try:
        import_module(library)
    except ImportError:
        message = f"events.{name} needs the library {library}, which is not installed"
        raise ConfigurationError(message, code="missing-library", hint=f"pip install 'stepwell[{name}]'") from None


def _opened(value: Any, where: str, secrets: SecretSource) -> Any:
    """A setting with `{{ secrets.NAME }}` in it looked up."""
    if not isinstance(value, str) or "{{" not in value:
        return value
    try:
        return opened(compile_template(value).render(Scope({})), secrets, [])
    except (ExpressionError, ExpressionSyntaxError):
        message = f"{where}: the expression in it cannot be used"
        raise ConfigurationError(message, hint="only {{ secrets.NAME }} may be used here") from None
    except NotFound as error:
        raise ConfigurationError(f"{where}: {error.message}", hint=error.hint) from None
