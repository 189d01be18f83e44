"""Where the server listens: every address of a name that works, all on one port."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterator
from typing import Any, TypeAlias

import pytest

from eventbus.errors import EventBusError
from eventbus.server import addresses
from eventbus.server.addresses import open_sockets, place

Named: TypeAlias = dict[str, list[tuple[int, str]]]

V4, V6 = socket.AF_INET, socket.AF_INET6


@pytest.fixture
def opened() -> Iterator[list[socket.socket]]:
    """Sockets that are closed when the test ends."""
    found: list[socket.socket] = []
    yield found
    for each in found:
        each.close()


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> Named:
    """What the name `both.example` stands for, in place of what a resolver says."""
    names: Named = {"both.example": [(V4, "127.0.0.1"), (V6, "::1"), (V4, "127.0.0.1")]}
    original = addresses.addresses

    async def resolve(host: str, port: int) -> list[tuple[int, tuple[Any, ...]]]:
        if host not in names:
            return await original(host, port)
        found = [(family, (it, port) if family == V4 else (it, port, 0, 0)) for family, it in names[host]]
        return list(dict.fromkeys(found))

    monkeypatch.setattr(addresses, "addresses", resolve)
    return names


@pytest.mark.parametrize("host", ["[::]", "::0", "0:0::0"])
async def test_everywhere_however_it_is_written(opened: list[socket.socket], host: str) -> None:
    opened += await open_sockets(host, 0, 10, False)
    assert {each.getsockname()[0] for each in opened} == {"::", "0.0.0.0"}


async def test_one_name_with_several_addresses(named: Named, opened: list[socket.socket]) -> None:
    opened += await open_sockets("both.example", 0, 10, False)
    names = [each.getsockname() for each in opened]
    assert [name[0] for name in names] == ["127.0.0.1", "::1"]
    assert len({name[1] for name in names}) == 1
    for host in ("127.0.0.1", "::1"):
        _, writer = await asyncio.open_connection(host, names[0][1])
        writer.transport.abort()


async def test_everywhere_is_ipv6_and_ipv4(opened: list[socket.socket]) -> None:
    opened += await open_sockets("::", 0, 10, False)
    port = opened[0].getsockname()[1]
    assert {each.family for each in opened} == {V4, V6}
    for host in ("127.0.0.1", "::1"):
        _, writer = await asyncio.open_connection(host, port)
        writer.transport.abort()
    # IPv4 clients have an IPv4 address, not one that IPv6 wraps.
    assert {each.getsockname()[0] for each in opened} == {"::", "0.0.0.0"}


async def test_what_does_not_work_is_a_warning_as_long_as_something_does(
    named: Named, opened: list[socket.socket], caplog: pytest.LogCaptureFixture
) -> None:
    # 192.0.2.1 is no address of this machine, and 77 is no family.
    named["both.example"] = [(V4, "192.0.2.1"), (77, "127.0.0.9"), (V4, "127.0.0.1")]
    opened += await open_sockets("both.example", 0, 10, False)
    assert [each.getsockname()[0] for each in opened] == ["127.0.0.1"]
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warned) == 2
    assert "can't listen on 192.0.2.1:" in warned[0]
    assert "can't listen on 127.0.0.9:" in warned[1]


async def test_where_one_is_taken_the_other_serves(
    named: Named, opened: list[socket.socket], caplog: pytest.LogCaptureFixture
) -> None:
    opened += await open_sockets("127.0.0.1", 0, 10, False)
    port = opened[0].getsockname()[1]
    opened += await open_sockets("both.example", port, 10, False)
    assert [each.getsockname()[0] for each in opened] == ["127.0.0.1", "::1"]
    assert f"can't listen on 127.0.0.1:{port} as well: Address already in use" in caplog.text


async def test_where_none_works_it_is_one_line(named: Named) -> None:
    named["both.example"] = [(77, "192.0.2.1"), (77, "192.0.2.2")]
    with pytest.raises(EventBusError, match=r"^can't listen on both\.example:0: .*not supported"):
        await open_sockets("both.example", 0, 10, False)


@pytest.mark.parametrize("host", ["no such host", "a..b", "x" * 80, "fe80::1%nothing", "256.0.0.1"])
async def test_a_host_that_is_none_is_one_line(host: str) -> None:
    with pytest.raises(EventBusError, match=r"^can't listen on ") as caught:
        await open_sockets(host, 0, 10, False)
    assert "\n" not in str(caught.value)


async def test_brackets_and_zones(opened: list[socket.socket]) -> None:
    opened += await open_sockets("[::1]", 0, 10, False)
    assert opened[0].getsockname()[0] == "::1"
    assert place("::1", 80) == place("[::1]", 80) == "[::1]:80"
    assert place("fe80::1%eth0", 80) == "[fe80::1%25eth0]:80"
    assert place("localhost", 80) == "localhost:80"


async def test_a_free_port_is_one_that_is_free_everywhere(
    named: Named, opened: list[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = addresses.listening
    attempts: list[int] = []

    def listening(family: int, address: tuple[Any, ...], backlog: int, reuse: bool) -> socket.socket:
        if family == V6 and not attempts:
            attempts.append(address[1])
            taken = original(family, address, backlog, reuse)
            opened.append(taken)
        return original(family, address, backlog, reuse)

    monkeypatch.setattr(addresses, "listening", listening)
    found = await open_sockets("both.example", 0, 10, False)
    opened += found
    ports = {each.getsockname()[1] for each in found}
    assert len(found) == 2
    assert len(ports) == 1
    assert ports.isdisjoint(attempts)


async def test_what_is_accepted_is_kept_alive(opened: list[socket.socket]) -> None:
    opened += await open_sockets("127.0.0.1", 0, 10, False)
    with socket.create_connection(opened[0].getsockname()):
        accepted, _ = opened[0].accept()
        opened.append(accepted)
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_what_is_accepted_is_what_any_other_socket_is(host: str, opened: list[socket.socket]) -> None:
    opened += await open_sockets(host, 0, 10, False)
    with socket.create_connection(opened[0].getsockname()[:2]) as client:
        accepted, peer = opened[0].accept()
        opened.append(accepted)
        assert peer == client.getsockname()
        assert (accepted.family, accepted.type) == (client.family, socket.SOCK_STREAM)
        assert not accepted.get_inheritable()
        # No enumeration is searched for them.
        assert {type(each) for each in (accepted.family, accepted.type)} == {int}
        client.sendall(b"x")
        assert accepted.recv(1) == b"x"
