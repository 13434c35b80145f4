"""`workflow schema` and `workflow graph`."""

from __future__ import annotations

from stepwell.app.drawing import graph_document, graph_text
from stepwell.cli.documents import json_text
from stepwell.cli.opening import catalogue_for_checking, checked, configuration_of
from stepwell.cli.options import Setup
from stepwell.cli.sources import source_of
from stepwell.cli.streams import output_kept_clean, write
from stepwell.definition.schema import workflow_schema


def print_schema() -> int:
    """Print the JSON Schema of workflow definitions."""
    write(json_text(workflow_schema()) + "\n")
    return 0


def print_graph(given: str, setup: Setup, output: str) -> int:
    """Print the graph of a workflow, given by its file or its name."""
    with output_kept_clean():
        configuration, catalogue = configuration_of(setup), catalogue_for_checking(setup)
    definition, _ = checked(source_of(given, configuration, setup), catalogue)
    match output:
        case "mermaid" | "dot":
            write(graph_text(definition, output))
        case _:
            write(json_text(graph_document(definition)) + "\n")
    return 0
