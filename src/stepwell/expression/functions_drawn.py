"""Functions that read the scope: the recorded time, derived randomness, and how a step ended.

What looks random is derived from the seed of the execution, the identity of the rendering and the number of the call in
it. So it is drawn once and for all: a replay, a recovery or another machine finds the same values again.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any, Final

from stepwell.base.instants import to_rfc3339
from stepwell.expression.errors import ExpressionError
from stepwell.expression.functions import FunctionSet
from stepwell.expression.limits import HASH_WORK
from stepwell.expression.scope import Outcome, Scope

DRAWN: Final = FunctionSet()
_LOG2_COST: Final = 14
_BLOCK: Final = 8
_PARALLEL: Final = 1


@DRAWN.define()
def now(scope: Scope) -> str:
    """The recorded time of what is being decided, in UTC. Example: ends_with(now(), 'Z')"""
    return to_rfc3339(scope.now)


@DRAWN.define(drawn=True)
def uuid(scope: Scope) -> str:
    """A UUID (version 4), the same again on replay. Example: length(uuid()) == 36"""
    drawn = bytearray(scope.draw("uuid", 16))
    drawn[6] = drawn[6] & 0x0F | 0x40
    drawn[8] = drawn[8] & 0x3F | 0x80
    digits = drawn.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


@DRAWN.define(drawn=True)
def random(scope: Scope) -> float:
    """A number from 0 up to, but not including, 1; the same again on replay. Example: random() < 1"""
    return (int.from_bytes(scope.draw("random", 8), "big") >> 11) / (1 << 53)


@DRAWN.define(drawn=True)
def hash_(scope: Scope, value: str) -> str:
    """A salted hash of a password (scrypt), the same again on replay. Slow on purpose; for digests use `sha256`.

    Example: starts_with(hash('secret'), '$scrypt$ln=14,r=8,p=1$')
    """
    scope.charge(HASH_WORK)
    salt = scope.draw("hash", 16)
    key = hashlib.scrypt(value.encode(), salt=salt, n=1 << _LOG2_COST, r=_BLOCK, p=_PARALLEL, dklen=32)
    return f"$scrypt$ln={_LOG2_COST},r={_BLOCK},p={_PARALLEL}${_base64(salt)}${_base64(key)}"


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode().rstrip("=")


@DRAWN.define(outcome=True)
def succeeded(scope: Scope) -> bool:
    """Whether the step succeeded."""
    return _outcome(scope).succeeded


@DRAWN.define(outcome=True)
def failed(scope: Scope) -> bool:
    """Whether the step failed."""
    return _outcome(scope).failed


@DRAWN.define(outcome=True)
def timed_out(scope: Scope) -> bool:
    """Whether the step took too long."""
    return _outcome(scope).timed_out


@DRAWN.define(outcome=True)
def skipped(scope: Scope) -> bool:
    """Whether the step was skipped."""
    return _outcome(scope).skipped


@DRAWN.define(outcome=True)
def result(scope: Scope) -> Any:
    """The raw result of the step, null when there is none."""
    return _outcome(scope).result


def _outcome(scope: Scope) -> Outcome:
    if scope.outcome is None:
        raise ExpressionError("the outcome of the step is not known here", code="misplaced-function")
    return scope.outcome
