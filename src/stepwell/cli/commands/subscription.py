"""`stepwell subscription`."""

from __future__ import annotations

from typing import Any

import click

from stepwell.cli.options import Setup, output_option, quiet_option, setup_options


@click.group("subscription")
def command() -> None:
    """Subscriptions: who is told of what happens, by webhooks. A server sends them."""


_types = click.option("--type", "types", multiple=True, metavar="TYPE", help="Only these; * at will; may be repeated.")
_workflows = click.option(
    "--workflow", "workflows", multiple=True, metavar="NAME", help="Only of these; * at will; may be repeated."
)
_format = click.option("--format", type=click.Choice(["cloudevents", "notification"]), help="Of the messages.")
_description = click.option("--description", metavar="TEXT", help="What it is for.")


@command.command("list")
@click.option("--limit", type=click.IntRange(1, 1_000), default=50, show_default=True, help="At most so many.")
@click.option("--cursor", metavar="TEXT", help="Go on where a list ended: its `next`.")
@setup_options(server=True)
@output_option()
def list_(limit: int, cursor: str | None, setup: Setup, output: str) -> int:
    """List subscriptions.

    \b
    stepwell subscription list
    """
    from stepwell.cli.subscriptions import list_subscriptions

    return list_subscriptions(limit, cursor, setup, output)


@command.command("show")
@click.argument("id_", metavar="ID")
@setup_options(server=True)
@output_option()
def show(id_: str, setup: Setup, output: str) -> int:
    """Show a subscription, and whether its receiver takes what is sent.

    \b
    stepwell subscription show billing
    """
    from stepwell.cli.subscriptions import show_subscription

    return show_subscription(id_, setup, output)


@command.command("create")
@click.argument("url", metavar="URL")
@click.option("--id", "id", metavar="TEXT", help="What it is called; made, unless given.")
@_types
@_workflows
@_format
@_description
@setup_options(server=True)
@output_option()
@quiet_option
def create(url: str, setup: Setup, output: str, quiet: bool, **given: Any) -> int:
    """Have a URL told of what happens from now on. The secret that signs the messages is printed once.

    \b
    stepwell subscription create https://billing.example/hooks --type "stepwell.execution.*"
    """
    from stepwell.cli.subscriptions import create_subscription

    return create_subscription({"url": url, **_said(given)}, setup, output, quiet=quiet)


@command.command("change")
@click.argument("id_", metavar="ID")
@click.option("--url", metavar="URL", help="Where messages go from now on.")
@_types
@_workflows
@_format
@_description
@click.option(
    "--active/--not-active", default=None, help="Whether it is told of anything; it goes on where it stopped."
)
@setup_options(server=True)
@output_option()
def change(id_: str, setup: Setup, output: str, **given: Any) -> int:
    """Change a subscription. What is not said stays.

    \b
    stepwell subscription change billing --active
    """
    from stepwell.cli.subscriptions import change_subscription

    return change_subscription(id_, _said(given), setup, output)


@command.command("delete")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@setup_options(server=True)
@output_option()
def delete(ids: tuple[str, ...], setup: Setup, output: str) -> int:
    """Delete subscriptions. What was to be sent again is not.

    \b
    stepwell subscription delete billing
    """
    from stepwell.cli.subscriptions import delete_subscriptions

    return delete_subscriptions(ids, setup, output)


@command.command("deliveries")
@click.argument("id_", metavar="ID")
@click.option("--limit", type=click.IntRange(1, 1_000), default=50, show_default=True, help="At most so many.")
@click.option("--cursor", metavar="TEXT", help="Go on where a list ended: its `next`.")
@setup_options(server=True)
@output_option()
def deliveries(id_: str, limit: int, cursor: str | None, setup: Setup, output: str) -> int:
    """List what was sent, and what came of it, newest first.

    \b
    stepwell subscription deliveries billing --limit 10
    """
    from stepwell.cli.subscriptions import list_deliveries

    return list_deliveries(id_, limit, cursor, setup, output)


@command.command("redeliver")
@click.argument("id_", metavar="ID")
@click.argument("message", metavar="MESSAGE")
@setup_options(server=True)
@output_option()
def redeliver(id_: str, message: str, setup: Setup, output: str) -> int:
    """Send a message again, under the same id.

    \b
    stepwell subscription redeliver billing msg_2f6f4a1d_7
    """
    from stepwell.cli.subscriptions import redeliver as send_again

    return send_again(id_, message, setup, output)


def _said(given: dict[str, Any]) -> dict[str, Any]:
    """What the user said, as the API has it."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in given.items()
        if value is not None and value != ()
    }
