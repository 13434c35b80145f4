"""`stepwell audit`: who did what."""

from __future__ import annotations

import click

from stepwell.cli.options import Setup, output_option, setup_options


@click.group("audit")
def command() -> None:
    """The audit log: who did what, to what, and how it went."""


@command.command("list")
@click.option("--who", metavar="NAME", help="Only what this one did.")
@click.option("--what", metavar="TEXT", help="Only what begins so, such as key. or secret.set.")
@click.option("--on", metavar="TEXT", help="Only what was done to this, such as execution:ID.")
@click.option("--outcome", type=click.Choice(["done", "refused", "failed"]), help="Only what went so.")
@click.option("--since", metavar="INSTANT", help="From then on, such as 2026-11-20T10:00:00Z.")
@click.option("--until", metavar="INSTANT", help="Before then.")
@click.option("--limit", type=click.IntRange(1, 1_000), default=50, show_default=True, help="At most so many.")
@click.option("--cursor", metavar="TEXT", help="Go on where a list ended: its `next`.")
@setup_options(server=True)
@output_option()
def list_(
    who: str | None,
    what: str | None,
    on: str | None,
    outcome: str | None,
    since: str | None,
    until: str | None,
    limit: int,
    cursor: str | None,
    setup: Setup,
    output: str,
) -> int:
    """List entries, the newest first.

    \b
    stepwell audit list --who ada@laptop --outcome refused
    """
    from stepwell.cli.auditing import list_entries

    filters = {"who": who, "what": what, "on": on, "outcome": outcome, "since": since, "until": until}
    return list_entries({**filters, "limit": limit, "cursor": cursor}, setup, output)


@command.command("verify")
@setup_options()
@output_option()
def verify(setup: Setup, output: str) -> int:
    """Hold the log against its chain: whether an entry was changed, dropped or put in.

    \b
    stepwell audit verify
    """
    from stepwell.cli.auditing import verify_log

    return verify_log(setup, output)
