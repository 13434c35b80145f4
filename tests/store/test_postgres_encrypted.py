"""PostgreSQL where encryption is asked for. The server of the tests is built without: only a refusal can be shown."""

from __future__ import annotations

import pytest

from stepwell.base.errors import StoreError
from stepwell.store.postgres.store import PostgresStore
from tests.servers.certificates import certificates
from tests.servers.postgres import postgres_server


@pytest.mark.parametrize("mode", ["verify-full", "require"])
async def test_a_server_that_does_not_encrypt_is_refused(mode: str) -> None:
    url = f"{postgres_server().fresh_url()}&sslmode={mode}&sslrootcert={certificates().authority}"
    with pytest.raises(StoreError, match="rejected SSL upgrade"):
        await PostgresStore(url).open()
