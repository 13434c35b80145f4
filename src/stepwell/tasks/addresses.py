"""Which network addresses a step may connect to.

Checked on the address of every socket before it connects, so that neither a redirect nor a name that resolves to
something else the second time gets around it.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final, TypeAlias

Network: TypeAlias = IPv4Network | IPv6Network

_METADATA: Final = frozenset(
    map(ip_address, ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"))
)
"""Metadata services of cloud machines that are not at a link-local address; they hand out credentials."""

_METADATA_NAMES: Final = frozenset(
    {"metadata", "metadata.google.internal", "instance-data", "instance-data.ec2.internal"}
)
_THIS_NETWORK: Final = IPv4Network("0.0.0.0/8")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_LOCAL_NAT64: Final = IPv6Network("64:ff9b:1::/48")
"""Where in it the IPv4 address stands differs from network to network (RFC 8215), so that none of it is allowed."""
_ISATAP: Final = frozenset({0x0000_5EFE, 0x0200_5EFE})
"""Before the IPv4 address, in the second half of an IPv6 one (RFC 5214)."""
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
_COMPATIBLE: Final = IPv6Network("::/96")


class ForbiddenAddress(OSError):
    """A connection was refused because of where it would lead."""

    def __init__(self) -> None:
        super().__init__("the address is not one that a step may connect to")


@dataclass(frozen=True, slots=True)
class AddressGuard:
    """Says which IP addresses may be connected to.

    Never allowed: link-local addresses, metadata services, multicast, broadcast, reserved and unspecified addresses.
    Loopback and private networks are allowed if `allow_private`, or if they are in `allow`. What is in `deny` is not
    allowed. An address that is none is not allowed. Of an IPv6 address that leads to an IPv4 address, both count.
    """

    allow_private: bool = True
    allow: tuple[Network, ...] = ()
    deny: tuple[Network, ...] = ()

    def forbids(self, address: str) -> bool:
        """Whether nothing may connect to this IP address."""
        try:
            written = ip_address(address.partition("%")[0])
        except ValueError:
            return True
        ip = _embedded(written)
        if _is_in(ip, self.deny) or _is_in(written, self.deny) or _is_never_allowed(ip):
            return True
        return not (self.allow_private or _is_public(ip) or _is_in(ip, self.allow))

    def for_configured(self) -> AddressGuard:
        """The same for what the operator configured, who may name what is private."""
        return self if self.allow_private else replace(self, allow_private=True)


def networks_of(texts: Iterable[str]) -> tuple[Network, ...]:
    """The networks that are written so, such as `10.0.0.0/8`."""
    return tuple(ip_network(text, strict=False) for text in texts)


def is_forbidden_name(host: str) -> bool:
    """Whether the host's name says that it is a metadata service."""
    return host.rstrip(".").lower() in _METADATA_NAMES


def guarded_socket(address_info: tuple[Any, ...], *, guard: AddressGuard) -> socket.socket:
    """A socket for an address as `getaddrinfo` returns it.

    Raises:
        ForbiddenAddress: nothing may connect there.
    """
    family, kind, protocol, _, target = address_info
    if guard.forbids(str(target[0])):
        raise ForbiddenAddress
    return socket.socket(family, kind, protocol)


def _is_in(ip: IPv4Address | IPv6Address, networks: Iterable[Network]) -> bool:
    return any(ip in network for network in networks)


def _is_public(ip: IPv4Address | IPv6Address) -> bool:
    return ip.is_global and (isinstance(ip, IPv4Address) or ip in _GLOBAL_UNICAST)


def _is_never_allowed(ip: IPv4Address | IPv6Address) -> bool:
    if ip in _METADATA or ip.is_link_local or ip.is_multicast or ip.is_unspecified:
        return True
    if isinstance(ip, IPv4Address):
        return ip.is_reserved or ip in _THIS_NETWORK
    return ip in _LOCAL_NAT64


def _embedded(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 address leads to, where it is one of the kinds that do."""
    if isinstance(ip, IPv4Address):
        return ip
    if ip.teredo is not None:
        return ip.teredo[1]
    if ip in _NAT64 or (ip in _COMPATIBLE and int(ip) > 1) or (int(ip) >> 32) & 0xFFFF_FFFF in _ISATAP:
        return IPv4Address(int(ip) & 0xFFFF_FFFF)
    return ip.ipv4_mapped or ip.sixtofour or ip
