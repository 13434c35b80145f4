"""What can go wrong with an expression: when it is compiled, and when it is evaluated."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

from stepwell.base.errors import StepwellError
from stepwell.base.suggest import hint_for

_SHOWN = 120
_LONGEST = 500
_CONSIDERED = 1_000


class ExpressionSyntaxError(StepwellError):
    """The text is not an expression of the language. Found when it is compiled, before anything runs.

    Attributes:
        offset: where in the string, in characters from its start.
        where: the path of the string in the value that was compiled; empty when that was the string itself.
    """

    code = "expression-syntax"
    exit_status = 2

    def __init__(self, message: str, *, offset: int, code: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, code=code, hint=hint)
        self.offset = offset
        self.where: tuple[str | int, ...] = ()


class ExpressionError(StepwellError):
    """An expression could not be evaluated.

    Attributes:
        expression: the expression as it was written, without delimiters.
        where: the path of its string in the value that was rendered; empty when that was the string itself.
    """

    code = "expression-failed"

    def __init__(self, message: str, *, code: str | None = None, hint: str | None = None) -> None:
        super().__init__(message if len(message) <= _LONGEST else message[:_LONGEST] + "...", code=code, hint=hint)
        self.expression = ""
        self.where: tuple[str | int, ...] = ()

    def locate(self, expression: str) -> None:
        """Note which expression failed, once: the innermost call wins."""
        if self.expression:
            return
        self.expression = expression
        if expression not in self.message:
            shown = expression if len(expression) <= _SHOWN else expression[:_SHOWN] + "..."
            self.message = f"{self.message}, in: {shown}"
            self.args = (self.message,)


class Undefined(ExpressionError):
    """A name, field or index that does not exist. `default()`, `coalesce()` and `is defined` opt out of it.

    The hint with the nearest known name is worked out only when the error leaves the expression: under `default()` it
    is thrown away.

    Args:
        name: the name that was not found.
        known: gives the names that exist in its place.
    """

    code = "undefined-field"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        name: str | None = None,
        known: Callable[[], Iterable[str]] | None = None,
    ) -> None:
        super().__init__(message, code=code, hint=hint)
        self._name = name
        self._known = known

    def locate(self, expression: str) -> None:
        super().locate(expression)
        if self.hint is None and self._known is not None and self._name is not None and len(self._name) <= _SHOWN:
            self.hint = _hint(self._name, [str(name) for name in islice(self._known(), _CONSIDERED)])
            self._known = None


class UnavailableOutput(Undefined):
    """The output of a step that never completed. A `Lookup` raises it; `default()` opts out of it as well."""

    code = "unavailable-output"


def _hint(name: str, known: list[str]) -> str:
    """The nearest known name. One with a hyphen was probably meant whole, and read as a subtraction."""
    hyphenated = next((other for other in known if other.startswith(f"{name}-")), None)
    if hyphenated is not None:
        return f"a name with a hyphen is written ['{hyphenated}']"
    return hint_for(name, known)
