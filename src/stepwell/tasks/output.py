"""`output {data, destination}`: a step that delivers data."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from stepwell.ports.work import TaskContext, TaskError, TaskHandler, TaskResult
from stepwell.tasks.settings import read_settings

if TYPE_CHECKING:
    from stepwell.tasks.client import HttpClient

DEFAULT: Final = "default"
"""The destination that is the record of the execution itself: nothing is sent anywhere."""
STDOUT: Final = "stdout"
FILE: Final = "file:"
_WEB: Final = ("http://", "https://")


class _OutputSettings(msgspec.Struct):
    data: Any = None
    destination: str | None = None


class OutputHandler(TaskHandler):
    """Delivers the data as JSON, and gives `{delivery_status, destination}`.

    Args:
        client: gives what posts to URLs; called when something is first posted, since it takes long to import.
        directory: what `file:PATH` is looked for in, and cannot leave; None when no files may be written.
    """

    def __init__(self, client: Callable[[], HttpClient], directory: Path | None) -> None:
        self._client = client
        self._used: HttpClient | None = None
        self._directory = directory

    async def run(self, config: Any, context: TaskContext) -> TaskResult:
        """Deliver. A second try delivers the same again: files are replaced, requests have the same idempotency key.

        Raises:
            TaskError: `unknown_destination`, `forbidden_path`, `invalid_config`; what an HTTP request raises.
            OSError: the file cannot be written.
        """
        settings = read_settings(config, _OutputSettings, "output")
        destination = DEFAULT if settings.destination is None else settings.destination
        await self._deliver(settings.data, destination, context)
        return TaskResult({"delivery_status": f"Delivered to {destination}", "destination": destination})

    async def close(self) -> None:
        if self._used is not None:
            await self._used.close()

    async def _deliver(self, data: Any, destination: str, context: TaskContext) -> None:
        if destination == DEFAULT:
            return
        if destination == STDOUT:
            await context.run_sync(_print, data)
        elif destination.startswith(FILE):
            await context.run_sync(_write, self._path(destination.removeprefix(FILE)), data)
        elif destination.startswith(_WEB):
            await self._post(destination, data, context)
        else:
            raise _unknown(f"there is no destination {destination!r}")

    async def _post(self, url: str, data: Any, context: TaskContext) -> None:
        from stepwell.tasks.posting import post_json

        self._used = self._client()
        await post_json(self._used, url, data, context)

    def _path(self, written: str) -> Path:
        if self._directory is None:
            raise _unknown("files cannot be written here: no directory is configured (`files: {directory: ...}`)")
        root = self._directory.resolve()
        path = (root / written).resolve()
        if not written or path == root or not path.is_relative_to(root):
            raise TaskError("forbidden_path", f"{written!r} is not a file below the configured directory")
        return path


def _unknown(message: str) -> TaskError:
    known = f"{DEFAULT}, {STDOUT}, {FILE}PATH and http(s) URLs"
    return TaskError("unknown_destination", f"{message}; the destinations are {known}")


def _print(data: Any) -> None:
    sys.stdout.write(msgspec.json.encode(data).decode() + "\n")
    sys.stdout.flush()


def _write(path: Path, data: Any) -> None:
    """Put the data into the file, which is whole at every moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(data), indent=2) + b"\n")
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
