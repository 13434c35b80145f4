"""Where a step may connect to."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.ports.work import TaskError
from stepwell.tasks.addresses import AddressGuard, ForbiddenAddress, guarded_socket, is_forbidden_name, networks_of
from stepwell.tasks.client import HttpClient
from stepwell.tasks.headers import Headers
from stepwell.tasks.requests import HttpRequest
from stepwell.tasks.urls import parse_url
from tests.tasks.servers import Server, answering

EVERYWHERE, PUBLIC_ONLY = AddressGuard(), AddressGuard(allow_private=False)

NEVER = [
    "169.254.169.254", "169.254.0.1", "::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1", "::a9fe:a9fe", "fe80::1", "fe80::1%eth0", "febf::1", "0.0.0.0", "0.1.2.3", "::",
    "::ffff:0.0.0.0", "224.0.0.1", "239.255.255.255", "ff02::1", "255.255.255.255", "240.0.0.1",
    "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "::ffff:100.100.100.200",
    "64:ff9b:1::a9fe:a9fe", "64:ff9b:1:a9fe:a9:fe00::", "2001:db8::5efe:a9fe:a9fe", "2001:db8::200:5efe:a9fe:a9fe",
    "2001:0:0:0:0:0:5601:5601",
    "", "nonsense", "127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1", "127.0.0.1:80", "[::1]",
]  # fmt: skip
PRIVATE = [
    "127.0.0.1", "127.9.9.9", "::1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "fd12::1", "::ffff:127.0.0.1",
    "64:ff9b::7f00:1", "100.64.0.1", "2002:7f00:1::", "2002:c0a8:101::5", "2001:db8::5efe:10.0.0.1", "fec0::1",
]  # fmt: skip
PUBLIC = ["93.184.216.34", "8.8.8.8", "2606:2800:220:1::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]


@pytest.mark.parametrize("address", NEVER)
def test_some_addresses_are_never_allowed(address: str) -> None:
    assert EVERYWHERE.forbids(address)
    assert PUBLIC_ONLY.forbids(address)
    assert AddressGuard(allow=networks_of(["0.0.0.0/0", "::/0"])).forbids(address)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_allowed_where_it_was_said_so(address: str) -> None:
    assert not EVERYWHERE.forbids(address)
    assert PUBLIC_ONLY.forbids(address)
    assert not PUBLIC_ONLY.for_configured().forbids(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    assert not PUBLIC_ONLY.forbids(address)


def test_one_private_network_may_be_allowed_and_the_others_not() -> None:
    guard = AddressGuard(allow_private=False, allow=networks_of(["10.1.0.0/16"]))
    assert not guard.forbids("10.1.2.3")
    assert not guard.forbids("::ffff:10.1.2.3")
    assert guard.forbids("10.2.0.1")


def test_what_is_denied_is_denied_in_every_spelling_whatever_else_allows_it() -> None:
    guard = AddressGuard(allow=networks_of(["8.8.0.0/16"]), deny=networks_of(["8.8.8.8", "2001:db8::/32"]))
    for address in ("8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1", "2001:db8::1"):
        assert guard.forbids(address)
        assert guard.for_configured().forbids(address)
    assert not guard.forbids("8.8.4.4")


@given(st.text(max_size=40))
def test_what_is_no_address_is_not_allowed(text: str) -> None:
    try:
        socket.getaddrinfo(text.partition("%")[0], None, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError, ValueError):
        assert EVERYWHERE.forbids(text)


@given(st.integers(0, 2**128 - 1))
def test_no_address_that_holds_the_metadata_service_in_a_known_way_is_allowed(number: int) -> None:
    text = str(IPv6Address(number))
    if "169.254.169.254" in text or text.startswith(("::a9fe:a9fe", "::ffff:a9fe:a9fe", "64:ff9b::a9fe:a9fe")):
        assert EVERYWHERE.forbids(text)
    EVERYWHERE.forbids(text)  # and it never fails


@pytest.mark.parametrize("name", ["metadata", "Metadata.Google.Internal", "metadata.google.internal.", "instance-data"])
def test_metadata_services_are_known_by_name(name: str) -> None:
    assert is_forbidden_name(name)


def test_other_names_are_fine() -> None:
    assert not is_forbidden_name("metadata.example.com")


def test_no_socket_is_made_for_a_forbidden_address() -> None:
    with pytest.raises(ForbiddenAddress):
        guarded_socket((2, 1, 6, "", ("169.254.169.254", 80)), guard=EVERYWHERE)
    guarded_socket((2, 1, 6, "", ("127.0.0.1", 80)), guard=EVERYWHERE).close()


@pytest.fixture
async def inside() -> AsyncIterator[Server]:
    """A server that nobody outside should reach."""
    server = Server(answering(text="internal"))
    await server.start()
    yield server
    await server.stop()


def request_to(url: str) -> HttpRequest:
    return HttpRequest("GET", parse_url(url), Headers(), None, timeout=5_000_000, max_bytes=1_000)


SPELLINGS = ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0x7f.1", "localhost", "127.0.0.1.",
             "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "LOCALHOST"]  # fmt: skip


@pytest.mark.parametrize("host", SPELLINGS)
async def test_a_private_address_is_not_reached_however_it_is_written(inside: Server, host: str) -> None:
    client, port = HttpClient(PUBLIC_ONLY), inside.url.rpartition(":")[2]
    try:
        with pytest.raises(TaskError) as raised:
            await client.exchange(request_to(f"http://{host}:{port}/"))
    finally:
        await client.close()
    assert raised.value.type in ("forbidden_address", "connection_error", "invalid_request")
    assert inside.seen == []


async def test_a_name_that_resolves_to_something_else_the_second_time_gets_nowhere(
    inside: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: what counts is the address that is connected to, not one that was looked at before."""
    port = int(inside.url.rpartition(":")[2])
    answers = iter(["93.184.216.34", "127.0.0.1", "127.0.0.1"])

    def resolve(host: str, *args: object, **more: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    client = HttpClient(PUBLIC_ONLY)
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert resolve("rebind.example.com")[0][4][0] == "93.184.216.34"  # type: ignore[index]
    try:
        with pytest.raises(TaskError) as raised:
            await client.exchange(request_to(f"http://rebind.example.com:{port}/"))
    finally:
        await client.close()
    assert raised.value.type == "forbidden_address"
    assert inside.seen == []
