"""The result of a command on standard output: one JSON or YAML document, or what a person reads."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from stepwell.cli.streams import speaks_unicode, write


def emit(document: Any, output: str, shown: Callable[[], str]) -> None:
    """Print the document in the format asked for.

    Args:
        output: `json`, `yaml` or `table`.
        shown: makes the text for people.
    """
    match output:
        case "json":
            write(json_text(document) + "\n")
        case "yaml":
            write(yaml_text(document))
        case _:
            text = shown()
            write(text if text.endswith("\n") or not text else text + "\n")


def json_text(document: Any) -> str:
    """JSON for people and machines; ASCII only where the terminal can show no more."""
    return json.dumps(document, indent=2, ensure_ascii=not speaks_unicode(sys.stdout), allow_nan=False)


def yaml_text(document: Any) -> str:
    """YAML, keys in the order of the document."""
    import yaml

    dumped: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=speaks_unicode(sys.stdout), width=100)
    return dumped
