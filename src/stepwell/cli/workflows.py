"""`workflow schema` and `workflow graph`."""

from __future__ import annotations

from pathlib import Path

from stepwell.app.definitions import read_file
from stepwell.cli.documents import json_text
from stepwell.cli.drawing import drawn
from stepwell.cli.opening import catalogue_for_checking, checked
from stepwell.cli.options import Setup
from stepwell.cli.streams import output_kept_clean, write
from stepwell.definition.schema import workflow_schema


def print_schema() -> int:
    """Print the JSON Schema of workflow definitions."""
    write(json_text(workflow_schema()) + "\n")
    return 0


def print_graph(file: Path, setup: Setup, output: str) -> int:
    """Print the graph of the workflow in a file."""
    with output_kept_clean():
        catalogue = catalogue_for_checking(setup)
    definition, _ = checked(read_file(file), catalogue)
    write(drawn(definition, output))
    return 0
