"""`schedule`: schedules in a store, or through a server that has it, and what triggers made of what came."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from rich.console import RenderableType

from stepwell.app.cursors import cursor_of, place_in
from stepwell.app.who import this_user
from stepwell.base.clock import SystemClock
from stepwell.base.errors import ConfigurationError, UsageError
from stepwell.base.instants import from_rfc3339
from stepwell.cli.documents import emit, json_text
from stepwell.cli.given import read_json
from stepwell.cli.noting import note
from stepwell.cli.opening import configuration_of, definitions_of, existing_store
from stepwell.cli.options import Setup
from stepwell.cli.streams import say
from stepwell.cli.tables import facts, rendered, table
from stepwell.cli.words import day_or_time, local_time
from stepwell.ports.store import Store

if TYPE_CHECKING:
    from stepwell.app.schedules import Schedules

Report = dict[str, Any]
Act = Callable[["Schedules", int], Awaitable[Any]]
"""What is done with the schedules of a store, at an instant."""


def list_schedules(workflow: str | None, limit: int, cursor: str | None, setup: Setup, output: str) -> int:
    """Print a page of schedules."""

    async def read(schedules: Schedules, now: int) -> Report:
        after = place_in(cursor, str)[0] if cursor is not None else ""
        return _paged(await schedules.list(workflow=workflow, limit=limit, after=after))

    page = _asked(setup, read, "GET", "/schedules", parameters={"workflow": workflow, "limit": limit, "cursor": cursor})
    emit(page, output, lambda: _list_text(page))
    return 0


def show_schedule(id_: str, setup: Setup, output: str) -> int:
    """Print a schedule."""
    schedule = _asked(setup, lambda schedules, now: schedules.show(id_), "GET", _path(id_))
    emit(schedule, output, lambda: _schedule_text(schedule))
    return 0


def create_schedule(given: Mapping[str, Any], setup: Setup, output: str) -> int:
    """Make a schedule."""
    body = {name: value for name, value in given.items() if value not in (None, False)}
    if "input" in body:
        body["input"] = read_json(body["input"], "the input")
    made = _asked(
        setup, lambda schedules, now: schedules.create(body, by=this_user(), now=now), "POST", "/schedules", body
    )
    emit(made, output, lambda: f"schedule {made['id']} made; {_next_text(made)}")
    _say_who_fires(setup)
    return 0


def pause_schedule(id_: str, reason: str | None, setup: Setup, output: str) -> int:
    """Pause a schedule."""

    async def pause(schedules: Schedules, now: int) -> Report:
        return await schedules.pause(id_, by=this_user(), now=now, reason=reason)

    paused = _asked(setup, pause, "POST", f"{_path(id_)}/pause", {"reason": reason or ""})
    emit(paused, output, lambda: f"schedule {id_} is paused")
    return 0


def resume_schedule(id_: str, setup: Setup, output: str) -> int:
    """Resume a schedule."""
    resumed = _asked(setup, lambda schedules, now: schedules.resume(id_, now=now), "POST", f"{_path(id_)}/resume")
    emit(resumed, output, lambda: f"schedule {id_} goes on; {_next_text(resumed)}")
    return 0


def delete_schedule(id_: str, setup: Setup, output: str) -> int:
    """Delete a schedule."""
    _asked(setup, lambda schedules, now: schedules.delete(id_, now=now), "DELETE", _path(id_))
    emit({"id": id_, "deleted": True}, output, lambda: f"schedule {id_} deleted")
    return 0


def run_schedule(id_: str, setup: Setup, output: str) -> int:
    """Fire a schedule; 1 when nothing was started."""

    async def run(schedules: Schedules, now: int) -> Report:
        return await schedules.run_now(id_, by=this_user(), now=now)

    fired = _asked(setup, run, "POST", f"{_path(id_)}/run")
    emit(fired, output, lambda: _fired_text(fired))
    _say_who_fires(setup)
    return 0 if fired["outcome"] == "started" else 1


def backfill_schedule(id_: str, since: str, until: str, setup: Setup, output: str) -> int:
    """Fire a schedule for the times of a range."""
    begin, end = _instant(since, "--from"), _instant(until, "--to")

    async def backfill(schedules: Schedules, now: int) -> Report:
        return await schedules.backfill(id_, begin, end, by=this_user(), now=now)

    made = _asked(setup, backfill, "POST", f"{_path(id_)}/backfill", {"from": since, "to": until})
    emit(
        made, output, lambda: "\n".join(_fired_text(item) for item in made["items"]) or "no time of it is in the range"
    )
    _say_who_fires(setup)
    return 0


def list_upcoming(id_: str, count: int, setup: Setup, output: str) -> int:
    """Print the next times of a schedule."""
    page = _asked(
        setup,
        lambda schedules, now: schedules.upcoming(id_, count, now),
        "GET",
        f"{_path(id_)}/upcoming",
        parameters={"count": count},
    )
    emit(page, output, lambda: "\n".join(local_time(item["starts_at"]) for item in page["items"]) or "none")
    return 0


def list_firings(wanted: Mapping[str, Any], limit: int, cursor: str | None, setup: Setup, output: str) -> int:
    """Print a page of what triggers made of what came."""

    async def read() -> Report:
        from stepwell.app.firings import Firings

        before = place_in(cursor, int)[0] if cursor is not None else None
        async with existing_store(configuration_of(setup)) as store:
            return _paged(await Firings(store).list(**wanted, limit=limit, before=before))

    asked = {**wanted, "limit": limit, "cursor": cursor}
    page = asyncio.run(_get(setup, "/triggers/firings", asked) if setup.server is not None else read())
    emit(page, output, lambda: _firings_text(page))
    return 0


def _asked(
    setup: Setup,
    act: Act,
    method: str,
    path: str,
    body: Any = None,
    parameters: Mapping[str, Any] | None = None,
) -> Any:
    """What a server answers to the request; without one, what the act on the store returns."""

    async def ask() -> Any:
        if setup.server is None:
            return await _in_store(setup, act, method, path)
        if method == "GET":
            return await _get(setup, path, parameters or {})
        from stepwell.cli.remote.client import open_client

        async with open_client(setup) as client:
            return (await client.send(method, path, body)).document

    return asyncio.run(ask())


async def _get(setup: Setup, path: str, parameters: Mapping[str, Any]) -> Any:
    from stepwell.cli.remote.client import open_client

    async with open_client(setup) as client:
        return await client.get(path, parameters)


async def _in_store(setup: Setup, act: Act, method: str, path: str) -> Any:
    try:
        from stepwell.app.schedule_firing import ScheduleFiring
        from stepwell.app.schedules import Schedules
    except ImportError as error:
        message = f"schedules need {error.name}, which is not installed"
        raise ConfigurationError(message, code="missing-library", hint="pip install 'stepwell[server]'") from None
    from stepwell.app.session import cipher_for
    from stepwell.app.triggering import Triggering
    from stepwell.execution.codec import Codec

    configuration = configuration_of(setup)
    async with existing_store(configuration) as store:
        codec, load = Codec(cipher_for(configuration, say)), definitions_of(store).stored
        triggering = Triggering(store, load)
        firing = ScheduleFiring(store, codec, triggering.triggers, triggering.firings, load)
        done = await act(Schedules(store, codec, firing), SystemClock().now())
        if method != "GET":
            await _note(store, method, path, done)
        return done


async def _note(store: Store, method: str, path: str, done: Any) -> None:
    """Note the change in the audit log, as what a server is asked for names it: `/schedules/ID/pause`."""
    _, _, *rest = path.split("/")
    id_ = unquote(rest[0]) if rest else str(done["id"])
    verb = rest[1] if len(rest) > 1 else _VERBS[method]
    await note(store, f"schedule.{verb}", f"schedule:{id_}")


_VERBS: Final[Mapping[str, str]] = {"POST": "create", "PUT": "set", "DELETE": "delete"}


def _paged(page: Report) -> Report:
    return {**page, "next": cursor_of(page["next"]) if page["next"] is not None else None}


def _path(id_: str) -> str:
    from urllib.parse import quote

    return f"/schedules/{quote(id_, safe='')}"


def _instant(text: str, option: str) -> int:
    try:
        return from_rfc3339(text)
    except (ValueError, OverflowError):
        raise UsageError(f"{option}: {text!r} is not a time", hint="write it as 2026-11-20T10:00:00Z") from None


def _say_who_fires(setup: Setup) -> None:
    if setup.server is None:
        say("what it starts begins where an engine runs on this store: `stepwell serve` fires schedules")


# What is printed


def _list_text(page: Report) -> str:
    if not page["items"]:
        return "no schedules; those that workflows declare are here once `stepwell serve` has run"
    rows = [
        (item["id"], item["workflow"], item["status"], _when(item), local_time(item["next_at"]))
        for item in page["items"]
    ]
    return _with_more(table("id", "workflow", "status", "when", "next", rows=rows, cut="when"), page)


def _schedule_text(schedule: Report) -> str:
    parts: list[RenderableType] = [facts(_facts(schedule))]
    if schedule["last"]:
        rows = [_line(each) for each in schedule["last"]]
        parts += ["", table("due", "outcome", "execution or reason", rows=rows, fold="execution or reason")]
    return rendered(*parts)


def _facts(schedule: Report) -> Iterator[tuple[str, RenderableType]]:
    yield "schedule", schedule["id"]
    yield "workflow", " ".join(filter(None, (schedule["workflow"], schedule["version"])))
    yield "status", schedule["status"]
    paused = schedule["paused"]
    if paused is not None:
        yield (
            "paused",
            f"{local_time(paused['at'])} by {paused['by']}" + (f": {paused['reason']}" if paused["reason"] else ""),
        )
    yield "when", _when(schedule)
    yield "jitter", schedule["jitter"] if schedule["jitter"] != "0s" else ""
    yield "missed times", schedule["catch_up"]
    yield "overlap", schedule["overlap"]
    yield "next", local_time(schedule["next_at"])
    yield "made", f"{local_time(schedule['created_at'])} by {schedule['created_by']}"
    if schedule["input"] is not None:
        yield "input", json_text(schedule["input"])


def _line(fired: Report) -> Sequence[str]:
    return local_time(fired["due_at"]), fired["outcome"], fired["execution_id"] or fired["reason"] or ""


def _firings_text(page: Report) -> str:
    if not page["items"]:
        return "no firings"
    now = SystemClock().now()
    rows = [
        (
            day_or_time(item["at"], now),
            f"{item['workflow']} {item['version']}",
            f"{item['kind']} {item['trigger']}" if item["trigger"] >= 0 else item["kind"],
            item["outcome"],
            item["execution_id"] or item["reason"] or "",
        )
        for item in page["items"]
    ]
    headings = ("at", "workflow", "trigger", "outcome", "execution or reason")
    return _with_more(table(*headings, rows=rows, cut="execution or reason"), page)


def _with_more(shown: RenderableType, page: Report) -> str:
    more = [f"\nmore with --cursor {page['next']}"] if page["next"] is not None else []
    return rendered(shown, *more)


def _when(schedule: Report) -> str:
    if schedule["every"] is not None:
        return f"every {schedule['every']}"
    if schedule["at"] is not None:
        return f"at {local_time(schedule['at'])}"
    zone = "" if schedule["timezone"] == "UTC" else f" {schedule['timezone']}"
    return f"{schedule['cron']}{zone}"


def _next_text(schedule: Report) -> str:
    return (
        f"next {local_time(schedule['next_at'])}" if schedule["next_at"] is not None else f"it is {schedule['status']}"
    )


def _fired_text(fired: Report) -> str:
    what = f"execution {fired['execution_id']}" if fired["execution_id"] else fired["reason"]
    return f"{local_time(fired['due_at'])} {fired['outcome']}: {what}"
