"""Work through NATS over encrypted connections."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from stepwell.base.errors import ConfigurationError
from stepwell.worker.nats_link import Link, NatsOptions
from tests.conformance.dispatcher import PATIENCE, assignment, echo
from tests.servers.certificates import certificates
from tests.servers.nats import NatsServer, new_server, shared_server, tls_settings
from tests.worker.nats_harness import NatsHarness


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    server = new_server(more=tls_settings(verify=True))
    yield server
    server.close()


def options(server: NatsServer, **changes: str | None) -> NatsOptions:
    own = certificates()
    found = NatsOptions(
        urls=[server.url.replace("nats:", "tls:")],
        ca_file=str(own.authority),
        client_cert=str(own.client),
        client_key=str(own.client_key),
    )
    return msgspec.structs.replace(found, **changes)


async def test_work_goes_over_encrypted_connections_with_certificates_on_both_sides(server: NatsServer) -> None:
    harness = NatsHarness(server.url)
    harness.options = msgspec.structs.replace(options(server), prefix=harness.options.prefix)
    node = await harness.add_node()
    await harness.add_worker("w1", echo)
    node.dispatch(assignment("a", {"much": "x" * 2_000_000}))
    assert (await harness.report()).result == {"much": "x" * 2_000_000}
    await harness.close()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ca_file": str(certificates().stranger)}, "its certificate is not trusted: unable to get local issuer"),
        ({"ca_file": None, "client_cert": None, "client_key": None}, "its certificate is not trusted"),
        ({"client_cert": None, "client_key": None}, "(?i)certificate.?(required)?$"),
    ],
)
async def test_who_is_not_trusted_is_told_so(server: NatsServer, changes: dict[str, str | None], said: str) -> None:
    assert re.search(said, await problem(options(server, **changes)))


async def test_nothing_is_said_to_a_server_that_does_not_encrypt(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[bytes] = []

    async def stand_between(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id": "x", "max_payload": 1000, "headers": true}\r\n')
        heard.append(await reader.read(1_000))
        writer.close()

    listening = await asyncio.start_server(stand_between, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    for urls, ca_file in (("tls", None), ("nats", str(certificates().authority))):
        wanted = NatsOptions(urls=[f"{urls}://127.0.0.1:{port}"], user="me", password="s3cret", ca_file=ca_file)
        assert await problem(wanted) == "the server does not offer the encryption that is configured here"
    listening.close()
    assert heard
    assert not any(heard)


async def problem(wanted: NatsOptions) -> str:
    """Why there is no connection."""
    link = Link(wanted, "test")
    running = asyncio.create_task(link.run())
    async with asyncio.timeout(PATIENCE):
        await link.first()
    said = link.problem()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert said is not None
    return said


def test_files_that_hold_something_else_are_an_error_before_anybody_connects(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing of the kind")
    with pytest.raises(ConfigurationError, match="these are no certificates and keys"):
        Link(options(shared_server(), ca_file=str(tmp_path / "ca.pem")), "test").check()
