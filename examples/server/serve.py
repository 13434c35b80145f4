"""Serves the examples: starts the services of the user registration, registers two workflows, calls `stepwell serve`.

Everything after the switches below is passed on to `stepwell serve`, such as `--port 9000`.
"""

from __future__ import annotations

import argparse
import importlib.util
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).resolve().parent
REGISTRATION = HERE.parent / "user-registration"


def main() -> int:
    """Serve until the process is told to end; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fail-email", action="store_true", help="the mail server is down: a failure that is handled")
    parser.add_argument("--no-event", action="store_true", help="the user never verifies")
    parser.add_argument("--folder", type=Path, default=Path("build/server"), help="default: %(default)s")
    options, passed_on = parser.parse_known_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    store = f"sqlite:{options.folder / 'executions.db'}"
    registration = _module(REGISTRATION / "run.py")
    with registration.running_services(options, store) as addresses:
        configuration = options.folder / "stepwell.yaml"
        configuration.write_text(registration.configuration_text(addresses), "utf-8")
        flags = ["--config", str(configuration), "--store", store]
        files = [str(REGISTRATION / "workflow.yaml"), str(HERE / "expenses.yaml")]
        environment = registration.environment()
        applied = subprocess.run(["stepwell", "workflow", "apply", *files, *flags], env=environment)
        if applied.returncode:
            return applied.returncode  # it has said why
        serving = subprocess.Popen(["stepwell", "serve", *flags, *passed_on], env=environment)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # it gets Ctrl-C too, and ends when it is ready
        signal.signal(signal.SIGTERM, lambda number, frame: serving.terminate())
        return serving.wait()


def _module(path: Path) -> ModuleType:
    """A script as a module."""
    spec = importlib.util.spec_from_file_location("registration", path)
    assert spec is not None, "it is a Python file"
    assert spec.loader is not None, "it is a Python file"
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.exit(main())
