"""The configured brokers, ready to be used."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
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
            tls = _tls(section, name)
            if tls is not None:
                options["tls"] = tls
            return NatsBroker([clear(server, "servers") for server in section.servers], options)
        case RabbitSection():
            from stepwell.brokers.rabbitmq import RabbitBroker

            url, tls = clear(section.url, "url"), _tls(section, name)
            if tls is not None and not url.startswith("amqps:"):
                message = "events.rabbitmq: there are files for an encrypted connection, and the URL asks for none"
                raise ConfigurationError(message, hint="write amqps:// in place of amqp://")
            return RabbitBroker(url, section.exchange, tls)


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


def _tls(section: NatsEventsSection | RabbitSection, name: BrokerName) -> ssl.SSLContext | None:
    """Whom to trust and what to show on an encrypted connection; None when nothing is configured about it.

    Raises:
        ConfigurationError: a file is not there, or not what it should be.
    """
    files = {key: getattr(section, key) for key in ("ca_file", "client_cert", "client_key")}
    for key, path in files.items():
        if path is not None and not Path(path).is_file():
            raise ConfigurationError(f"events.{name}.{key}: there is no file {path}")
    if not any(files.values()):
        return None
    try:
        context = ssl.create_default_context(cafile=section.ca_file)
        if section.client_cert is not None:
            context.load_cert_chain(section.client_cert, section.client_key, password=lambda: "")
    except (ssl.SSLError, OSError, ValueError) as error:
        given = ", ".join(f"{key} {path}" for key, path in files.items() if path is not None)
        said = getattr(error, "reason", None) or error
        raise ConfigurationError(f"events.{name}: these are no certificates and keys: {given} ({said})") from None
    return context


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
