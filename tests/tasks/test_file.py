"""Steps of type `file`, on disk and in a store of objects."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import fsspec
import pytest

from stepwell.ports.work import TaskError
from stepwell.tasks import file as file_module
from stepwell.tasks.file import FileHandler
from tests.tasks.context import PlainContext

_numbers = itertools.count()


@pytest.fixture(params=["local", "objects"])
def handler(request: pytest.FixtureRequest, tmp_path: Path) -> FileHandler:
    """With a root on disk, and with one in fsspec's store in memory."""
    root = str(tmp_path / "root") if request.param == "local" else f"memory://root{next(_numbers)}"
    return FileHandler({"default": root, "other": f"{root}-other"})


async def call(handler: FileHandler, op: str, path: str, **config: Any) -> Any:
    return (await handler.run({"op": op, "path": path, **config}, PlainContext())).value


async def failure(handler: FileHandler, op: str, path: str, **config: Any) -> TaskError:
    with pytest.raises(TaskError) as raised:
        await call(handler, op, path, **config)
    return raised.value


@pytest.mark.parametrize(
    ("format_", "content"),
    [
        ("text", "grüße\r\n"),
        ("json", {"a": [1, None, "ü"]}),
        ("csv", [{"a": "1", "b": "x,\ny"}, {"a": "2", "b": ""}]),
        ("bytes", "AP8="),
    ],
)
async def test_what_was_written_is_read(handler: FileHandler, format_: str, content: Any) -> None:
    written = await call(handler, "write", "a/b.dat", content=content, format=format_)
    read = await call(handler, "read", "a/b.dat", format=format_)
    assert read == {"path": "a/b.dat", "size": written["size"], "content": content}


async def test_files_of_a_folder_are_listed(handler: FileHandler) -> None:
    for path in ("d/b.txt", "d/a.txt", "d/sub/c.txt"):
        await call(handler, "write", path, content="xyz")
    assert (await call(handler, "list", "d"))["entries"] == [
        {"name": "a.txt", "type": "file", "size": 3},
        {"name": "b.txt", "type": "file", "size": 3},
        {"name": "sub", "type": "folder", "size": None},
    ]


async def test_copying_moving_and_deleting(handler: FileHandler) -> None:
    await call(handler, "write", "a", content="x")
    assert await call(handler, "copy", "a", to="b") == {"path": "b", "size": 1}
    assert await call(handler, "move", "a", to="other:c") == {"path": "other:c", "size": 1}
    assert (await failure(handler, "read", "a")).type == "not_found"
    assert (await call(handler, "read", "other:c"))["content"] == "x"
    assert await call(handler, "delete", "b") == {"path": "b", "deleted": True}
    assert await call(handler, "delete", "b") == {"path": "b", "deleted": False}


async def test_moving_a_file_onto_itself_keeps_it(handler: FileHandler) -> None:
    await call(handler, "write", "a", content="x")
    await call(handler, "move", "a", to="default:a")
    assert (await call(handler, "read", "a"))["content"] == "x"


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/passwd", "a\0b", "..\\x", "default:/etc/passwd"])
async def test_nothing_outside_of_the_folder_is_reached(handler: FileHandler, path: str) -> None:
    assert (await failure(handler, "read", path)).type == "forbidden_path"
    assert (await failure(handler, "write", path, content="x")).type == "forbidden_path"


async def test_a_link_that_leads_out_is_not_followed(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "secret").write_text("s")
    (root / "link").symlink_to(outside)
    (root / "inside").symlink_to(root / "real")
    (root / "real").write_text("r")
    handler = FileHandler({"default": str(root)})
    assert (await failure(handler, "read", "link/secret")).type == "forbidden_path"
    assert (await failure(handler, "write", "link/new", content="x")).type == "forbidden_path"
    assert (await call(handler, "read", "inside"))["content"] == "r"
    assert not (outside / "new").exists()


async def test_the_folder_itself_is_neither_written_nor_deleted(tmp_path: Path) -> None:
    handler = FileHandler({"default": str(tmp_path)})
    assert (await failure(handler, "delete", ".")).type == "forbidden_path"
    assert (await failure(handler, "write", "", content="x")).type == "forbidden_path"


async def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    handler = FileHandler({"default": str(tmp_path)})
    await call(handler, "write", "a", content="old")
    (tmp_path / "folder").mkdir()
    assert (await failure(handler, "write", "folder", content="x")).type in ("not_found", "storage_error")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "folder"]


@pytest.mark.parametrize(
    ("content", "format_", "type_"),
    [
        (b"\xff", "text", "invalid_content"),
        (b"{", "json", "invalid_content"),
        (b"a,b\n1\n", "csv", "invalid_content"),
        (b"a,b\n1,2,3\n", "csv", "invalid_content"),
    ],
)
async def test_content_of_another_kind_is_refused(tmp_path: Path, content: bytes, format_: str, type_: str) -> None:
    (tmp_path / "x").write_bytes(content)
    assert (await failure(FileHandler({"default": str(tmp_path)}), "read", "x", format=format_)).type == type_


@pytest.mark.parametrize(
    "config",
    [
        {"op": "copy"},
        {"op": "read", "to": "b"},
        {"op": "read", "content": "x"},
        {"op": "write", "content": {"a": 1}},
        {"op": "write", "content": ["a"], "format": "csv"},
        {"op": "burn"},
    ],
)
async def test_a_wrong_configuration_touches_nothing(handler: FileHandler, config: dict[str, Any]) -> None:
    with pytest.raises(TaskError) as raised:
        await handler.run({"path": "a", **config}, PlainContext())
    assert raised.value.type == "invalid_config"


async def test_an_unknown_root_names_the_nearest(handler: FileHandler) -> None:
    error = await failure(handler, "read", "othr:x")
    assert (error.type, "did you mean 'other'?" in str(error)) == ("unknown_root", True)


async def test_a_file_that_is_too_large_is_refused(handler: FileHandler, monkeypatch: pytest.MonkeyPatch) -> None:
    await call(handler, "write", "a", content="12345")
    monkeypatch.setattr(file_module, "MAX_BYTES", 4)
    assert (await failure(handler, "read", "a")).type == "too_large"


async def test_a_store_whose_library_is_missing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any, **__: Any) -> Any:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    error = await failure(FileHandler({"default": "s3://bucket/prefix"}), "read", "x")
    assert (error.type, "Install s3fs" in str(error)) == ("missing_library", True)
