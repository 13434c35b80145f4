"""The configured channels over which people are told things, as the worker sees them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stepwell.app.configuration import Configuration
from stepwell.base.errors import ConfigurationError
from stepwell.expression.errors import ExpressionError, ExpressionSyntaxError
from stepwell.expression.scope import Scope
from stepwell.expression.template import compile_template


def channels_of(configuration: Configuration) -> Mapping[str, Any]:
    """The URLs of the channels by name; `{{ secrets.NAME }}` in them is left for the worker to look up.

    Raises:
        ConfigurationError: an expression in one of them is wrong or reads anything but secrets. It does not show the
            URL, which may hold secrets.
    """
    return {name: _channel(name, url) for name, url in configuration.notifications.items()}


def _channel(name: str, url: str) -> Any:
    try:
        return compile_template(url).render(Scope({}))
    except (ExpressionError, ExpressionSyntaxError):
        raise ConfigurationError(
            f"notifications.{name}: the expression in it cannot be used",
            hint="only {{ secrets.NAME }} may be used here",
        ) from None
