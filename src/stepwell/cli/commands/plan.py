"""`stepwell plan`."""

from __future__ import annotations

from pathlib import Path

import click

from stepwell.cli.options import Setup, output_option, path_type, setup_options


@click.command("plan")
@click.argument("file", type=path_type())
@setup_options(store=False, modules=True)
@output_option()
def command(file: Path, setup: Setup, output: str) -> int:
    """Show how the workflow in FILE would run, without running it.

    The order, the longest chain, the joins, how often steps are tried at worst, and what has no timeout or no
    compensation.

    \b
    stepwell plan signup.yaml
    """
    from stepwell.cli.planning import show_plan

    return show_plan(file, setup, output)
