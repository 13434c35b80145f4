"""Settings of the configuration that are secrets."""

from __future__ import annotations

from stepwell.base.errors import ConfigurationError, NotFound
from stepwell.base.values import SECRETS
from stepwell.expression.errors import ExpressionError, ExpressionSyntaxError
from stepwell.expression.scope import Scope
from stepwell.expression.template import compile_template
from stepwell.ports.services import SecretSource
from stepwell.worker.opening import opened


def configured_secret(text: str, where: str, secrets: SecretSource) -> str:
    """The value of a setting that is written as `{{ secrets.NAME }}`.

    Raises:
        ConfigurationError: it is written otherwise, or there is no such secret.
    """
    hint = "write {{ secrets.NAME }}, so that the secret itself does not stand in the configuration"
    try:
        rendered = compile_template(text).render(Scope({}))
        if not isinstance(rendered, SECRETS):
            raise ConfigurationError(f"{where}: no secret is named", hint=hint)
        return str(opened(rendered, secrets, []))
    except (ExpressionError, ExpressionSyntaxError) as error:
        raise ConfigurationError(f"{where}: {error.message}", hint=hint) from None
    except NotFound as error:
        raise ConfigurationError(f"{where}: {error.message}", hint=error.hint) from None
