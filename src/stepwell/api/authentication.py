"""Who calls: found out before a request comes to its route, and not tried for ever."""

from __future__ import annotations

import math
from functools import partial
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stepwell.api.context import ServerContext
from stepwell.api.problems import Problem, problem_response
from stepwell.app.access import ANONYMOUS, Caller, Unauthenticated
from stepwell.app.sections import RateLimitSection
from stepwell.app.security import Security, no_proof, problem_headers
from stepwell.base.durations import SECOND
from stepwell.base.errors import StepwellError
from stepwell.policy.request_rate import RequestRates, Taken

NOBODY: Final = Caller(name="anonymous", role="viewer", namespaces=frozenset())
"""Whoever calls what is open to anybody, on a server that asks everybody else who he is."""

PROBES: Final = ("/healthz", "/readyz")
"""What says whether the server lives, and is ready: to anybody, and however often."""
_LONGEST_CREDENTIALS: Final = 16 * 1024


class Authentication:
    """Puts `scope["caller"]`, `scope["caller_now"]` and `scope["address"]`.

    Answers 401 with what is missing, and 429 to whoever asks for too much or tries too often.
    """

    def __init__(self, app: ASGIApp, context: ServerContext) -> None:
        self._app = app
        self._security = context.parts.service(Security)
        self._clock = context.parts.clock
        limits = context.configuration.security.rate_limits
        self._failures = _rates(limits.failures)
        self._requests = _rates(limits.requests) if limits.requests is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        address = scope["address"] = _address(scope)
        try:
            caller, is_open = await self._caller(scope, address)
        except StepwellError as error:
            return await problem_response(error)(scope, receive, send)
        scope["caller"], scope["caller_now"] = caller, partial(self._caller_now, scope)
        if is_open or self._requests is None:  # with nobody else on the machine, nobody is kept from anything
            return await self._app(scope, receive, send)
        asking = f"{caller.proof}:{caller.id}" if caller.proof != "none" else _network(address)
        return await self._limited(asking, self._requests, scope, receive, send)

    async def _caller(self, scope: Scope, address: str) -> tuple[Caller, bool]:
        """Who calls, and whether nobody is asked.

        Raises:
            Problem: 401, or 429. KeysUnavailable: it cannot be checked.
        """
        if scope["template"] in PROBES:  # they have an answer also while the store, which knows the keys, has none
            return NOBODY, True
        if scope["permission"] == "anybody":  # what they send as proof, if anything, is for somebody else
            is_open = await self._security.is_open()
            return (ANONYMOUS if is_open else NOBODY), is_open
        try:
            credentials = _credentials(scope)
            if credentials is not None:
                self._check_failures(address)
            caller = await self._security.caller(credentials)
            if caller is None:
                raise no_proof()
        except Unauthenticated as error:
            await self._note(error, scope, address)
            raise _problem_of(error) from None
        return caller, credentials is None

    async def _caller_now(self, scope: Scope) -> Caller | None:
        """Who calls by what was sent then and is known now; None when it proves nothing any more. What could not be
        found out is taken for unchanged."""
        try:
            return await self._security.caller(_credentials(scope))
        except Unauthenticated:
            return None
        except StepwellError:
            known: Caller = scope["caller"]
            return known

    def _check_failures(self, address: str) -> None:
        taken = self._failures.look(_network(address), self._clock.now())
        if not taken.allowed:
            raise _too_many("too many attempts to say who calls failed", taken)

    async def _note(self, error: Unauthenticated, scope: Scope, address: str) -> None:
        if error.code == "unauthenticated":
            return  # nothing was tried
        now = self._clock.now()
        self._failures.take(_network(address), now)
        what = f"{scope['method']} {scope['template']}"
        await self._security.refusals.note(what, error.code, address, scope.get("request_id", ""), now)

    async def _limited(self, asking: str, rates: RequestRates, scope: Scope, receive: Receive, send: Send) -> None:
        taken = rates.take(asking, self._clock.now())
        told = _told(rates, taken)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *told]
            await send(message)

        if taken.allowed:
            return await self._app(scope, receive, sending)
        return await problem_response(_too_many("too many requests", taken))(scope, receive, sending)


def _rates(section: RateLimitSection) -> RequestRates:
    return RequestRates(section.limit, section.per)


def _credentials(scope: Scope) -> str | None:
    """What was sent to prove who calls.

    Raises:
        Unauthenticated: it has not the form of any proof, or there are two.
    """
    given: list[tuple[bytes, bytes]] = [
        (name, value) for name, value in scope["headers"] if name in (b"authorization", b"x-api-key")
    ]
    if not given:
        return None
    name, value = given[0]
    if len(given) > 1 or len(value) > _LONGEST_CREDENTIALS or not value.isascii():
        raise Unauthenticated("one proof of who calls is expected, as text of a usual length", code="invalid-token")
    text = value.decode("ascii").strip()
    if name == b"authorization":
        scheme, _, text = text.partition(" ")
        if scheme.lower() != "bearer" or not text.strip():
            raise Unauthenticated("Authorization is expected to be `Bearer TOKEN`", code="invalid-token")
    return text.strip()


def _problem_of(error: Unauthenticated) -> Problem:
    return Problem(401, error.message, code=error.code, hint=error.hint, headers=problem_headers(error))


def _too_many(message: str, taken: Taken) -> Problem:
    wait = str(_seconds(taken.wait))
    return Problem(429, message, code="rate-limited", hint=f"try again in {wait} s", headers={"Retry-After": wait})


def _told(rates: RequestRates, taken: Taken) -> tuple[tuple[bytes, bytes], ...]:
    """How much is left, as the IETF draft on RateLimit header fields has it."""
    period = math.ceil(rates.per / SECOND)
    return (
        (b"ratelimit-policy", b'"requests";q=%d;w=%d' % (rates.limit, period)),
        (b"ratelimit", b'"requests";r=%d;t=%d' % (taken.remaining, _seconds(taken.wait) if taken.wait else 0)),
    )


def _seconds(wait: int) -> int:
    return max(1, math.ceil(wait / SECOND))


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


def _network(address: str) -> str:
    """Whom an address belongs to: of IPv6, everybody has 2^64 of them."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is None:
        return str(ip_network((ip, 64), strict=False))
    return str(ip)
