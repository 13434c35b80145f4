"""`stepwell dlq`: the list of dead letters."""

from __future__ import annotations

import click

from stepwell.cli.commands.operating import retry_letter
from stepwell.cli.options import Setup, output_option, reason_option, setup_options


@click.group("dlq")
def command() -> None:
    """Dead letters: steps that failed for good and that nothing handled, and events that were refused."""


@command.command("list")
@click.option("--workflow", metavar="NAME", help="Only those of this workflow.")
@click.option("--execution", metavar="ID", help="Only those of this execution.")
@click.option("--error-type", metavar="TYPE", help="Only those with this type of error, such as timeout.")
@click.option("--discarded", is_flag=True, help="Those that were discarded, instead of the others.")
@click.option("--limit", type=click.IntRange(1, 1_000), default=50, show_default=True, help="At most so many.")
@click.option("--cursor", metavar="TEXT", help="Go on where a list ended: its `next`.")
@setup_options(server=True)
@output_option()
def list_(
    workflow: str | None,
    execution: str | None,
    error_type: str | None,
    discarded: bool,
    limit: int,
    cursor: str | None,
    setup: Setup,
    output: str,
) -> int:
    """List dead letters, newest first.

    \b
    stepwell dlq list --workflow order-fulfilment --error-type timeout
    """
    from stepwell.cli.dead_letters import list_dead_letters
    from stepwell.ports.listings import DeadLetterQuery

    query = DeadLetterQuery(
        workflow=workflow,
        execution=execution,
        error_type=error_type,
        discarded=discarded,
        limit=limit,
        cursor=cursor,
    )
    return list_dead_letters(query, setup, output)


@command.command("show")
@click.argument("id_", metavar="ID")
@setup_options(server=True)
@output_option()
def show(id_: str, setup: Setup, output: str) -> int:
    """Show a dead letter: what failed, how, with which input, and what can be done about it.

    \b
    stepwell dlq show 0b0fb5a4-9d0c-4c1e-8f5e-1f6f4a1d7c55/charge/7
    """
    from stepwell.cli.dead_letters import show_dead_letter

    return show_dead_letter(id_, setup, output)


@command.command("discard")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@reason_option
@setup_options(server=True)
@output_option()
def discard(ids: tuple[str, ...], reason: str | None, setup: Setup, output: str) -> int:
    """Decide that nothing is to be done about dead letters. Who, when and why is kept; their input is not.

    \b
    stepwell dlq discard 0b0fb5a4-9d0c-4c1e-8f5e-1f6f4a1d7c55/charge/7 --reason "paid by hand"
    """
    from stepwell.cli.dead_letters import discard_dead_letters

    return discard_dead_letters(ids, reason, setup, output)


command.add_command(retry_letter)
