"""`stepwell doctor`."""

from __future__ import annotations

import click

from stepwell.cli.options import Setup, output_option, setup_options


@click.command("doctor")
@setup_options(server=True, modules=True, dialect=None)
@output_option()
def command(setup: Setup, output: str) -> int:
    """Look whether all is well: installation, configuration, modules, store, key, clock.

    With --server it is looked whether that answers, is ready, and takes the token. The exit status is 1 when something
    does not work.

    \b
    stepwell doctor --import tasks.py
    """
    from stepwell.cli.doctor import examine

    return examine(setup, output)
