"""Which files are opened, and which are refused, with a word on why."""

from __future__ import annotations

import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from stepwell.base.errors import StoreError
from stepwell.store.sqlite.file import APPLICATION_ID
from stepwell.store.sqlite.schema import CURRENT
from stepwell.store.sqlite.store import SqliteStore
from tests.conformance.store import scene_on
from tests.store.processes import child, line_of


async def refusal(store: SqliteStore, *, migrate: bool = True) -> StoreError:
    """What opening the store raises. The store can be closed afterwards, and says that it is not open."""
    with pytest.raises(StoreError) as raised:
        await store.open(migrate=migrate)
    await store.close()
    with pytest.raises(StoreError) as closed:
        await store.load("a")
    assert closed.value.code == "store-closed"
    return raised.value


async def make(path: Path) -> None:
    """A stepwell database."""
    store = SqliteStore(path)
    await store.open()
    await store.close()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder in which processes of another user may do what its permissions say."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)
        Path(folder).chmod(0o777)


async def test_a_new_database_is_readable_by_its_owner_only_and_says_whose_it_is(tmp_path: Path) -> None:
    path = tmp_path / "stepwell.db"
    store = SqliteStore(path)
    await store.open()
    for file in tmp_path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    await store.close()
    assert [file.name for file in tmp_path.iterdir()] == ["stepwell.db"]
    assert int.from_bytes(path.read_bytes()[68:72]) == APPLICATION_ID


async def test_every_commit_is_synced(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "stepwell.db")
    await store.open()
    settings = ("journal_mode", "synchronous", "fullfsync", "foreign_keys")
    assert await store._write(lambda connection: [connection.pragma(name) for name in settings]) == ["wal", 2, 1, 1]
    await store.close()


async def test_an_empty_file_becomes_a_database(tmp_path: Path) -> None:
    path = tmp_path / "stepwell.db"
    path.touch()
    await make(path)
    assert (await SqliteStore(path).status()).schema_version == CURRENT


@pytest.mark.parametrize("name", ["a b.db", "file:x.db?mode=ro", "%41.db", "ü.db", "x'y.db"])
async def test_a_path_is_taken_as_it_is(tmp_path: Path, name: str) -> None:
    await make(tmp_path / name)
    assert [file.name for file in tmp_path.iterdir()] == [name]


async def test_a_missing_directory_is_refused(tmp_path: Path) -> None:
    error = await refusal(SqliteStore(tmp_path / "missing" / "stepwell.db"))
    assert error.code == "store-path"
    assert str(tmp_path / "missing") in error.message


async def test_a_path_through_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert (await refusal(SqliteStore(tmp_path / "file" / "stepwell.db"))).code == "store-path"


async def test_a_directory_is_refused(tmp_path: Path) -> None:
    error = await refusal(SqliteStore(tmp_path))
    assert error.code == "store-path"
    assert "is a directory" in error.message


@pytest.mark.parametrize("name", ["x" * 300, "a\x00b"])
async def test_a_path_that_cannot_be_is_refused(tmp_path: Path, name: str) -> None:
    assert (await refusal(SqliteStore(tmp_path / name))).code == "store-unavailable"


async def test_a_missing_database_is_not_made_when_nothing_may_be_migrated(tmp_path: Path) -> None:
    path = tmp_path / "stepwell.db"
    assert (await refusal(SqliteStore(path), migrate=False)).code == "store-missing"
    with pytest.raises(StoreError, match="there is no database"):
        await SqliteStore(path).status()
    with pytest.raises(StoreError, match="there is no database"):
        await SqliteStore(path).check()
    assert not path.exists()


async def test_a_file_that_is_not_a_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    path.write_text("Dear diary, " * 1_000)
    error = await refusal(SqliteStore(path))
    assert error.code == "not-a-store"
    assert path.read_text() == "Dear diary, " * 1_000
    with pytest.raises(StoreError, match="is not a database"):
        await SqliteStore(path).status()


@pytest.mark.parametrize("setup", ["CREATE TABLE cookies (host)", "PRAGMA application_id = 77"])
async def test_the_database_of_another_program_is_refused_and_left_as_it_is(tmp_path: Path, setup: str) -> None:
    path = tmp_path / "other.db"
    connection = apsw.Connection(str(path))
    connection.execute(setup)
    connection.close()
    before = path.read_bytes()
    error = await refusal(SqliteStore(path))
    assert error.code == "not-a-store"
    assert ("cookies" in error.message) or ("0x4d" in error.message)
    assert path.read_bytes() == before
    with pytest.raises(StoreError, match="another program"):
        await SqliteStore(path).check()


async def test_a_file_system_without_write_ahead_logging_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    error = await refusal(SqliteStore(tmp_path / "stepwell.db", vfs="unix-dotfile"))
    assert error.code == "store-no-wal"
    assert list(tmp_path.iterdir()) == []


async def test_a_database_that_another_process_keeps_locked_is_refused_after_a_while(tmp_path: Path) -> None:
    path = tmp_path / "stepwell.db"
    path.touch()
    other = apsw.Connection(str(path))
    other.execute("BEGIN EXCLUSIVE")
    assert (await refusal(SqliteStore(path, busy_timeout=20_000))).code == "store-busy"
    other.execute("ROLLBACK")
    other.close()
    await make(path)


async def test_a_damaged_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "stepwell.db"
    await make(path)
    content = bytearray(path.read_bytes())
    content[100:3_000] = b"\xff" * 2_900  # the first page of the schema
    path.write_bytes(content)
    assert (await refusal(SqliteStore(path))).code == "store-damaged"


@pytest.mark.parametrize(
    ("of_file", "of_folder", "code"),
    [
        (0o600, 0o777, "store-permission"),  # of another user
        (0o444, 0o777, "store-read-only"),
        (0o666, 0o555, "store-read-only"),
        (0o666, 0o777, "open"),
    ],
)
async def test_permissions_are_explained(open_folder: Path, of_file: int, of_folder: int, code: str) -> None:
    path = open_folder / "stepwell.db"
    await make(path)
    path.chmod(of_file)
    open_folder.chmod(of_folder)
    with child("open_and_close", path, powerless=True) as process:
        assert line_of(process) == code


@pytest.mark.parametrize(
    ("of_folder", "code"), [(0o555, "store-permission"), (0o000, "store-permission"), (0o777, "open")]
)
def test_permissions_to_make_a_database_are_explained(open_folder: Path, of_folder: int, code: str) -> None:
    open_folder.chmod(of_folder)
    with child("open_and_close", open_folder / "stepwell.db", powerless=True) as process:
        assert line_of(process) == code


async def test_an_error_at_opening_leaves_the_next_try_free(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "later" / "stepwell.db")
    await refusal(store)
    (tmp_path / "later").mkdir()
    await store.open()
    await (await scene_on(store)).create("a")
    await store.close()
