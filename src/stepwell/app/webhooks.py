"""Incoming webhooks: verified over the body as it came, kept as an event, and what they start asked for with it.

A request becomes an event of type `webhook:PATH` whose data is its body. It is durable when it is answered. One that is
sent again, with the id of a delivery that was accepted, gets the same answer and starts nothing again.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from stepwell.app.trigger_checks import verify_settings
from stepwell.app.triggering import Triggering
from stepwell.app.triggers import ActiveTrigger, fire
from stepwell.base.clock import Clock
from stepwell.base.derive import digest
from stepwell.base.errors import NotFound, StepwellError
from stepwell.engine.engine import Engine
from stepwell.execution.event import Event, EventTooLarge, check_size
from stepwell.ports.services import SecretSource
from stepwell.ports.store import Store
from stepwell.triggers.bodies import BadBody, read_body, read_json
from stepwell.triggers.signatures import BadSignature, Verification, secret_problem, verification_of, verify

TYPE: Final = "webhook:"
"""What the types of the events begin with."""

_LONGEST_ID: Final = 200
_PROVES: Final = re.compile("authorization|cookie|signature|token|secret|api-?key")
"""In the names of headers that no expression sees."""

_log = logging.getLogger(__name__)


class WebhookUnready(StepwellError):
    """The server cannot verify the sender: the secret that was agreed on is not there, or cannot be used."""

    code = "webhook-unready"
    exit_status = 4


class WebhookRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it came.

    Attributes:
        path: below `/webhooks/`.
        headers: with names in lower case.
        query: of a name that comes several times the last value.
    """

    path: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes


class WebhookAnswer(NamedTuple):
    """What the sender is told: a status, and a JSON object."""

    status: int
    body: Mapping[str, Any]


class Webhooks:
    """The webhooks of the registered workflows.

    Args:
        secrets_of: the secrets that a workflow may look up.
    """

    def __init__(
        self,
        store: Store,
        engine: Engine,
        triggering: Triggering,
        secrets_of: Callable[[str], SecretSource],
        clock: Clock,
    ) -> None:
        self._store = store
        self._engine = engine
        self._triggering = triggering
        self._secrets_of = secrets_of
        self._clock = clock
        self._refused: Counter[tuple[str, str]] = Counter()

    async def receive(self, request: WebhookRequest) -> WebhookAnswer:
        """Take a request.

        Raises:
            NotFound: (code `unknown-webhook`) no active workflow has a webhook with this path. BadSignature: it was not
            sent by whom it should be. WebhookUnready: that cannot be told. BadBody: its body cannot be read.
            EventTooLarge: it is too much for an event.
        """
        active = await self._find(request.path)
        verification = _verification(active)
        now = self._clock.now()
        delivery = await self._verified(active, verification, request, now)
        try:
            body = _body(verification, request)
            check_size(body)
        except (BadBody, EventTooLarge) as error:
            await self._note_refused(active, request.path, error, now)
            raise
        answer = _special(request, body)
        return answer if answer is not None else await self._accept(active, verification, request, body, delivery)

    def refused(self) -> list[dict[str, Any]]:
        """How many requests were refused since this was made, by path and code."""
        return [{"path": path, "code": code, "count": count} for (path, code), count in sorted(self._refused.items())]

    async def _find(self, path: str) -> ActiveTrigger:
        """The trigger with this path; should there be several, that of the workflow which was registered first."""
        found = [each for each in await self._triggering.triggers.of("webhook") if each.config["path"] == path]
        if not found:
            raise NotFound(f"there is no webhook {path[:100]!r}", code="unknown-webhook")
        return min(found, key=lambda each: (each.registration.log[0].at, each.workflow))

    async def _verified(
        self, active: ActiveTrigger, verification: Verification | None, request: WebhookRequest, now: int
    ) -> str | None:
        """The id of the delivery, if there is one."""
        if verification is None:
            return request.headers.get("idempotency-key") or None
        try:
            agreed = self._agreed(active, verification)
            return verify(verification, agreed, request.headers, request.body, now).delivery
        except (BadSignature, WebhookUnready) as error:
            await self._note_refused(active, request.path, error, now)
            raise

    def _agreed(self, active: ActiveTrigger, verification: Verification) -> Sequence[str]:
        """The secrets of which one has to have been used.

        Raises:
            WebhookUnready: one is not there, or cannot be one.
        """
        named = active.config["verify"]["secret"]
        found: list[str] = []
        for each in [named] if isinstance(named, str) else named:
            name = each.strip().removeprefix("{{").removesuffix("}}").strip().removeprefix("secrets.")
            try:
                found.append(self._secrets_of(active.workflow).get(name))
            except StepwellError as error:
                _log.error("webhook %s of %s: %s", active.config["path"], active.workflow, error)
                raise WebhookUnready("this webhook cannot be verified at the moment; try again later") from None
            problem = secret_problem(verification, found[-1])
            if problem is not None:
                _log.error("webhook %s of %s: the secret %s: %s", active.config["path"], active.workflow, name, problem)
                raise WebhookUnready("this webhook cannot be verified at the moment; try again later")
        return found

    async def _accept(
        self,
        active: ActiveTrigger,
        verification: Verification | None,
        request: WebhookRequest,
        body: Any,
        delivery: str | None,
    ) -> WebhookAnswer:
        now = self._clock.now()
        event = Event(
            id=_id(delivery or _id_in(verification, body)),
            type=f"{TYPE}{request.path}",
            source=f"webhooks/{request.path}",
            subject=_subject(request.headers, body),
            data=body,
            time=now,
        )
        seen = {**event.as_dict(), "headers": _shown(request.headers, active), "query": dict(request.query)}
        fired = await fire(self._store, active, event, otherwise=body, same=[event.source, event.id], seen=seen)
        published = await self._triggering.publish_by(self._engine, event, now, also=[fired])
        firings = [fired.firing] if published.duplicate else published.firings
        accepted = ("present",) if published.duplicate else ("started", "present")
        executions = [each.execution_id for each in firings if each.outcome in accepted]
        return WebhookAnswer(202, {"id": event.id, "executions": executions})

    async def _note_refused(self, active: ActiveTrigger, path: str, error: StepwellError, now: int) -> None:
        """Count a request that was refused, and note it as far as such are noted: a flood of them must not fill the
        store."""
        self._refused[path, error.code] += 1
        firing = active.firing("refused", reason=f"{error.code}: {error.message}")
        self._triggering.firings.count([firing])
        entries = self._triggering.firings.entries("webhook", [firing], now, {"webhook": path})
        if entries:
            await self._store.write([], now, entries=entries)


