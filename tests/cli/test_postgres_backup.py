"""The command that `db backup` names for a PostgreSQL store, and what is brought back by it."""

from __future__ import annotations

import asyncio
import base64
import shlex
import subprocess
from pathlib import Path

import pytest

from stepwell.store.postgres.database import connect, database_of
from tests.cli.conftest import Stepwell
from tests.cli.workflows import value, wait, write_workflow
from tests.servers.postgres import PostgresServer, postgres_server, programs

KEY = base64.b64encode(bytes(range(32))).decode()


MANY_TRANSACTIONS = """
    DO $$ BEGIN
        FOR _ IN 1..5000 LOOP
            PERFORM pg_current_xact_id();
            COMMIT;
        END LOOP;
    END $$
"""
"""So that those of the new server, which begins to number them anew, have lower numbers."""


async def run_sql(text: str) -> None:
    connection = await connect(database_of(postgres_server().url()))
    await connection.execute(text)
    await connection.close()


def call(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_the_named_command_saves_goes_on_on_another_server(
    stepwell: Stepwell, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPWELL_KEY", KEY)
    store = postgres_server().fresh_url()
    write_workflow("held.json", wait("hold"), value("then", {"n": 1}, depends_on="hold"), name="held")
    asyncio.run(run_sql(MANY_TRANSACTIONS))
    held = stepwell("run", "held.json", "--timeout", "200ms", "-o", "json", "-q", "--store", store)
    id_ = held.json()["execution_id"]
    hint = stepwell("db", "backup", "held.dump", "--store", store).err.partition("hint: ")[2]
    program, *words = shlex.split(hint.partition("  (")[0])
    call(programs() / program, *words)
    with_other_server = PostgresServer(programs())
    try:
        with_other_server.start()
        call(programs() / "pg_restore", f"--dbname={with_other_server.url()}", "held.dump")
        restored = with_other_server.url(schema=store.rpartition("schema=")[2])
        assert stepwell("db", "verify", "--store", restored).err.endswith("all is well\n")
        assert stepwell("event", "publish", "go", "--store", restored).status == 0
        resumed = stepwell("run", "--resume", id_, "-o", "json", "-q", "--store", restored)
        assert resumed.json()["status"] == "completed", resumed.err
        assert stepwell("db", "verify", "--store", restored).err.endswith("all is well\n")
    finally:
        with_other_server.close()
    assert stepwell("execution", "show", id_, "-o", "json", "--store", store).json()["status"] == "waiting"
