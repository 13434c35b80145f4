"""Runs the user registration: starts its services, writes a configuration that names them, and calls `stepwell run`.

Everything after the switches below is passed on to `stepwell run`, such as `-o json`. The exit status is that of
`stepwell run`: 0 when the user was registered, 1 when the registration failed and was undone.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
NO_EVENT_WAIT = "2s"
"""How long the user has to verify the address when it is known that nobody will."""


def main() -> int:
    """Run once; returns the exit status."""
    options, passed_on = arguments()
    options.folder.mkdir(parents=True, exist_ok=True)
    store = options.store or f"sqlite:{options.folder / 'executions.db'}"
    with running_services(options, store) as addresses:
        configuration = options.folder / "services.yaml"
        configuration.write_text(configuration_text(addresses), "utf-8")
        return run_workflow(["--config", str(configuration), "--store", store, *passed_on], given_input(options))


def arguments() -> tuple[argparse.Namespace, list[str]]:
    """This script's own switches, and what is for `stepwell run`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fail-email", action="store_true", help="the mail server is down: a failure that is handled")
    parser.add_argument("--no-event", action="store_true", help="the user never verifies: the account is deleted again")
    parser.add_argument("--store", help="the URL of the store (default: a file in the folder)")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("build/user-registration"),
        help="where the database, the configuration and the services' log go (default: %(default)s)",
    )
    return parser.parse_known_args()


@contextmanager
def running_services(options: argparse.Namespace, store: str) -> Iterator[dict[str, str]]:
    """The services, as a child process that ends with the block; gives their addresses by name."""
    command = [sys.executable, str(HERE / "services.py"), "--store", store]
    command += ["--fail-email"] if options.fail_email else []
    command += ["--no-event"] if options.no_event else []
    with (options.folder / "services.log").open("w", encoding="utf-8") as log:
        services = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment(),
            text=True,
            start_new_session=True,  # Ctrl-C is for `stepwell run`, which still needs its services then
        )
    try:
        assert services.stdout is not None
        first_line = services.stdout.readline()
        if not first_line:
            sys.exit(f"the services did not start: see {log.name}")
        yield json.loads(first_line)
    finally:
        services.terminate()
        services.communicate()


def configuration_text(addresses: dict[str, str]) -> str:
    """A configuration of stepwell that knows where the services are."""
    lines = [f"  {name}: {{url: {json.dumps(url)}, timeout: 5s}}" for name, url in addresses.items()]
    return "\n".join(["services:", *lines, ""])


def given_input(options: argparse.Namespace) -> str:
    """The example input; when nobody will verify the address, there is no point in waiting a day for it."""
    given = json.loads((HERE / "input.json").read_text("utf-8"))
    return json.dumps(given | {"verify_within": NO_EVENT_WAIT} if options.no_event else given)


def run_workflow(flags: list[str], given: str) -> int:
    """Call `stepwell run` with its output on this terminal, and wait for its end; returns its exit status."""
    command = ["stepwell", "run", str(HERE / "workflow.yaml"), "-i", "-", *flags]
    run = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment(), text=True)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it stops cleanly by itself, and says how to go on
    run.communicate(given)
    return run.returncode


def environment() -> dict[str, str]:
    """This environment, with the `stepwell` that belongs to this Python first in the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {**os.environ, "PATH": path}


if __name__ == "__main__":
    sys.exit(main())
