"""Pins what stepwell needs, for running and for developing, to the versions that are installed in this environment.

    python scripts/lock.py --write     write requirements.lock
    python scripts/lock.py --check     fail when requirements.lock does not say what is installed

What is pinned is found by following the requirements of `stepwell[dev]`, so that whatever else happens to be installed
stays out. The file names versions only: no hashes and no place to get them from, so that it serves with any index.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCK = Path(__file__).resolve().parent.parent / "requirements.lock"
HEADER = "# Every package that stepwell needs, the developers' tools included. Written by `make lock`.\n"
ROOT = Requirement("stepwell[dev]")


def pinned() -> dict[str, str]:
    """The installed version of everything that is needed here, by name.

    Raises:
        PackageNotFoundError: something that is needed is not installed.
    """
    found: dict[str, str] = {}
    followed: set[tuple[str, str]] = set()
    pending = [ROOT]
    while pending:
        requirement = pending.pop()
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras} - {extra for known, extra in followed if known == name}:
            followed.add((name, extra))
            pending += needed_by(name, extra)
        found[name] = distribution(name).version
    del found[ROOT.name]
    return dict(sorted(found.items()))


def needed_by(name: str, extra: str) -> Iterator[Requirement]:
    """What an installed package requires on this machine, with one of its extras (or none: the empty text)."""
    for text in distribution(name).requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield requirement


def locked() -> dict[str, str]:
    """What the lock file says."""
    lines = LOCK.read_text("utf-8").splitlines() if LOCK.exists() else []
    pins = (line.partition("==") for line in lines if "==" in line)
    return {name: version for name, _, version in pins}


def differences() -> list[str]:
    """How the lock differs from what is installed. It may name more: another Python needs other packages."""
    lock = locked()
    return [
        f"{name}: {version} is installed, requirements.lock says {lock.get(name, 'nothing')}"
        for name, version in pinned().items()
        if lock.get(name) != version
    ]


def main() -> int:
    """Write or check; returns the exit status."""
    if sys.argv[1:] not in (["--write"], ["--check"]):
        print("usage: python scripts/lock.py --write | --check", file=sys.stderr)
        return 2
    try:
        if sys.argv[1] == "--write":
            LOCK.write_text(HEADER + "".join(f"{name}=={version}\n" for name, version in pinned().items()), "utf-8")
            return 0
        problems = differences()
    except PackageNotFoundError as missing:
        problems = [f"{missing.name} is needed and not installed"]
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        print("`make .venv` installs what is locked; `make lock` locks what is installed", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
