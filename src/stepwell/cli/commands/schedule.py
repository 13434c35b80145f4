"""`stepwell schedule`."""

from __future__ import annotations

from typing import Any

import click

from stepwell.cli.options import Setup, output_option, reason_option, setup_options


@click.group("schedule")
def command() -> None:
    """Schedules: times at which workflows are started. A server fires them."""


@command.command("list")
@click.option("--workflow", metavar="NAME", help="Only those of this workflow.")
@click.option("--limit", type=click.IntRange(1, 1_000), default=50, show_default=True, help="At most so many.")
@click.option("--cursor", metavar="TEXT", help="Go on where a list ended: its `next`.")
@setup_options(server=True)
@output_option()
def list_(workflow: str | None, limit: int, cursor: str | None, setup: Setup, output: str) -> int:
    """List schedules: those that workflows declare, and those that somebody made.

    \b
    stepwell schedule list --workflow nightly-report
    """
    from stepwell.cli.schedules import list_schedules

    return list_schedules(workflow, limit, cursor, setup, output)


@command.command("show")
@click.argument("id_", metavar="ID")
@setup_options(server=True)
@output_option()
def show(id_: str, setup: Setup, output: str) -> int:
    """Show a schedule, and what it did last.

    \b
    stepwell schedule show nightly-report:0
    """
    from stepwell.cli.schedules import show_schedule

    return show_schedule(id_, setup, output)


@command.command("create")
@click.argument("workflow", metavar="WORKFLOW")
@click.option("--id", "id", metavar="TEXT", help="What it is called; made, unless given.")
@click.option("--cron", metavar="TEXT", help="Minute hour day month weekday, or @daily and the like.")
@click.option("--every", metavar="DURATION", help="An interval.")
@click.option("--at", metavar="TIME", help="One time, such as 2026-11-20T10:00:00Z.")
@click.option("--timezone", metavar="NAME", help="Such as Europe/Berlin; UTC when left out.")
@click.option("--anchor", metavar="TIME", help="What intervals are counted from.")
@click.option("--jitter", metavar="DURATION", help="Up to how much later it may start.")
@click.option("--catch-up", type=click.Choice(["skip", "one", "all"]), help="What becomes of missed times.")
@click.option("--overlap", type=click.Choice(["allow", "skip"]), help="skip: not while what it started still runs.")
@click.option("--version", metavar="TEXT", help="Instead of the default version at the time.")
@click.option("-i", "--input", "input", metavar="JSON", help="The input: JSON, @FILE, or - for standard input.")
@click.option("--paused", is_flag=True, help="It starts nothing until it is resumed.")
@setup_options(server=True)
@output_option()
def create(workflow: str, setup: Setup, output: str, **given: Any) -> int:
    """Make a schedule for a registered workflow.

    \b
    stepwell schedule create nightly-report --cron "0 2 * * *" --timezone Europe/Berlin -i '{"region": "eu"}'
    """
    from stepwell.cli.schedules import create_schedule

    return create_schedule({"workflow": workflow, **given}, setup, output)


@command.command("pause")
@click.argument("id_", metavar="ID")
@reason_option
@setup_options(server=True)
@output_option()
def pause(id_: str, reason: str | None, setup: Setup, output: str) -> int:
    """Have a schedule start nothing until it is resumed.

    \b
    stepwell schedule pause nightly-report:0 --reason "holidays"
    """
    from stepwell.cli.schedules import pause_schedule

    return pause_schedule(id_, reason, setup, output)


@command.command("resume")
@click.argument("id_", metavar="ID")
@setup_options(server=True)
@output_option()
def resume(id_: str, setup: Setup, output: str) -> int:
    """Have a schedule go on with its next time; those that passed meanwhile are not made up for.

    \b
    stepwell schedule resume nightly-report:0
    """
    from stepwell.cli.schedules import resume_schedule

    return resume_schedule(id_, setup, output)


@command.command("delete")
@click.argument("id_", metavar="ID")
@setup_options(server=True)
@output_option()
def delete(id_: str, setup: Setup, output: str) -> int:
    """Delete a schedule that somebody made.

    \b
    stepwell schedule delete schedule-1f6f4a1d
    """
    from stepwell.cli.schedules import delete_schedule

    return delete_schedule(id_, setup, output)


@command.command("run-now")
@click.argument("id_", metavar="ID")
@setup_options(server=True)
@output_option()
def run_now(id_: str, setup: Setup, output: str) -> int:
    """Fire a schedule at once, whether or not it is paused.

    \b
    stepwell schedule run-now nightly-report:0
    """
    from stepwell.cli.schedules import run_schedule

    return run_schedule(id_, setup, output)


@command.command("backfill")
@click.argument("id_", metavar="ID")
@click.option("--from", "since", metavar="TIME", required=True, help="From this time on.")
@click.option("--to", "until", metavar="TIME", required=True, help="Before this time.")
@setup_options(server=True)
@output_option()
def backfill(id_: str, since: str, until: str, setup: Setup, output: str) -> int:
    """Fire a schedule for all its times in a range that has passed. A time that it has fired for starts nothing again.

    \b
    stepwell schedule backfill nightly-report:0 --from 2026-11-01T00:00:00Z --to 2026-11-08T00:00:00Z
    """
    from stepwell.cli.schedules import backfill_schedule

    return backfill_schedule(id_, since, until, setup, output)


@command.command("upcoming")
@click.argument("id_", metavar="ID")
@click.option("--count", type=click.IntRange(1, 100), default=10, show_default=True, help="So many times.")
@setup_options(server=True)
@output_option()
def upcoming(id_: str, count: int, setup: Setup, output: str) -> int:
    """List the next times of a schedule.

    \b
    stepwell schedule upcoming nightly-report:0 --count 5
    """
    from stepwell.cli.schedules import list_upcoming

    return list_upcoming(id_, count, setup, output)


@command.command("firings")
@click.option("--workflow", metavar="NAME", help="Only those of this workflow.")
@click.option("--schedule", metavar="ID", help="Only those of this schedule.")
@click.option(
    "--outcome", type=click.Choice(["started", "present", "filtered", "refused"]), help="Only those with this outcome."
)
@click.option("--limit", type=click.IntRange(1, 1_000), default=50, show_default=True, help="At most so many.")
@click.option("--cursor", metavar="TEXT", help="Go on where a list ended: its `next`.")
@setup_options(server=True)
@output_option()
def firings(
    workflow: str | None,
    schedule: str | None,
    outcome: str | None,
    limit: int,
    cursor: str | None,
    setup: Setup,
    output: str,
) -> int:
    """List what triggers made of times, events and webhooks, newest first.

    \b
    stepwell schedule firings --outcome filtered
    """
    from stepwell.cli.schedules import list_firings

    return list_firings({"workflow": workflow, "schedule": schedule, "outcome": outcome}, limit, cursor, setup, output)
