"""Pages and schemas that are made from the code, so that they cannot go stale.

python scripts/generated.py --check     fail when one of them is not what the code says
python scripts/generated.py --write     write them anew
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from command_reference import command_page
from error_reference import error_page
from function_reference import function_page
from permission_reference import permission_page
from python_reference import python_page
from status_reference import status_page
from stepwell.app.configuration import configuration_schema
from stepwell.definition.schema import workflow_schema
from verb_reference import verb_page

ROOT: Final = Path(__file__).resolve().parent.parent
NOTICE: Final = "<!-- Made from the code by `make generate`; changes belong there. -->\n\n"


def _json(schema: Mapping[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


GENERATED: Final[Mapping[str, Callable[[], str]]] = {
    "docs/reference/command-line.md": lambda: NOTICE + command_page(),
    "docs/reference/errors.md": lambda: NOTICE + error_page(),
    "docs/reference/functions.md": lambda: NOTICE + function_page(),
    "docs/reference/permissions.md": lambda: NOTICE + permission_page(),
    "docs/reference/python.md": lambda: NOTICE + python_page(),
    "docs/reference/workflow.schema.json": lambda: _json(workflow_schema()),
    "docs/reference/configuration.schema.json": lambda: _json(configuration_schema()),
    "docs/reference/verbs.md": lambda: NOTICE + verb_page(),
    "docs/explanation/statuses.md": lambda: NOTICE + status_page(),
}
"""What is generated, below the project's root, and how."""


def main() -> int:
    """Check or write; returns the exit status."""
    if sys.argv[1:] not in (["--check"], ["--write"]):
        print("usage: python scripts/generated.py --check | --write", file=sys.stderr)
        return 2
    stale = {name: text for name, make in GENERATED.items() if _current(ROOT / name) != (text := make())}
    for name, text in stale.items():
        if sys.argv[1] == "--write":
            (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / name).write_text(text, "utf-8")
            print(f"wrote {name}")
        else:
            print(f"{name} is not what the code says: run `make generate`", file=sys.stderr)
    return 1 if stale and sys.argv[1] == "--check" else 0


def _current(file: Path) -> str | None:
    return file.read_text("utf-8") if file.exists() else None


if __name__ == "__main__":
    sys.exit(main())
