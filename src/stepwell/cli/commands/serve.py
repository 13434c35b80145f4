"""`stepwell serve`."""

from __future__ import annotations

import click

from stepwell.cli.options import Setup, setup_options


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="HOST", help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8080,
    show_default=True,
    help="The port to listen on; 0 for any free one.",
)
@click.option(
    "--insecure", is_flag=True, help="Listen on an address that others reach although nobody is asked who he is."
)
@setup_options(modules=True, dialect=None)
def command(host: str, port: int, insecure: bool, setup: Setup) -> int:
    """Serve the HTTP API, and run what is started with it.

    What engines that are gone left unfinished in the store goes on. Ctrl-C ends it when the requests under way have
    been answered; a second one ends it at once. Nothing that was acknowledged is lost either way.

    \b
    stepwell serve --store sqlite:orders.db --import tasks.py
    """
    from stepwell.cli.serving import serve

    return serve(host, port, setup, insecure=insecure)