def _verification(active: ActiveTrigger) -> Verification | None:
    settings = verify_settings(active.compiled.trigger)
    return verification_of(settings) if settings is not None else None


def _body(verification: Verification | None, request: WebhookRequest) -> Any:
    """The value of the body; of a form that carries JSON, as GitHub's and Slack's may, that JSON."""
    body = read_body(request.headers, request.body)
    carries = verification is not None and verification.scheme in ("github", "slack")
    if carries and isinstance(body, dict) and list(body) == ["payload"] and isinstance(body["payload"], str):
        return read_json(body["payload"].encode())
    return body


def _special(request: WebhookRequest, body: Any) -> WebhookAnswer | None:
    """The answer to a sender who only wants to know whether somebody is there."""
    if request.headers.get("x-github-event") == "ping":
        return WebhookAnswer(200, {"pong": True})
    if isinstance(body, dict) and body.get("type") == "url_verification" and isinstance(body.get("challenge"), str):
        return WebhookAnswer(200, {"challenge": body["challenge"]})
    return None


def _id_in(verification: Verification | None, body: Any) -> str | None:
    name = verification.id_in_body if verification is not None else None
    found = body.get(name) if name is not None and isinstance(body, dict) else None
    return found if isinstance(found, str) and found else None


def _id(delivery: str | None) -> str:
    """The id of the event; one that is very long, or cannot be printed, by its digest."""
    if delivery is None:
        return secrets.token_hex(16)
    is_plain = len(delivery) <= _LONGEST_ID and delivery.isprintable()
    return delivery if is_plain else digest(delivery.encode(errors="surrogatepass"))


def _subject(headers: Mapping[str, str], body: Any) -> str | None:
    """What kind of event the sender says that it is."""
    named = headers.get("x-github-event")
    if named is None and isinstance(body, dict):
        inner = body.get("event")
        named = inner.get("type") if isinstance(inner, dict) else body.get("type")
    return named if isinstance(named, str) and named else None


def _shown(headers: Mapping[str, str], active: ActiveTrigger) -> dict[str, str]:
    """The headers that expressions see: none that proves who somebody is."""
    own = str((active.config.get("verify") or {}).get("header", "")).lower()
    return {name: value for name, value in headers.items() if name != own and not _PROVES.search(name)}
