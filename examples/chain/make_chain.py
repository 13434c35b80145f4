"""Writes a workflow of N steps, each of which waits for the one before: `python make_chain.py N > chain.yaml`.

`python make_chain.py N --run` runs it as well, on a database that is thrown away.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

HEADER = """\
apiVersion: workflow/v1
kind: Workflow
metadata: {{name: chain-of-{count}, version: "1.0.0", description: One step after the other.}}
spec:
  steps:
"""
STEP = "    - {{name: {name}, type: python, {dependency}config: {{task: nothing}}}}\n"


def chain(count: int) -> Iterator[str]:
    """The lines of a definition with `count` steps."""
    yield HEADER.format(count=count)
    for number in range(1, count + 1):
        dependency = f"depends_on: [step_{number - 1}], " if number > 1 else ""
        yield STEP.format(name=f"step_{number}", dependency=dependency)


def run(definition: str) -> int:
    """Run the definition with the `stepwell` that belongs to this Python; returns its exit status."""
    stepwell = Path(sys.executable).with_name("stepwell")
    tasks = Path(__file__).with_name("steps.py")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "chain.yaml")
        file.write_text(definition, "utf-8")
        store = f"sqlite:{folder}/chain.db"
        return subprocess.call([stepwell, "run", file, "--import", tasks, "--store", store])


def main() -> int:
    """Write or run; returns the exit status."""
    count, *flags = sys.argv[1:] or [""]
    if not (count.isascii() and count.isdigit() and int(count) > 0) or flags not in ([], ["--run"]):
        print("usage: python make_chain.py N [--run]", file=sys.stderr)
        return 2
    definition = "".join(chain(int(count)))
    if flags:
        return run(definition)
    print(definition, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
