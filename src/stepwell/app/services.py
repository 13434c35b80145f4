"""The configured services, as the worker sees them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stepwell.app.configuration import Configuration, ServiceSection
from stepwell.base.errors import ConfigurationError
from stepwell.expression.errors import ExpressionError, ExpressionSyntaxError
from stepwell.expression.scope import Scope
from stepwell.expression.template import compile_template
from stepwell.ports.services import Service


def services_of(configuration: Configuration) -> Mapping[str, Service]:
    """The configured services; `{{ secrets.NAME }}` in headers and credentials is left for the worker to look up.

    Raises:
        ConfigurationError: an expression in them is wrong or reads anything but secrets.
    """
    return {name: service_of(name, section) for name, section in configuration.services.items()}


def service_of(name: str, section: ServiceSection) -> Service:
    """A service of the configuration.

    Raises:
        ConfigurationError: an expression in it is wrong or reads anything but secrets.
    """
    values: dict[str, Any] = section.model_dump(exclude={"circuit_breaker", "bulkhead", "url", "urls"})
    urls = tuple(section.urls or ())
    try:
        for key in ("headers", "auth"):
            values[key] = compile_template(values[key]).render(Scope({}))
    except (ExpressionError, ExpressionSyntaxError) as error:
        hint = "only {{ secrets.NAME }} may be used here"
        raise ConfigurationError(f"services.{name}.{key}: {error.message}", hint=hint) from None
    url = section.url or (urls[0] if urls else "http://localhost")
    return Service(name=name, url=url, urls=urls, **values)
