"""`subscription`: who is told of lifecycle events by webhooks, in a store or through a server that has it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from stepwell.base.clock import SystemClock
from stepwell.base.errors import UsageError
from stepwell.cli.documents import emit
from stepwell.cli.options import Setup
from stepwell.cli.streams import say
from stepwell.cli.subjects.opening import run_in
from stepwell.cli.subjects.subscriptions import Subscribed, open_subscribed
from stepwell.cli.tables import facts, rendered, table
from stepwell.cli.words import day_or_time, local_time

Report = Mapping[str, Any]
_STYLES = {"delivered": "green", "failed": "yellow", "given_up": "red"}


def list_subscriptions(limit: int, cursor: str | None, setup: Setup, output: str) -> int:
    """Print a page of subscriptions."""
    page = run_in(open_subscribed(setup), lambda subscribed: subscribed.page(limit, cursor))
    emit(page, output, lambda: _list_text(page))
    return 0


def show_subscription(id_: str, setup: Setup, output: str) -> int:
    """Print a subscription."""
    found = run_in(open_subscribed(setup), lambda subscribed: subscribed.show(id_))
    emit(found, output, lambda: rendered(facts(_facts(found))))
    return 0


def create_subscription(given: Mapping[str, Any], setup: Setup, output: str, *, quiet: bool) -> int:
    """Make a subscription and print its secret."""
    made = run_in(open_subscribed(setup), lambda subscribed: subscribed.create(given))
    emit(made, output, lambda: str(made["secret"]))
    if not quiet:
        say(f"this is the secret of subscription {made['id']}, which signs its messages; it is not shown again")
    return 0


def change_subscription(id_: str, given: Mapping[str, Any], setup: Setup, output: str) -> int:
    """Change what is given of a subscription."""
    if not given:
        raise UsageError("nothing is to be changed", hint="`stepwell subscription change --help` lists what can be")
    changed = run_in(open_subscribed(setup), lambda subscribed: subscribed.change(id_, given))
    emit(changed, output, lambda: f"subscription {id_} changed; it is {_status(changed)}")
    return 0


def delete_subscriptions(ids: Sequence[str], setup: Setup, output: str) -> int:
    """Delete subscriptions."""

    async def delete(subscribed: Subscribed) -> list[Report]:
        for id_ in ids:
            await subscribed.delete(id_)
        return [{"id": id_, "deleted": True} for id_ in ids]

    items = run_in(open_subscribed(setup), delete)
    shown = {"items": items, "next": None}
    emit(shown, output, lambda: "\n".join(f"subscription {item['id']} deleted" for item in items))
    return 0


def list_deliveries(id_: str, limit: int, cursor: str | None, setup: Setup, output: str) -> int:
    """Print a page of what was sent."""
    page = run_in(open_subscribed(setup), lambda subscribed: subscribed.deliveries(id_, limit, cursor))
    emit(page, output, lambda: _deliveries_text(page))
    return 0


def redeliver(id_: str, message: str, setup: Setup, output: str) -> int:
    """Send a message again."""
    again = run_in(open_subscribed(setup), lambda subscribed: subscribed.redeliver(id_, message))
    emit(again, output, lambda: f"message {again['id']} is sent again")
    if setup.server is None:
        say("a server on this store sends it: `stepwell serve`")
    return 0


def _status(subscription: Report) -> str:
    if subscription["disabled"] is not None:
        return "disabled"
    return "active" if subscription["active"] else "not active"


def _list_text(page: Report) -> str:
    if not page["items"]:
        return "no subscriptions"
    rows = [
        (item["id"], _status(item), ", ".join(item["types"]), ", ".join(item["workflows"]), item["url"])
        for item in page["items"]
    ]
    return _with_more(table("id", "status", "types", "workflows", "url", rows=rows, cut="url"), page)


def _facts(subscription: Report) -> Iterator[tuple[str, RenderableType]]:
    yield "subscription", subscription["id"]
    yield "status", _status(subscription)
    disabled = subscription["disabled"]
    if disabled is not None:
        yield "disabled", f"{local_time(disabled['at'])}: {disabled['reason']}"
    yield "url", subscription["url"]
    yield "types", ", ".join(subscription["types"])
    yield "workflows", ", ".join(subscription["workflows"])
    yield "format", subscription["format"]
    yield "waiting", str(subscription["waiting"]) if subscription["waiting"] else ""
    yield "delivered", local_time(subscription["delivered_at"]) if subscription["delivered_at"] is not None else "never"
    yield "made", f"{local_time(subscription['created_at'])} by {subscription['created_by']}"
    yield "description", subscription["description"]


def _deliveries_text(page: Report) -> str:
    if not page["items"]:
        return "nothing was sent"
    now = SystemClock().now()
    rows = [
        (
            day_or_time(item["at"], now),
            Text(item["outcome"].replace("_", " "), _STYLES[item["outcome"]]),
            str(item["attempt"]),
            item["type"],
            item["id"],
            item["problem"] or (str(item["status"]) if item["status"] is not None else ""),
        )
        for item in page["items"]
    ]
    headings = ("at", "outcome", "attempt", "type", "message", "answer")
    return _with_more(table(*headings, rows=rows, cut="answer"), page)


def _with_more(shown: RenderableType, page: Report) -> str:
    more = [f"\nmore with --cursor {page['next']}"] if page["next"] is not None else []
    return rendered(shown, *more)
