"""Where a step may connect to."""

from __future__ import annotations

import pytest

from stepwell.tasks.addresses import ForbiddenAddress, guarded_socket, is_forbidden, is_forbidden_name

NEVER = [
    "169.254.169.254", "169.254.0.1", "::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1", "::a9fe:a9fe", "fe80::1", "fe80::1%eth0", "febf::1", "0.0.0.0", "0.1.2.3", "::",
    "::ffff:0.0.0.0", "224.0.0.1", "239.255.255.255", "ff02::1", "255.255.255.255", "240.0.0.1",
    "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "::ffff:100.100.100.200",
    "", "nonsense", "127.1", "2130706433", "0x7f.0.0.1",
]  # fmt: skip
PRIVATE = [
    "127.0.0.1", "127.9.9.9", "::1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "fd12::1", "::ffff:127.0.0.1",
    "64:ff9b::7f00:1", "100.64.0.1",
]  # fmt: skip
PUBLIC = ["93.184.216.34", "8.8.8.8", "2606:2800:220:1::1", "::ffff:8.8.8.8"]


@pytest.mark.parametrize("address", NEVER)
def test_some_addresses_are_never_allowed(address: str) -> None:
    assert is_forbidden(address, allow_private=True)
    assert is_forbidden(address, allow_private=False)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_allowed_where_it_was_said_so(address: str) -> None:
    assert not is_forbidden(address, allow_private=True)
    assert is_forbidden(address, allow_private=False)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    assert not is_forbidden(address, allow_private=False)


@pytest.mark.parametrize("name", ["metadata", "Metadata.Google.Internal", "metadata.google.internal.", "instance-data"])
def test_metadata_services_are_known_by_name(name: str) -> None:
    assert is_forbidden_name(name)


def test_other_names_are_fine() -> None:
    assert not is_forbidden_name("metadata.example.com")


def test_no_socket_is_made_for_a_forbidden_address() -> None:
    with pytest.raises(ForbiddenAddress):
        guarded_socket((2, 1, 6, "", ("169.254.169.254", 80)), allow_private=True)
    guarded_socket((2, 1, 6, "", ("127.0.0.1", 80)), allow_private=True).close()
