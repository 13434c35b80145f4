"""`stepwell workflow`."""

from __future__ import annotations

from pathlib import Path

import click

from stepwell.cli.options import Setup, output_option, path_type, setup_options


@click.group("workflow")
def command() -> None:
    """Look at definitions: schema, graph."""


@command.command("schema")
def schema() -> int:
    """Print the JSON Schema of workflow definitions, for editors.

    \b
    stepwell workflow schema > workflow.schema.json
    """
    from stepwell.cli.workflows import print_schema

    return print_schema()


@command.command("graph")
@click.argument("file", type=path_type())
@setup_options(store=False, modules=True)
@output_option("mermaid", "dot", "json", help="How to draw it.")
def graph(file: Path, setup: Setup, output: str) -> int:
    """Print the steps of FILE and what leads from one to the next, as a graph.

    \b
    stepwell workflow graph signup.yaml -o dot | dot -Tpng > signup.png
    """
    from stepwell.cli.workflows import print_graph

    return print_graph(file, setup, output)
