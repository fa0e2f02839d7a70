"""The port bears strangers: real sockets on loopback, against the server alone."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

from recovery.kube.errors import Unavailable
from recovery.observe.reflector import STALE, Reflector
from recovery.process import Troubles, measure_lag
from recovery.serve import doorkeeper
from recovery.serve.auth import Authenticator, Busy, FairSemaphore
from recovery.serve.http import Server, listening
from recovery.simulate import virtual


@contextlib.asynccontextmanager
async def served(host: str = "127.0.0.1", **settings: Any) -> AsyncIterator[Server]:
    server = Server(host, 0, **settings)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def status(server: Server, path: str = "/healthz", **headers: str) -> int:
    timeout = aiohttp.ClientTimeout(total=10)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.get(f"http://127.0.0.1:{server.port}{path}", headers=headers) as answer,
    ):
        return answer.status


async def opened(server: Server, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(data)
    await writer.drain()
    return reader, writer


async def until(so: Callable[[], bool]) -> None:
    while not so():  # noqa: ASYNC110 (a real socket tells nobody)
        await asyncio.sleep(0.02)


async def watched(client: Any) -> None:
    from recovery.kube.client import APPLICATIONS

    async with client.watch(APPLICATIONS, "argocd", "1", silence=5) as lines:
        async for _ in lines:
            pass


async def closed(reader: asyncio.StreamReader) -> bool:
    """Has the other side closed it?"""
    with contextlib.suppress(ConnectionError):
        return await reader.read(1) == b""
    return True


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-A: ",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
async def test_a_connection_that_asks_nothing_is_closed(
    monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    monkeypatch.setattr(doorkeeper, "IDLE", 0.2)
    monkeypatch.setattr(doorkeeper, "SWEEP", 0.05)
    async with served() as server:
        reader, writer = await opened(server, data)
        async with asyncio.timeout(5):
            while not await closed(reader):
                pass
        writer.close()
        assert await status(server) == 200


async def test_a_body_that_never_comes_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recovery.serve.http.READ_TIMEOUT", 0.2)
    head = b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\ntok"
    async with served() as server:
        reader, writer = await opened(server, head)
        async with asyncio.timeout(5):
            assert b"HTTP/1.1 " in await reader.readline()
        writer.close()


async def test_more_connections_than_places_and_a_probe_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doorkeeper, "MAX_CONNECTIONS", 40)
    monkeypatch.setattr(doorkeeper, "MOST_EACH", 30)
    async with served() as server:
        many = [await opened(server, b"GET / HTTP/1.1\r\nX-A: ") for _ in range(100)]
        for _ in range(5):
            assert await status(server) == 200
        assert len(server._keeper) <= 31
        for _, writer in many:
            writer.close()


class Transport:
    """One end of a connection that is never read."""

    def __init__(self, peer: str) -> None:
        self.peer, self.aborted = peer, False

    def get_extra_info(self, _: str) -> tuple[str, int]:
        return (self.peer, 1)

    def abort(self) -> None:
        self.aborted = True


def test_who_has_most_makes_room_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorkeeper, "MAX_CONNECTIONS", 10)
    keeper = doorkeeper.Doorkeeper()
    make = keeper.guard(asyncio.Protocol)

    def come(peer: str) -> Transport:
        transport = Transport(peer)
        make().connection_made(transport)  # type: ignore[arg-type]
        return transport

    honest = [come("10.0.0.1") for _ in range(3)]
    crowd = [come("10.6.6.6") for _ in range(50)]
    late = come("10.0.0.2")

    assert not any(each.aborted for each in (*honest, late))
    assert sum(each.aborted for each in crowd) >= 43


def test_a_request_that_is_being_answered_is_not_cut_off_for_another() -> None:
    keeper = doorkeeper.Doorkeeper()
    asking = [doorkeeper._Watched(asyncio.Protocol(), keeper) for _ in range(doorkeeper.MOST_EACH)]
    transports = [Transport("10.0.0.1") for _ in asking]
    for one, transport in zip(asking, transports, strict=True):
        one.connection_made(transport)  # type: ignore[arg-type]
        one.asking = True
    newcomer = Transport("10.0.0.1")
    keeper.guard(asyncio.Protocol)().connection_made(newcomer)  # type: ignore[arg-type]

    assert newcomer.aborted
    assert not any(t.aborted for t in transports)


@pytest.mark.parametrize(
    ("host", "answer"),
    [
        ("localhost", 200),
        ("localhost:8080", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:8080", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
    ],
)
async def test_on_loopback_the_host_has_to_be_this_machine(host: str, answer: int) -> None:
    async with served() as server:
        assert await status(server, Host=host) == answer


async def test_elsewhere_any_host_is_answered() -> None:
    async with served("0.0.0.0") as server:
        assert await status(server, Host="recovery.example") == 200


async def test_an_event_stream_that_nobody_reads_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recovery.serve.http.READ_TIMEOUT", 0.3)
    monkeypatch.setattr("recovery.serve.http.TICK", 0.0)
    monkeypatch.setattr("recovery.serve.http.BEAT", 0.0)
    async with served() as server:
        quiet = socket.socket()
        quiet.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        quiet.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(quiet, ("127.0.0.1", server.port))
        await loop.sock_sendall(quiet, b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(30):
            await until(lambda: server._listeners.total() == 1)
            await until(lambda: server._listeners.total() == 0)
        quiet.close()


async def test_who_asks_takes_turns_by_address() -> None:
    turns, order = FairSemaphore(1), []

    async def ask(peer: str, number: int) -> None:
        await turns.take(peer)
        order.append(f"{peer}{number}")
        await asyncio.sleep(0)
        turns.give()

    tasks = [asyncio.create_task(ask("a", n)) for n in range(50)]
    await asyncio.sleep(0)
    tasks += [asyncio.create_task(ask("b", n)) for n in range(2)]
    await asyncio.gather(*tasks)

    assert order.index("b1") < 8, order
    assert len(order) == 52


async def test_who_has_gone_takes_no_turn_with_them() -> None:
    turns = FairSemaphore(1)
    await turns.take("a")
    gone = asyncio.create_task(turns.take("a"))
    await asyncio.sleep(0)
    turns.give()
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    async with asyncio.timeout(1):
        await turns.take("b")


async def test_one_address_fills_no_more_than_its_own_places() -> None:
    class Slow:
        async def create(self, *_: Any) -> bytes:
            await asyncio.sleep(3600)
            return b""

    gate = Authenticator(Slow(), "argocd", virtual.VirtualClock())  # type: ignore[arg-type]
    tasks = [asyncio.create_task(gate.viewer(f"t{n}", (), "10.6.6.6")) for n in range(250)]
    await asyncio.sleep(0.05)
    refused = [t for t in tasks if t.done()]
    assert refused
    assert all(isinstance(t.exception(), Busy) for t in refused)
    honest = asyncio.create_task(gate.viewer("mine", (), "10.0.0.1"))
    await asyncio.sleep(0.05)
    assert not honest.done(), "it waits for its turn, and is not turned away"
    for task in (*tasks, honest):
        task.cancel()
    await asyncio.gather(*tasks, honest, return_exceptions=True)


async def test_accept_errors_do_not_flood_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    told = Troubles()
    loop = asyncio.get_running_loop()
    for _ in range(500):
        told(
            loop,
            {
                "message": "socket.accept() out of system resource",
                "exception": OSError(24, "Too many open files"),
            },
        )
    assert capsys.readouterr().out.count("out of system resource") == 1


class Garbage:
    """A load balancer: it lets one in, and says nothing that is an event."""

    def __init__(self, *lines: bytes) -> None:
        self.lines, self.asked = lines, 0

    async def list(self, *_: Any, **__: Any) -> bytes:
        return b'{"metadata":{"resourceVersion":"1"},"items":[]}'

    @contextlib.asynccontextmanager
    async def watch(self, *_: Any, **__: Any) -> AsyncIterator[AsyncIterator[bytes]]:
        self.asked += 1

        async def lines() -> AsyncIterator[bytes]:
            for line in self.lines:
                yield line

        yield lines()


class Nothing:
    def put(self, item: Any) -> None: ...
    def drop(self, namespace: str, name: str) -> None: ...
    def keep_only(self, scope: str, names: set[tuple[str, str]]) -> None: ...


@pytest.mark.parametrize(
    "lines",
    [(), (b"\x00<html>{{{",), (b"{}",), (b'{"type":"ERROR","object":{"code":500,"message":"x"}}',)],
)
def test_a_watch_without_an_event_is_no_sign_of_life_and_not_asked_again_in_a_hurry(
    lines: tuple[bytes, ...],
) -> None:
    from recovery.kube.client import APPLICATIONS

    async def inside() -> None:
        clock, garbage = virtual.VirtualClock(), Garbage(*lines)
        stream = Reflector(garbage, APPLICATIONS, "argocd", lambda raw: raw, Nothing(), clock)  # type: ignore[arg-type,var-annotated]
        task = asyncio.create_task(stream.run())
        await clock.sleep(STALE + 30)
        assert not stream.fresh
        assert stream.stale
        assert garbage.asked < 30, f"asked {garbage.asked} times in {STALE + 30:.0f} s"
        task.cancel()

    virtual.run(inside())


async def test_the_real_client_takes_a_page_for_no_watch() -> None:
    from aiohttp import web

    from recovery.kube.asyncio_client import connect

    async def page(_: web.Request) -> web.Response:
        return web.Response(body=b"\x00<html>{{{", content_type="text/html")

    async def half(_: web.Request) -> web.Response:
        return web.Response(
            body=b'{"type":"ADDED","object":{"metadata"', content_type="application/json"
        )

    import json
    import tempfile

    for answer in (page, half):
        app = web.Application()
        app.router.add_get("/{tail:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "x",
            "clusters": [{"name": "x", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
            "users": [{"name": "x", "user": {}}],
            "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        }
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(config, file)
            file.flush()
            client = await connect(file.name)
        with pytest.raises(Unavailable):
            await watched(client)
        await client.close()
        await runner.cleanup()


async def test_a_loop_that_is_kept_busy_is_measured() -> None:
    seen: list[float] = []
    task = asyncio.create_task(measure_lag(seen.append))
    await asyncio.sleep(0.55)
    time.sleep(0.7)  # noqa: ASYNC251 (what is measured)
    await asyncio.sleep(0.6)
    task.cancel()
    assert max(seen) > 0.05
    assert seen[-1] == max(seen), "the longest of a minute is told, not the last"


def test_two_addresses_that_fill_all_places_with_half_a_request_keep_no_probe_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doorkeeper, "MAX_CONNECTIONS", 20)
    keeper = doorkeeper.Doorkeeper()
    for peer in ("10.6.6.6", "10.6.6.7"):
        for _ in range(10):
            one = doorkeeper._Watched(asyncio.Protocol(), keeper)
            one.connection_made(Transport(peer))  # type: ignore[arg-type]
            one.asking = True
    probe = Transport("10.0.0.1")
    keeper.guard(asyncio.Protocol)().connection_made(probe)  # type: ignore[arg-type]

    assert not probe.aborted
    assert len(keeper) == 20


async def test_a_request_whose_body_is_still_to_come_makes_room() -> None:
    head = b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\ntok"
    async with served() as server:
        _, writer = await opened(server, head)
        assert await status(server) == 200  # by now the other one has been read
        assert not any(one.asking for one in server._keeper._by_transport.values())
        writer.close()


async def test_without_a_host_both_families_are_answered_on_one_port() -> None:
    async with served("") as server:
        families = ["127.0.0.1", *(["::1"] if socket.has_dualstack_ipv6() else [])]
        for address in families:
            reader, writer = await asyncio.open_connection(address, server.port)
            writer.write(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")
            assert (await reader.readline()).split()[1] == b"200", address
            writer.close()


def test_an_address_that_is_taken_is_an_error() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(OSError, match=r"(?i)in use"),
    ):
        listening("127.0.0.1", taken.getsockname()[1])
