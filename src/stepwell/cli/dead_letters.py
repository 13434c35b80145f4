"""`dlq list`, `show`, `discard`: steps that failed for good and that nothing handled, events that were refused."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from stepwell.base.clock import SystemClock
from stepwell.base.errors import NotFound
from stepwell.cli.documents import emit, json_text
from stepwell.cli.failures import labelled
from stepwell.cli.narration import attempts_text, message_of, one_line
from stepwell.cli.options import Setup
from stepwell.cli.streams import say
from stepwell.cli.subjects.letters import Letters, open_letters
from stepwell.cli.subjects.opening import run_in
from stepwell.cli.tables import facts, has_room, rendered, table
from stepwell.cli.words import day_or_time, local_time
from stepwell.ports.listings import DeadLetterQuery

Report = Mapping[str, Any]
_ROOM_FOR_ERRORS = 100


def list_dead_letters(query: DeadLetterQuery, setup: Setup, output: str) -> int:
    """Print a page of dead letters, newest first."""
    page = run_in(open_letters(setup), lambda letters: letters.page(query))
    emit(page, output, lambda: _page_text(page))
    return 0


def _page_text(page: Report) -> str:
    if not page["items"]:
        return "no dead letters"
    headings = ("id", "workflow", "at", "tries", "error")
    shown = len(headings) if has_room(_ROOM_FOR_ERRORS) else 3
    rows = [_line(item)[:shown] for item in page["items"]]
    parts: list[RenderableType] = [table(*headings[:shown], cut=headings[shown - 1], rows=rows)]
    if page["next"] is not None:
        parts.append(f"\nmore with --cursor {page['next']}")
    return rendered(*parts)


def _line(item: Report) -> tuple[RenderableType, ...]:
    return (
        item["id"],
        _workflow(item),
        day_or_time(item["at"], SystemClock().now()),
        str(item["attempts"]),
        Text(_error(item), "red"),
    )


def show_dead_letter(id_: str, setup: Setup, output: str) -> int:
    """Print a dead letter: what failed, how, with which input, and what can be done about it."""

    async def read(letters: Letters) -> tuple[Report, bool]:
        letter = await letters.show(id_)
        execution = letter["execution_id"]
        return letter, execution is not None and await letters.is_undone(execution)

    letter, is_undone = run_in(open_letters(setup), read)
    emit(letter, output, lambda: _letter_text(letter, setup, is_undone=is_undone))
    return 0


def _letter_text(letter: Report, setup: Setup, *, is_undone: bool) -> str:
    parts: list[RenderableType] = [facts(_facts(letter))]
    if letter["error"]["details"]:
        parts += ["", Text("details", "bold"), json_text(letter["error"]["details"])]
    if letter["input"] is not None:
        parts += ["", Text("event" if letter["event"] else "input", "bold"), json_text(letter["input"])]
    if letter["discarded"] is None:
        parts += ["", Text("what to do next", "bold"), *_next(letter, setup, is_undone=is_undone)]
    return rendered(*parts)


def _facts(letter: Report) -> Iterator[tuple[str, RenderableType]]:
    yield "dead letter", letter["id"]
    yield from _facts_of_event(letter) if letter["event"] else _facts_of_step(letter)
    yield "tried", attempts_text(letter["attempts"]) or "once"
    yield "error", Text(_error(letter), "red")
    discarded = letter["discarded"]
    if discarded is not None:
        reason = f": {one_line(discarded['reason'])}" if discarded["reason"] else ""
        yield "discarded", f"{local_time(discarded['at'])} by {discarded['by']}{reason}"


def _facts_of_step(letter: Report) -> Iterator[tuple[str, RenderableType]]:
    yield "execution", letter["execution_id"]
    yield "workflow", _workflow(letter)
    yield "step" if letter["kind"] == "step" else "compensation step", letter["step"]
    yield "failed", f"{local_time(letter['at'])}, event {letter['seq']} of its history"


def _facts_of_event(letter: Report) -> Iterator[tuple[str, RenderableType]]:
    event = letter["event"]
    yield "event", one_line(f"{event['type']} {event['id']} from {event['source']}")
    if letter["workflow"] is not None:
        yield "workflow", _workflow(letter)
        yield "trigger", str(letter["trigger"])
    yield "refused", local_time(letter["at"])


def _workflow(letter: Report) -> str:
    return f"{letter['workflow']} {letter['version']}" if letter["workflow"] is not None else ""


def _next(letter: Report, setup: Setup, *, is_undone: bool) -> Iterator[str]:
    store, id_, execution = setup.same_store(), shlex.quote(letter["id"]), letter["execution_id"]
    if letter["event"]:
        yield f"  try it again:     stepwell dlq retry {id_}{store}"
        yield f"  leave it at that: stepwell dlq discard {id_}{store}"
        return
    yield f"  what led to it:   stepwell execution history {execution} --after {max(0, letter['seq'] - 10)}{store}"
    if is_undone:
        yield f"  begin before it:  stepwell execution fork {execution} --at N{store}, N being an event before it"
    else:
        yield f"  try it again:     stepwell dlq retry {id_}{store}"
    yield f"  leave it at that: stepwell dlq discard {id_}{store}"


def discard_dead_letters(ids: Sequence[str], reason: str | None, setup: Setup, output: str) -> int:
    """Discard dead letters; 2 when there is none with one of the ids. The others are discarded all the same."""
    missing: list[NotFound] = []

    async def discard(letters: Letters) -> list[Report]:
        done: list[Report] = []
        for id_ in ids:
            try:
                done.append(await letters.discard(id_, reason))
            except NotFound as error:
                missing.append(error)
        return done

    done = run_in(open_letters(setup), discard)
    emit({"items": done, "next": None}, output, lambda: "\n".join(_discarded(letter) for letter in done))
    for error in missing:
        say(labelled(error.code, error.message, error.hint))
    return 2 if missing else 0


def _discarded(letter: Report) -> str:
    if letter["outcome"] == "discarded":
        return f"{letter['id']} discarded"
    return f"{letter['id']} was discarded before, by {letter['discarded']['by']}"


def _error(letter: Report) -> str:
    return one_line(message_of(letter["error"]["type"], letter["error"]["message"]))
