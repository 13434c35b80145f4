"""What `doctor` looks at of brokers."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from stepwell.app.broker_opening import configured_brokers
from stepwell.app.broker_sections import BrokerName
from stepwell.app.configuration import Configuration
from stepwell.base.errors import ConfigurationError
from stepwell.cli.checks import Check
from stepwell.ports.brokers import Broker, BrokerError
from stepwell.services.secrets import CombinedSecrets, DirectorySecrets, EnvironmentSecrets


def broker_check(name: BrokerName, configuration: Configuration) -> Check:
    """Whether a broker can be used. Secrets that only the store has are not looked up for it.

    Raises:
        ConfigurationError: (code `missing-library`) what it needs is not installed.
    """
    events = configuration.events
    section = events.brokers()[name]
    only = events.model_copy(update={"kafka_servers": [], "kafka": None, "nats": None, "rabbitmq": None, name: section})
    folder = configuration.secrets.directory
    secrets = [EnvironmentSecrets(os.environ), *([DirectorySecrets(Path(folder))] if folder is not None else [])]
    try:
        broker = configured_brokers(only, CombinedSecrets(secrets))[name]
    except ConfigurationError as error:
        if error.code == "missing-library":
            raise
        return Check(name, "warn", error.message, "a server looks for secrets in the store, too")
    sinks = sum(sink.broker == name for sink in events.sinks.values())
    try:
        asyncio.run(_reached(broker))
    except BrokerError as error:
        return Check(name, "fail", error.message, error.hint)
    return Check(name, "ok", f"reached; {len(section.topics)} topics configured, {sinks} sinks")


async def _reached(broker: Broker) -> None:
    try:
        await broker.reach()
    finally:
        await broker.close()
