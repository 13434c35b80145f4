"""What expressions make, on its way into the history."""

from __future__ import annotations

from typing import Any

from stepwell.base.errors import ErrorInfo
from stepwell.base.values import check_json
from stepwell.expression.errors import ExpressionError


def storable(value: Any) -> Any:
    """What expressions made, when it can be stored: passing values on costs nothing, so that a few steps can build
    what is too deep or too large.

    Raises:
        ExpressionError: it cannot.
    """
    try:
        check_json(value)
    except ValueError as error:
        raise ExpressionError(str(error), code="limit-exceeded") from None
    return value


def expression_failure(error: ExpressionError) -> ErrorInfo:
    """An expression's error as the step's."""
    message = f"{error.message} ({error.hint})" if error.hint else error.message
    where = ".".join(str(part) for part in error.where)
    details = {"code": error.code, "expression": error.expression, "where": where}
    return ErrorInfo("expression_error", message, details={key: value for key, value in details.items() if value})
