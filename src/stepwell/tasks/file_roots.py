"""Where files are: a folder on disk, or one in an object store."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from stepwell.ports.work import TaskError


class FileRoot(Protocol):
    """A folder that nothing leads out of. Paths are relative to it; each method may block."""

    def read(self, path: PurePosixPath, limit: int) -> bytes:
        """Raises: TaskError (`not_found`, `too_large`, `storage_error`)."""
        ...

    def write(self, path: PurePosixPath, content: bytes) -> None:
        """Put the content there; the file is whole at every moment. Folders on the way are made."""
        ...

    def entries(self, path: PurePosixPath, limit: int) -> list[dict[str, Any]]:
        """What is in a folder, in order of name: `{name, type: file|folder, size}`."""
        ...

    def delete(self, path: PurePosixPath) -> bool:
        """Delete a file; false when there is none."""
        ...


def opened_root(name: str, url: str) -> FileRoot:
    """The folder with this URL, or at this path.

    Raises:
        TaskError: (`missing_library`, `invalid_config`) it cannot be used.
    """
    if "://" not in url:
        return LocalRoot(Path(url).expanduser())
    if url.startswith("file://"):
        return LocalRoot(Path(url.removeprefix("file://")))
    try:
        import fsspec
    except ImportError:
        message = f"the folder {name!r} is in an object store, which needs: pip install 'stepwell[files]'"
        raise TaskError("missing_library", message) from None
    try:
        system, base = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise TaskError("missing_library", f"the folder {name!r} cannot be reached: {error}") from None
    except ValueError:  # its text may show the URL
        raise TaskError("invalid_config", f"the URL of the folder {name!r} is of no kind that is known") from None
    return RemoteRoot(system, str(base))


class LocalRoot(FileRoot):
    """A folder on disk. Symbolic links are followed as long as they stay in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    def read(self, path: PurePosixPath, limit: int) -> bytes:
        with _failing(path), self._path(path).open("rb") as file:
            content = file.read(limit + 1)
        return _within(content, limit, path)

    def write(self, path: PurePosixPath, content: bytes) -> None:
        target = self._file(path)
        with _failing(path):
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                Path(name).replace(target)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise

    def entries(self, path: PurePosixPath, limit: int) -> list[dict[str, Any]]:
        with _failing(path):
            found = sorted(self._path(path).iterdir())
            _count(len(found), limit, path)
            return [_entry(each.name, each.is_dir(), each.stat().st_size) for each in found if each.exists()]

    def delete(self, path: PurePosixPath) -> bool:
        target = self._file(path)
        with _failing(path):
            try:
                target.unlink()
            except FileNotFoundError:
                return False
            return True

    def _file(self, path: PurePosixPath) -> Path:
        target = self._path(path)
        if target == self._folder:
            raise TaskError("forbidden_path", "that is the whole folder, not a file in it")
        return target

    def _path(self, path: PurePosixPath) -> Path:
        found = (self._folder / path).resolve()
        if not found.is_relative_to(self._folder):
            raise TaskError("forbidden_path", f"{str(path)!r} leads out of its folder")
        return found


class RemoteRoot(FileRoot):
    """A folder of an object store, through fsspec: `s3://`, `gs://`, `az://` and whatever else is installed."""

    def __init__(self, system: Any, base: str) -> None:
        self._system = system
        self._base = base.rstrip("/")

    def read(self, path: PurePosixPath, limit: int) -> bytes:
        with _failing(path), self._system.open(self._path(path), "rb") as file:
            content: bytes = file.read(limit + 1)
        return _within(content, limit, path)

    def write(self, path: PurePosixPath, content: bytes) -> None:
        with _failing(path):
            self._system.makedirs(self._path(path).rpartition("/")[0], exist_ok=True)
            self._system.pipe_file(self._path(path), content)

    def entries(self, path: PurePosixPath, limit: int) -> list[dict[str, Any]]:
        with _failing(path):
            found = sorted(self._system.ls(self._path(path), detail=True), key=lambda each: str(each["name"]))
        _count(len(found), limit, path)
        return [
            _entry(PurePosixPath(each["name"]).name, each["type"] == "directory", each.get("size")) for each in found
        ]

    def delete(self, path: PurePosixPath) -> bool:
        with _failing(path):
            try:
                self._system.rm_file(self._path(path))
            except FileNotFoundError:
                return False
            return True

    def _path(self, path: PurePosixPath) -> str:
        return f"{self._base}/{path}" if path.parts else self._base


@contextmanager
def _failing(path: PurePosixPath) -> Iterator[None]:
    """Whatever a file system raises, as a task's error that shows no path but the given one."""
    try:
        yield
    except TaskError:
        raise
    except FileNotFoundError:
        raise TaskError("not_found", f"there is no {str(path)!r}") from None
    except (IsADirectoryError, NotADirectoryError):
        raise TaskError("not_found", f"{str(path)!r} is a folder, or is in something that is none") from None
    except PermissionError:
        raise TaskError("forbidden_path", f"{str(path)!r} may not be used: permission denied") from None
    except Exception as error:  # libraries of object stores have errors of their own
        message = f"{str(path)!r}: {type(error).__name__}: {getattr(error, 'strerror', None) or error}"
        raise TaskError("storage_error", message, retryable=True) from None


def _within(content: bytes, limit: int, path: PurePosixPath) -> bytes:
    if len(content) > limit:
        raise TaskError("too_large", f"{str(path)!r} has more than {limit} bytes")
    return content


def _count(found: int, limit: int, path: PurePosixPath) -> None:
    if found > limit:
        raise TaskError("too_large", f"there are {found} entries in {str(path)!r}, more than {limit}")


def _entry(name: str, is_folder: bool, size: int | None) -> dict[str, Any]:
    return {"name": name, "type": "folder" if is_folder else "file", "size": None if is_folder else size}
