"""SQL in named files: one folder per database, one file of queries, numbered migrations."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

_FOLDER: Final = Path(__file__).with_name("sql")
_NAME: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_MIGRATION: Final = re.compile(r"(\d{4})_(\w+)\.sql")


class Migration(NamedTuple):
    """One step from a schema to the next. `checksum` is over its text, whatever the line ends."""

    number: int
    name: str
    checksum: str
    text: str


def load_statements(database: str) -> Mapping[str, str]:
    """The statements of all files of a database that are called `queries*.sql`, by name."""
    found: dict[str, str] = {}
    for path in sorted((_FOLDER / database).glob("queries*.sql")):
        _, *parts = _NAME.split(_read(path))
        found |= {name: text.strip() for name, text in zip(parts[::2], parts[1::2], strict=True)}
    return found


def load_migrations(database: str) -> Sequence[Migration]:
    """A database's migrations, in order."""
    found = []
    for path in sorted((_FOLDER / database).iterdir()):
        if match := _MIGRATION.fullmatch(path.name):
            text = _read(path)
            found.append(Migration(int(match[1]), match[2], hashlib.sha256(text.encode()).hexdigest(), text))
    return found


def _read(path: Path) -> str:
    return path.read_text("utf-8")  # with universal newlines: a checkout may have changed the line ends
