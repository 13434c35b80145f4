"""What a task publishes, as native variables."""

from __future__ import annotations

from typing import Any

from stepwell.definition.model import Path
from stepwell.dialects.graphs.publish import Whole, published
from stepwell.dialects.language import Language
from stepwell.dialects.origin import Taken
from stepwell.dialects.task_graph.book import Book
from stepwell.dialects.task_graph.expressions import DELIMITERS


def publish(written: Any, path: Path, book: Book, language: Language) -> Taken:
    """The variables that are published at `path`; a name alone is given the whole result."""
    values: dict[str, Any] = {}
    for each in published(written, path, book.findings, DELIMITERS):
        value = "{{ result() }}" if isinstance(each.value, Whole) else each.value
        values[each.name] = Taken(language.template(value, each.path, book.findings), each.path)
    return Taken(values, path)
