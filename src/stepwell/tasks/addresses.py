"""Which network addresses a step may connect to.

Checked on the address of every socket before it connects, so that neither a redirect nor a name that resolves to
something else the second time gets around it.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Final

_METADATA: Final = frozenset(
    map(ip_address, ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"))
)
"""Metadata services of cloud machines that are not at a link-local address; they hand out credentials."""

_METADATA_NAMES: Final = frozenset(
    {"metadata", "metadata.google.internal", "instance-data", "instance-data.ec2.internal"}
)
_THIS_NETWORK: Final = IPv4Network("0.0.0.0/8")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_COMPATIBLE: Final = IPv6Network("::/96")


class ForbiddenAddress(OSError):
    """A connection was refused because of where it would lead."""

    def __init__(self) -> None:
        super().__init__("the address is not one that a step may connect to")


def is_forbidden(address: str, *, allow_private: bool) -> bool:
    """Whether a step must not connect to this IP address.

    Never allowed: link-local addresses, metadata services, multicast, broadcast, reserved and unspecified addresses.
    Loopback and private networks are allowed only if `allow_private`. An address that is none is not allowed.
    """
    try:
        ip = _embedded(ip_address(address.partition("%")[0]))
    except ValueError:
        return True
    if ip in _METADATA or ip.is_link_local or ip.is_multicast or ip.is_unspecified:
        return True
    if isinstance(ip, IPv4Address) and (ip.is_reserved or ip in _THIS_NETWORK):
        return True
    return not (allow_private or ip.is_global)


def is_forbidden_name(host: str) -> bool:
    """Whether the host's name says that it is a metadata service."""
    return host.rstrip(".").lower() in _METADATA_NAMES


def guarded_socket(address_info: tuple[Any, ...], *, allow_private: bool) -> socket.socket:
    """A socket for an address as `getaddrinfo` returns it.

    Raises:
        ForbiddenAddress: nothing may connect there.
    """
    family, kind, protocol, _, target = address_info
    if is_forbidden(str(target[0]), allow_private=allow_private):
        raise ForbiddenAddress
    return socket.socket(family, kind, protocol)


def _embedded(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 address leads to, where it is one of the kinds that do."""
    if isinstance(ip, IPv4Address):
        return ip
    if ip.teredo is not None:
        return ip.teredo[1]
    if ip in _NAT64 or (ip in _COMPATIBLE and int(ip) > 1):
        return IPv4Address(int(ip) & 0xFFFF_FFFF)
    return ip.ipv4_mapped or ip.sixtofour or ip
