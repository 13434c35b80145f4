"""`stepwell cluster`: who shares the work of a store."""

from __future__ import annotations

import click

from stepwell.cli.options import Setup, output_option, setup_options


@click.command("cluster")
@setup_options(server=True)
@output_option()
def command(setup: Setup, output: str) -> int:
    """Show the nodes, and which shards each owns, until when.

    \b
    stepwell cluster --server http://127.0.0.1:8080
    """
    from stepwell.cli.clusters import show_cluster

    return show_cluster(setup, output)
