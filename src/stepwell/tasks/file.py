"""`file {op, path, to, content, format}`: files below configured folders, on disk or in object storage.

`path` is `ROOT:relative/path`, or a relative path in the root called `default`. Nothing outside of a root can be
reached: neither by `..`, nor by an absolute path, nor by a symbolic link.
"""

from __future__ import annotations

import base64
import binascii
import csv
import io
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Final, Literal

import msgspec

from stepwell.base.suggest import hint_for
from stepwell.ports.work import TaskContext, TaskError, TaskHandler, TaskResult
from stepwell.tasks.file_names import DEFAULT_ROOT
from stepwell.tasks.file_roots import FileRoot, opened_root
from stepwell.tasks.settings import invalid_config, read_settings

MAX_BYTES: Final = 8 * 1024 * 1024
MAX_ENTRIES: Final = 10_000

Operation = Literal["read", "write", "list", "copy", "move", "delete"]
Format = Literal["text", "json", "csv", "bytes"]


class _FileSettings(msgspec.Struct, forbid_unknown_fields=True):
    op: Operation
    path: str
    to: str | None = None
    content: Any = None
    format: Format | None = None


class FileHandler(TaskHandler):
    """Works on files.

    The result is `{path, size, content}` of what was read, `{path, size}` of what was written, copied or moved,
    `{path, entries: [{name, type, size}]}` of a folder, `{path, deleted}` of what was deleted: `deleted` is false when
    it was not there, so that a second try succeeds.

    Args:
        roots: the URLs of the folders by name, as fsspec has them, or paths; may be `SecretText` and `SecretRef`.
    """

    def __init__(self, roots: Mapping[str, Any]) -> None:
        self._roots = roots
        self._opened: dict[str, FileRoot] = {}

    async def run(self, config: Any, context: TaskContext) -> TaskResult:
        """Do what `op` says.

        Raises:
            TaskError: `unknown_root`, `forbidden_path`, `not_found`, `too_large`, `invalid_content`, `invalid_config`,
                `missing_library`, `storage_error` (may be tried again).
        """
        settings = read_settings(config, _FileSettings, "file")
        _check(settings)
        root, path = await self._place(settings.path, context)
        target = await self._place(settings.to, context) if settings.to is not None else None
        return TaskResult(await context.run_sync(_done, settings, root, path, target))

    async def _place(self, written: str, context: TaskContext) -> tuple[FileRoot, PurePosixPath]:
        name, colon, rest = written.partition(":")
        if not colon:
            name, rest = DEFAULT_ROOT, written
        if name not in self._roots:
            hint = hint_for(name, self._roots)
            raise TaskError("unknown_root", f"there is no folder {name!r} in the configuration ({hint})")
        url = context.open(self._roots[name])
        if url not in self._opened:
            self._opened[url] = await context.run_sync(opened_root, name, url)
        return self._opened[url], _relative(rest)


def _relative(written: str) -> PurePosixPath:
    path = PurePosixPath(written)
    if path.is_absolute() or ".." in path.parts or "\0" in written or "\\" in written:
        raise TaskError("forbidden_path", f"{written!r} is not a relative path without `..`")
    return path


def _check(settings: _FileSettings) -> None:
    needs_target = settings.op in ("copy", "move")
    if needs_target != (settings.to is not None):
        raise invalid_config("file", f"`to` goes with copy and move, and only with them; this is {settings.op}")
    if settings.content is not None and settings.op != "write":
        raise invalid_config("file", f"`content` goes with write; this is {settings.op}")


def _done(
    settings: _FileSettings, root: FileRoot, path: PurePosixPath, target: tuple[FileRoot, PurePosixPath] | None
) -> dict[str, Any]:
    said = settings.path
    match settings.op:
        case "read":
            raw = root.read(path, MAX_BYTES)
            return {"path": said, "size": len(raw), "content": _decoded(raw, settings.format or "text", said)}
        case "write":
            raw = _encoded(settings.content, settings.format or "text")
            root.write(path, raw)
            return {"path": said, "size": len(raw)}
        case "list":
            return {"path": said, "entries": root.entries(path, MAX_ENTRIES)}
        case "delete":
            return {"path": said, "deleted": root.delete(path)}
        case "copy" | "move":
            assert target is not None, "it was checked"
            raw = root.read(path, MAX_BYTES)
            target[0].write(target[1], raw)
            if settings.op == "move" and (root, path) != target:
                root.delete(path)
            return {"path": settings.to, "size": len(raw)}


def _decoded(raw: bytes, format_: Format, path: str) -> Any:
    if format_ == "bytes":
        return base64.b64encode(raw).decode()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TaskError("invalid_content", f"{path} is not UTF-8 text: byte {error.start}; read it as bytes") from None
    if format_ == "text":
        return text
    if format_ == "json":
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            raise TaskError("invalid_content", f"{path} is not JSON: {error}") from None
    return _rows(text, path)


def _rows(text: str, path: str) -> list[dict[str, str]]:
    try:
        reader = csv.DictReader(io.StringIO(text), strict=True)
        rows = list(reader)
    except csv.Error as error:
        raise TaskError("invalid_content", f"{path} is not CSV: {error}") from None
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            columns = len(reader.fieldnames or ())
            raise TaskError("invalid_content", f"{path}: record {number} has not as many fields as the head: {columns}")
    return rows


def _encoded(content: Any, format_: Format) -> bytes:
    if format_ == "json":
        return msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"
    if format_ == "csv":
        return _csv(content)
    if not isinstance(content, str):
        message = f"its content is written as {format_}, and is no text: {type(content).__name__}"
        raise invalid_config("file", f"{message}; `format: json` writes any value")
    if format_ == "text":
        return content.encode()
    try:
        return base64.b64decode(content, validate=True)
    except binascii.Error as error:
        raise TaskError("invalid_content", f"the content is not Base64: {error}") from None


def _csv(content: Any) -> bytes:
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise invalid_config("file", "the content of a CSV file is a list of objects")
    columns = list(dict.fromkeys(name for row in content for name in row))
    written = io.StringIO()
    writer = csv.DictWriter(written, columns, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(content)
    return written.getvalue().encode()
