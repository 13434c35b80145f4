"""Alerts: rules over metrics, looked at every so often. Who is to be told is told when one fires and when it is over.

Rules are in the configuration or made over the API (documents of kind `alert-rule`). How a rule stands is a document
too (`alert`), changed by compare-and-set: so a restart tells nobody twice, and of several nodes one does. What changes
is journalled (`alert`) in the same transaction, and afterwards who could be told; a crash in between tells again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec

from stepwell.app.alert_rules import Figures, Rule, RuleState, checked, moved, rules_of
from stepwell.app.configuration import Configuration
from stepwell.app.telling import People
from stepwell.base.clock import Clock
from stepwell.base.durations import SECOND, format_duration
from stepwell.base.errors import Conflict, NotFound, StepwellError
from stepwell.base.instants import to_rfc3339
from stepwell.base.suggest import hint_for
from stepwell.engine.alarm import Alarm
from stepwell.ports.ledger import JournalEntry, JournalQuery, Ledger, Write

RULE: Final = "alert-rule"
STATE: Final = "alert"
"""Kinds of documents; `STATE` also of journal entries, whose subject is the name of the rule."""

_log = logging.getLogger("stepwell.alerts")
_encode: Final = msgspec.json.Encoder().encode
_read_rule: Final = msgspec.json.Decoder(Rule).decode
_read_state: Final = msgspec.json.Decoder(RuleState).decode


class Alerts:
    """The alert rules of a server.

    Args:
        leads: whether this server is the one that looks at them; of several on a store one is.

    Raises:
        ConfigurationError: a configured rule is wrong.
    """

    def __init__(
        self,
        configuration: Configuration,
        store: Ledger,
        figures: Figures,
        people: People,
        clock: Clock,
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        self._configuration = configuration
        self._configured = rules_of(configuration)
        self._store = store
        self._figures = figures
        self._people = people
        self._clock = clock
        self._leads = leads
        self._every = configuration.alerting.every
        self._rung = asyncio.Event()
        self._alarm = Alarm(clock, self._rung.set)
        self._running: asyncio.Task[None] | None = None

    # Life

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Alerts]:
        """Look at the rules every so often, until the end."""
        self._alarm.set(self._clock.now() + self._every)
        self._running = asyncio.create_task(self._run(), name="stepwell alerts")
        try:
            yield self
        finally:
            self._alarm.clear()
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    def problem(self) -> str | None:
        """Why nobody looks at the rules; None when somebody does."""
        return "nobody looks at alert rules" if self._running is None or self._running.done() else None

    async def _run(self) -> None:
        while True:
            await self._rung.wait()
            self._rung.clear()
            if self._leads():
                await self.look()
            self._alarm.set(self._clock.now() + self._every)

    async def look(self) -> None:
        """Look at every rule once."""
        try:
            rules = await self.rules()
        except StepwellError as error:
            _log.warning("alert rules cannot be read, and are looked at the next time: %s", error)
            return
        for rule in rules:
            try:
                await self._look_at(rule)
            except Conflict:
                continue  # another node was quicker
            except StepwellError as error:
                _log.warning("the alert rule %r cannot be looked at, and is the next time: %s", rule.name, error)
            except Exception:  # a defect must not end the others
                _log.exception("a defect in looking at the alert rule %r", rule.name)

    # Rules

    async def rules(self) -> Sequence[Rule]:
        """All of them, by name."""
        made = {each.key: _read_rule(each.body) for each in await self._documents(RULE)}
        return [rule for _, rule in sorted({**made, **self._configured}.items())]

    async def rule(self, name: str) -> Rule:
        """The rule of this name.

        Raises:
            NotFound: (code `unknown-alert`).
        """
        if name in self._configured:
            return self._configured[name]
        document = await self._store.document(RULE, name)
        if document is None:
            known = [rule.name for rule in await self.rules()]
            raise NotFound(
                f"there is no alert rule {name!r}", code="unknown-alert", hint=hint_for(name, known) if known else None
            )
        return _read_rule(document.body)

    async def add(self, rule: Rule) -> None:
        """Make a rule.

        Raises:
            Conflict: (code `alert-exists`) there is one of this name. UsageError: (code `invalid-alert`).
        """
        checked(rule, self._configuration)
        if rule.name in self._configured or await self._store.document(RULE, rule.name) is not None:
            raise Conflict(f"there is an alert rule {rule.name!r} already", code="alert-exists")
        await self._write_rule(rule, expected=0)

    async def replace(self, rule: Rule) -> None:
        """Change a rule that was made over the API.

        Raises:
            NotFound: (code `unknown-alert`). Conflict: (code `alert-configured`) it is one of the configuration.
            UsageError: (code `invalid-alert`).
        """
        checked(rule, self._configuration)
        await self._changeable(rule.name)
        await self._write_rule(rule, expected=None)

    async def remove(self, name: str) -> None:
        """Delete a rule that was made over the API.

        Raises:
            NotFound: (code `unknown-alert`). Conflict: (code `alert-configured`) it is one of the configuration.
        """
        await self._changeable(name)
        gone = [Write(kind=kind, key=name, body=None) for kind in (RULE, STATE)]
        await self._store.write(gone, self._clock.now())

    async def state(self, name: str) -> RuleState:
        """How a rule stands."""
        document = await self._store.document(STATE, name)
        return _read_state(document.body) if document is not None else RuleState()

    async def history(self, name: str, limit: int = 100, before: int | None = None) -> Sequence[dict[str, Any]]:
        """What became of a rule, newest first: `{number, at, ...}` of each change, and of each try to tell of it."""
        query = JournalQuery(kind=STATE, subject=name, before=before, newest_first=True, limit=limit)
        rows = await self._store.journal(query)
        return [{"number": row.number, "at": to_rfc3339(row.at), **msgspec.json.decode(row.body)} for row in rows]

    async def _changeable(self, name: str) -> None:
        rule = await self.rule(name)
        if rule.source != "api":
            raise Conflict(
                f"the alert rule {name!r} is in the server's configuration", code="alert-configured",
                hint="change it there",
            )  # fmt: skip

    async def _write_rule(self, rule: Rule, *, expected: int | None) -> None:
        write = Write(kind=RULE, key=rule.name, body=_encode(rule), expected=expected)
        await self._store.write([write], self._clock.now())

    async def _documents(self, kind: str) -> Sequence[Any]:
        found: list[Any] = []
        while page := await self._store.documents(kind, after=found[-1].key if found else ""):
            found += page
        return found

    # Looking

    async def _look_at(self, rule: Rule) -> None:
        document = await self._store.document(STATE, rule.name)
        state = _read_state(document.body) if document is not None else RuleState()
        revision = document.revision if document is not None else 0
        now = self._clock.now()
        value = await self._figures.value(rule) if rule.enabled else None
        after = moved(rule, state, value, now) if rule.enabled else RuleState()
        if after != state:
            revision = await self._write_state(rule, after, revision, _change(rule, state, after))
        if not after.is_told:
            deliveries = await self._tell(rule, after)
            told = msgspec.structs.replace(after, is_told=True)
            await self._write_state(rule, told, revision, {"told": after.status, "deliveries": deliveries})

    async def _write_state(self, rule: Rule, state: RuleState, revision: int, said: Mapping[str, Any]) -> int:
        now = self._clock.now()
        write = Write(kind=STATE, key=rule.name, body=_encode(state), expected=revision)
        entry = JournalEntry(kind=STATE, subject=rule.name, at=now, body=_encode(said).decode())
        return (await self._store.write([write], now, entries=[entry]))[0]

    async def _tell(self, rule: Rule, state: RuleState) -> list[dict[str, Any]]:
        is_over = state.status == "ok"
        message = _message(rule, state)
        _log.log(logging.INFO if is_over else logging.WARNING, "%s", message)
        if not self._configuration.notifications:
            return []
        return await self._people.tell(
            f"alert/{rule.name}/{state.since}",
            title=f"{'Resolved' if is_over else 'Alert'}: {rule.name}",
            message=message,
            channels=rule.channels,
            recipients=rule.recipients,
            priority="normal" if is_over else "high",
        )


def _change(rule: Rule, before: RuleState, after: RuleState) -> dict[str, Any]:
    return {
        "from": before.status,
        "to": after.status,
        "metric": rule.metric,
        "value": after.value,
        "threshold": rule.threshold,
    }


def _message(rule: Rule, state: RuleState) -> str:
    of = f" of {rule.workflow}" if rule.workflow is not None else ""
    over = (
        f" over {format_duration(rule.window)}"
        if rule.metric.startswith(("execution_time", "success", "error"))
        else ""
    )
    value = f"{state.value:g}" if state.value is not None else "unknown"
    if state.status == "ok":
        return f"{rule.metric}{of}{over} is back at {value}"
    lasting = f", for {format_duration(rule.for_)}" if rule.for_ >= SECOND else ""
    return f"{rule.metric}{of}{over} is {value}: {rule.op} {rule.threshold:g}{lasting}"
