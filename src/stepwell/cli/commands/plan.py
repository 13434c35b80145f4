"""`stepwell plan`."""

from __future__ import annotations

import click

from stepwell.cli.options import DefinitionType, Setup, output_option, setup_options


@click.command("plan")
@click.argument("workflow", type=DefinitionType(), metavar="FILE|NAME[@VERSION]")
@setup_options(server=True, modules=True)
@output_option()
def command(workflow: str, setup: Setup, output: str) -> int:
    """Show how a workflow would run, without running it.

    The order, the joins, the longest chain, the most attempts and time that it can take, what may last for ever, and
    what changes something outside and is not undone.

    \b
    stepwell plan signup.yaml
    """
    from stepwell.cli.planning import show_plan

    return show_plan(workflow, setup, output)
