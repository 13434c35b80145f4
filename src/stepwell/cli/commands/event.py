"""`stepwell event`."""

from __future__ import annotations

import click

from stepwell.cli.options import Setup, output_option, quiet_option, setup_options


@click.group("event")
def command() -> None:
    """Send events to waiting steps, and to the triggers of workflows."""


@command.command("publish")
@click.argument("type_", metavar="TYPE")
@click.option("-d", "--data", "given", metavar="JSON", help="The event's data: JSON, @FILE, or - for standard input.")
@click.option("--source", default="stepwell-cli", show_default=True, metavar="TEXT", help="Who sends it.")
@click.option("--subject", metavar="TEXT", help="What it is about.")
@click.option("--id", "id_", metavar="TEXT", help="Its id; a second event with the same source and id does nothing.")
@setup_options(server=True)
@output_option()
@quiet_option
def publish(
    type_: str,
    given: str | None,
    source: str,
    subject: str | None,
    id_: str | None,
    setup: Setup,
    output: str,
    quiet: bool,
) -> int:
    """Publish an event: every step that waits for it goes on, in whatever process runs it, and every registered
    workflow with a trigger for it is started.

    \b
    stepwell event publish user.email_verified -d '{"user_id": "u-17"}'
    """
    from stepwell.cli.publishing import publish_event

    return publish_event(type_, given, setup, output, source=source, subject=subject, id_=id_, quiet=quiet)
