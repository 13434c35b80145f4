"""Services whose instances the DNS tells."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import cast

import dns.asyncresolver
import dns.message
import dns.rcode
import dns.resolver
import dns.rrset
import pytest

from stepwell.base.durations import SECOND
from stepwell.ports.services import Service
from stepwell.ports.work import TaskError
from stepwell.services.discovery import SHORTEST, SrvRecord, resolve_srv
from stepwell.services.registry import ServiceTable
from tests.virtual_clock import VirtualClock

CRM = Service(name="crm", url="https://localhost/api", srv="_crm._tcp.example", balance="round_robin")


class Records:
    """Answers with these records, or not at all."""

    def __init__(self, *records: SrvRecord) -> None:
        self.records: Sequence[SrvRecord] | None = records
        self.asked = 0

    async def __call__(self, name: str) -> Sequence[SrvRecord]:
        assert name == "_crm._tcp.example"
        self.asked += 1
        await asyncio.sleep(0)
        if self.records is None:
            raise TaskError("connection_error", "no answer", retryable=True)
        return self.records


async def urls(services: ServiceTable, calls: int = 4) -> set[str]:
    found = set()
    for _ in range(calls):
        async with services.calling("crm") as service:
            found.add(service.url)
    return found


async def test_the_records_of_the_best_priority_are_called() -> None:
    records = Records(
        SrvRecord(host="a.example.", port=1),
        SrvRecord(host="b.example.", port=2),
        SrvRecord(host="c", port=3, priority=9),
    )
    services = ServiceTable({"crm": CRM}, VirtualClock(), records)
    assert await urls(services) == {"https://a.example:1/api", "https://b.example:2/api"}
    assert records.asked == 1


async def test_many_calls_at_once_ask_once() -> None:
    records = Records(SrvRecord(host="a", port=1))
    services = ServiceTable({"crm": CRM}, VirtualClock(), records)
    await asyncio.gather(*(urls(services, 1) for _ in range(20)))
    assert records.asked == 1


async def test_records_are_asked_for_again_after_their_time() -> None:
    clock, records = VirtualClock(), Records(SrvRecord(host="a", port=1, ttl=30))
    services = ServiceTable({"crm": CRM}, clock, records)
    await urls(services)
    records.records = [SrvRecord(host="b", port=1, ttl=0)]
    await clock.advance(30 * SECOND - 1)
    assert await urls(services) == {"https://a:1/api"}
    await clock.advance(1)
    assert await urls(services) == {"https://b:1/api"}
    await clock.advance(SHORTEST - 1)
    await urls(services)
    assert records.asked == 2


async def test_what_is_known_stays_when_the_dns_does_not_answer() -> None:
    clock, records = VirtualClock(), Records(SrvRecord(host="a", port=1))
    services = ServiceTable({"crm": CRM}, clock, records)
    await urls(services)
    records.records = None
    await clock.advance(3_600 * SECOND)
    assert await urls(services) == {"https://a:1/api"}


async def test_without_any_answer_a_call_fails_and_may_be_tried_again() -> None:
    records = Records()
    services = ServiceTable({"crm": CRM}, VirtualClock(), records)
    with pytest.raises(TaskError) as raised:
        await urls(services)
    assert raised.value.retryable
    records.records = None
    services = ServiceTable({"crm": CRM}, VirtualClock(), records)
    with pytest.raises(TaskError, match="no answer"):
        await urls(services)


class Dns(asyncio.DatagramProtocol):
    """A DNS server with one name."""

    transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = dns.message.make_response(dns.message.from_wire(data))
        name = answer.question[0].name
        if name.to_text() == "_crm._tcp.example.":
            answer.answer.append(
                dns.rrset.from_text(name, 42, "IN", "SRV", "1 5 8443 a.example.", "2 5 8444 b.example.")
            )
        else:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        self.transport.sendto(answer.to_wire(), addr)


async def test_a_real_dns_server_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Dns, ("127.0.0.1", 0), family=socket.AF_INET)
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = ["127.0.0.1"]
    resolver.port = transport.get_extra_info("sockname")[1]
    monkeypatch.setattr(dns.asyncresolver, "Resolver", lambda: resolver)
    try:
        assert sorted(await resolve_srv("_crm._tcp.example"), key=lambda each: each.port) == [
            SrvRecord(host="a.example.", port=8443, priority=1, ttl=42),
            SrvRecord(host="b.example.", port=8444, priority=2, ttl=42),
        ]
        with pytest.raises(TaskError, match=r"_none\._tcp\.example cannot be had: NXDOMAIN") as raised:
            await resolve_srv("_none._tcp.example")
        assert raised.value.retryable
    finally:
        transport.close()
