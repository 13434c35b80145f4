"""W7: whole processes of `stepwell validate` and `stepwell plan` on a large file: from the command to its end."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import yaml

from benchmarks.figures import Workload, median
from benchmarks.workflows import nested, with_conditions

COMMANDS: Final = ("validate", "plan")
_DEEPEST: Final = 21
"""Groups within groups: as deep as a document may be nested."""


def measure(folder: Path, quick: bool) -> Workload:
    """Every form as YAML and as JSON; of each command the median of three processes."""
    count, rounds = (50, 1) if quick else (10_000, 3)
    files = {}
    for form, made in (("conditions", with_conditions(count)), ("nested", nested(count, _DEEPEST))):
        for notation, write in _WRITERS.items():
            file = files[f"{form}_{notation}"] = folder / f"{form}.{notation}"
            file.write_text(write(json.loads(made)))
    figures = {
        f"seconds_to_{command}_{name}": median(_seconds(command, file) for _ in range(rounds))
        for name, file in files.items()
        for command in COMMANDS
    }
    longest = {f"seconds_to_{command}": _most(figures, f"seconds_to_{command}_") for command in COMMANDS}
    return Workload(name="W7", title=f"validate and plan {count:,} steps", figures={**figures, **longest})


def _yaml(document: Any) -> str:
    return yaml.dump(document, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False)


_WRITERS: Final[Mapping[str, Callable[[Any], str]]] = {"yaml": _yaml, "json": json.dumps}


def _most(figures: Mapping[str, float], prefix: str) -> float:
    return max(figure for name, figure in figures.items() if name.startswith(prefix))


def _seconds(command: str, file: Path) -> float:
    """How long a process takes, from its start to its end."""
    began = perf_counter()
    subprocess.run(
        [sys.executable, "-m", "stepwell", command, file.name], cwd=file.parent, stdout=subprocess.DEVNULL, check=True
    )
    return perf_counter() - began
