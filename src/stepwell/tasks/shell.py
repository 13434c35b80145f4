"""`shell {command | script, env, cwd, timeout}`: a program in a process group of its own, within limits.

The limits are set by a shell that then becomes the program (`ulimit`, POSIX), so that nothing of it runs without them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from stepwell.base.durations import SECOND, format_duration
from stepwell.policy.process_limits import ShellLimits
from stepwell.ports.work import TaskContext, TaskError, TaskHandler, TaskResult
from stepwell.tasks.settings import invalid_config, read_settings, read_timeout

_INHERITED: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")
_LIMITED: Final = 'ulimit -t "$1"; ulimit -v "$2"; ulimit -f "$3"; ulimit -n "$4"; ulimit -c 0; shift 4; exec "$@"'
_ASKED_FOR: Final = 0.08
"""Seconds that a process has to end when it is asked to, each time; together less than a worker waits for a stopped
attempt."""
_CHUNK: Final = 64 * 1024
_KEPT_ERRORS: Final = 64 * 1024


class _ShellSettings(msgspec.Struct, forbid_unknown_fields=True):
    command: str | list[Any] | None = None
    script: str | None = None
    env: dict[str, Any] | None = None
    cwd: str | None = None
    timeout: Any = None


class ShellHandler(TaskHandler):
    """Runs programs. The result is `{exit_code, stdout, stderr}`; of standard error only the end is kept.

    A program sees `PATH`, `HOME` and the language of this process, what `env` gives it, and `STEPWELL_EXECUTION`,
    `STEPWELL_STEP`, `STEPWELL_ATTEMPT` and `STEPWELL_IDEMPOTENCY_KEY`.

    Args:
        directory: programs run in it, or in a folder below it that a step names; None for an empty folder that is
            deleted afterwards.
    """

    def __init__(self, limits: ShellLimits, directory: Path | None = None) -> None:
        self._limits = limits
        self._directory = directory

    async def run(self, config: Any, context: TaskContext) -> TaskResult:
        """Run the program to its end.

        Raises:
            TaskError: `exit_status` (it ended with another status than 0; details `{exit_code, stderr}`; may be tried
                again), `killed` (by a signal, such as that of a limit), `timeout` (may be tried again),
                `output_too_large`, `not_found`, `forbidden_path`, `invalid_config`.
        """
        settings = read_settings(config, _ShellSettings, "shell")
        arguments = _arguments(settings)
        timeout = read_timeout(settings.timeout, self._limits.timeout, "shell")
        async with self._folder(settings.cwd) as folder:
            process = await self._start(arguments, _environment(settings, context), folder)
            try:
                async with asyncio.timeout(timeout / SECOND):
                    out, errors = await self._communicate(process)
                    status = await process.wait()
            except TimeoutError:
                message = f"the program did not end within {format_duration(timeout)}"
                raise TaskError("timeout", message, retryable=True) from None
            finally:
                await _end(process)
        return _result(arguments[0], status, out, errors)

    @asynccontextmanager
    async def _folder(self, written: str | None) -> AsyncIterator[Path]:
        if self._directory is not None:
            yield self._below(self._directory.resolve(), written or ".")
        elif written is not None:
            raise _forbidden(written, "no directory is configured (`shell: {directory: ...}`)")
        else:
            with tempfile.TemporaryDirectory(prefix="stepwell-") as folder:
                yield Path(folder)

    def _below(self, root: Path, written: str) -> Path:
        path = (root / written).resolve()
        if not path.is_relative_to(root):
            raise _forbidden(written, "it is not below the configured directory")
        if not path.is_dir():
            raise _forbidden(written, "there is no such folder")
        return path

    async def _start(
        self, arguments: list[str], environment: Mapping[str, str], folder: Path
    ) -> asyncio.subprocess.Process:
        limits = self._limits
        numbers = [-(-limits.cpu // SECOND), limits.memory // 1024, limits.file_size // 512, limits.open_files]
        return await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            _LIMITED,
            "sh",
            *map(str, numbers),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
            cwd=folder,
            start_new_session=True,
        )

    async def _communicate(self, process: asyncio.subprocess.Process) -> tuple[bytes, bytes]:
        assert process.stdout is not None
        assert process.stderr is not None
        async with asyncio.TaskGroup() as group:
            errors = group.create_task(_tail(process.stderr, _KEPT_ERRORS))
            out = group.create_task(_head(process.stdout, self._limits.output))
            group.create_task(_kill_when_too_much(out, process))
        if out.result() is None:
            limit = self._limits.output
            raise TaskError("output_too_large", f"the program wrote more than {limit} bytes to standard output")
        return out.result() or b"", errors.result()


def _arguments(settings: _ShellSettings) -> list[str]:
    if (settings.command is None) == (settings.script is None):
        raise invalid_config("shell", "it needs either `command` or `script`")
    if settings.script is not None:
        return ["/bin/sh", "-eu", "-c", settings.script]
    command = settings.command
    if isinstance(command, str):
        try:
            parts: list[Any] = list(shlex.split(command))
        except ValueError as error:
            raise invalid_config("shell", f"its command cannot be split into arguments: {error}") from None
    else:
        parts = command or []
    if not parts:
        raise invalid_config("shell", "its command is empty")
    return [_text(part, "an argument of the command") for part in parts]


def _environment(settings: _ShellSettings, context: TaskContext) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    given = {_text(name, "a name in env"): _text(value, f"env.{name}") for name, value in (settings.env or {}).items()}
    return {
        **inherited,
        **given,
        "STEPWELL_EXECUTION": context.execution,
        "STEPWELL_STEP": context.step,
        "STEPWELL_ATTEMPT": str(context.attempt),
        "STEPWELL_IDEMPOTENCY_KEY": context.idempotency_key,
    }


def _text(value: Any, what: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise invalid_config("shell", f"{what} is a text or a number, not {type(value).__name__}")
    text = str(value)
    if "\0" in text:
        raise invalid_config("shell", f"{what} holds a NUL character")
    return text


async def _head(stream: asyncio.StreamReader, limit: int) -> bytes | None:
    """All that comes; None when that is more than the limit, and the rest is left."""
    read = bytearray()
    while chunk := await stream.read(_CHUNK):
        read += chunk
        if len(read) > limit:
            return None
    return bytes(read)


async def _tail(stream: asyncio.StreamReader, limit: int) -> bytes:
    kept = bytearray()
    while chunk := await stream.read(_CHUNK):
        kept += chunk
        del kept[:-limit]
    return bytes(kept)


async def _kill_when_too_much(out: asyncio.Task[bytes | None], process: asyncio.subprocess.Process) -> None:
    if await asyncio.shield(out) is None:
        _signal(process, signal.SIGKILL)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the program and all that it started, unless they have ended: asked twice, then by force."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if process.returncode is None:
            _signal(process, number)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _ASKED_FOR)
    _signal(process, signal.SIGKILL)  # also what it left behind in its group
    await process.wait()
    # Whoever left the group may hold the pipes open for ever; asyncio has no other way to close this end of them.
    process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001


def _signal(process: asyncio.subprocess.Process, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _result(program: str, status: int, out: bytes, errors: bytes) -> TaskResult:
    said = errors.decode(errors="replace")
    if status < 0:
        name = signal.Signals(-status).name
        hint = " (a limit of memory, processor time or file size?)" if name in ("SIGKILL", "SIGXCPU", "SIGXFSZ") else ""
        raise TaskError("killed", f"{program} was ended by {name}{hint}", details={"signal": name, "stderr": said})
    if status == 127:
        raise TaskError("not_found", f"{program} was not found or lacks something: {_last_line(said)}")
    if status != 0:
        details = {"exit_code": status, "stderr": said}
        message = f"{program} ended with status {status}: {_last_line(said)}"
        raise TaskError("exit_status", message, details=details, retryable=True)
    return TaskResult({"exit_code": 0, "stdout": out.decode(errors="replace"), "stderr": said})


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1][:500] if lines else "it wrote nothing to standard error"


def _forbidden(path: str, why: str) -> TaskError:
    return TaskError("forbidden_path", f"a program cannot run in {path!r}: {why}")
