"""Installing a plug-in for a test: its wheel is built and unpacked into a folder, as installers do it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "examples" / "plugin"


def install(package: Path, folder: Path) -> Path:
    """Build the package and unpack it below `folder`; the folder to put on the path."""
    wheels, target = folder / "wheels", folder / "packages"
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)],
        cwd=package,
        check=True,
        capture_output=True,
    )
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


def broken_package(folder: Path, entry_points: str, code: str = "") -> None:
    """A package without a build: its metadata and one module `broken_plugin`, put below `folder`."""
    metadata = folder / "broken_plugin-0.1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugin\nVersion: 0.1\n")
    (metadata / "entry_points.txt").write_text(entry_points)
    (folder / "broken_plugin.py").write_text(code)
