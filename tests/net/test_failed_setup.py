"""A set-up that fails, or is cancelled, at any step: what it opened is closed, once.

Every test is a scenario that runs on both loops: the kind of failure is asyncio's, and afterwards
there is no descriptor, no thread and no child that was not there before. `Guard` shows that
nothing is closed twice: the numbers that the set-up gave back are taken again at once, and must
still be open when the loop has done all it had to do.
"""

import asyncio
import concurrent.futures
import contextlib
import errno
import gc
import os
import socket
import subprocess
from functools import partial

import pytest
from children import no_child_left
from helpers import PATIENCE, HandlerCalls, only_pyaio, open_fds
from peers import (
    LOOPBACK,
    Accepting,
    Recorder,
    closed_port,
    finish,
    on_asyncio,
    tcp_pair,
    turns,
    waited,
)

#: More turns of the loop than any set-up here takes before it waits for others.
ENOUGH = 40


class Mine(Exception):
    pass


def raising(*args):
    raise Mine("mine")


class Guard:
    """Within, a set-up fails; at the end what it opened is closed and stays so."""

    async def __aenter__(self):
        await waited()
        self.before = open_fds()
        return self

    async def __aexit__(self, kind, error, traceback):
        if kind is not None:
            return
        taken = [os.pipe() for _ in range(8)]  # the numbers that are free by now
        try:
            await turns(8)
            for pipe in taken:
                os.write(pipe[1], b"x")
                assert os.read(pipe[0], 2) == b"x", "closed behind the back of its owner"
        finally:
            for fd in (fd for pipe in taken for fd in pipe):
                os.close(fd)
        gc.collect()
        left = {n: what for n, what in open_fds().items() if self.before.get(n) != what}
        assert left == {}, "descriptors left open"


async def failing(awaitable, *kinds):
    """Await it; what it raises must be of one of *kinds*. Nothing of it is kept."""
    try:
        async with asyncio.timeout(PATIENCE):
            await awaitable
    except kinds:
        return
    raise AssertionError("it did not fail")


async def cancelled_after(count, start):
    """Cancel start() after *count* turns of the loop; return what it gave, or None."""
    task = asyncio.ensure_future(start())
    for _ in range(count):
        await asyncio.sleep(0)
    task.cancel()
    try:
        async with asyncio.timeout(PATIENCE):
            return await task
    except asyncio.CancelledError:
        return None


@contextlib.asynccontextmanager
async def listening(**options):
    accepting = Accepting()
    server = await asyncio.get_running_loop().create_server(accepting, LOOPBACK, 0, **options)
    try:
        yield server.sockets[0].getsockname()[1]
        await turns(8)
    finally:
        server.close()
        await finish(*accepting)
        await server.wait_closed()


# A step fails


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # of asyncio's own loop
@pytest.mark.parametrize("with_tls", [False, True], ids=["plain", "TLS"])
def test_create_connection_whose_factory_raises(run, with_tls, tls):
    async def main():
        options = {"ssl": tls.client, "server_hostname": "localhost"} if with_tls else {}
        async with listening() as port, Guard():
            loop = asyncio.get_running_loop()
            await failing(loop.create_connection(raising, LOOPBACK, port, **options), Mine)

    run(main)


def test_create_connection_that_is_refused(run):
    async def main():
        loop = asyncio.get_running_loop()
        async with Guard():
            await failing(
                loop.create_connection(Recorder, LOOPBACK, closed_port()), ConnectionRefusedError
            )

    run(main)


def test_create_connection_to_no_name(run):
    async def main():
        loop = asyncio.get_running_loop()
        async with Guard():
            await failing(
                loop.create_connection(Recorder, "name", 80, flags=socket.AI_NUMERICHOST),
                socket.gaierror,
            )

    run(main)


def test_create_connection_from_an_address_that_is_not_ours(run):
    async def main():
        loop = asyncio.get_running_loop()
        async with listening() as port, Guard():
            await failing(
                loop.create_connection(Recorder, LOOPBACK, port, local_addr=("192.0.2.1", 0)),
                OSError,
            )

    run(main)


def test_create_connection_whose_connection_made_raises(run):
    class Raises(asyncio.Protocol):
        def connection_made(self, transport):
            raise Mine("mine")

    async def main():
        loop = asyncio.get_running_loop()
        calls = HandlerCalls.of(loop)
        async with listening() as port, Guard():
            transport, _ = await loop.create_connection(Raises, LOOPBACK, port)
            transport.abort()
            await turns()
        assert [type(error) for error in calls.exceptions] == [Mine]

    run(main)


@pytest.mark.parametrize("kind", ["not trusted", "no TLS"])
def test_create_connection_whose_handshake_fails(run, tls, kind, reports):
    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(HandlerCalls())  # the server's side reports it as well
        options = {"ssl": tls.server} if kind == "not trusted" else {}
        async with listening(**options) as port, Guard():
            setup = loop.create_connection(
                Recorder, LOOPBACK, port, ssl=tls.stranger, server_hostname="localhost"
            )
            if kind == "no TLS":
                setup = asyncio.wait_for(setup, 0.01)  # nobody answers
            await failing(setup, OSError, TimeoutError)

    run(main)
    reports.take()


@pytest.mark.parametrize("with_tls", [False, True], ids=["plain", "TLS"])
def test_a_given_socket_is_left_as_asyncio_leaves_it_when_the_factory_raises(run, tls, with_tls):
    async def main():
        ours, theirs = tcp_pair()
        loop = asyncio.get_running_loop()
        options = {"ssl": tls.client, "server_hostname": "localhost"} if with_tls else {}
        with ours, theirs:
            await failing(loop.create_connection(raising, sock=ours, **options), Mine)
            await turns()
            if ours.fileno() == -1:
                return "closed"
            theirs.send(b"x")
            return await loop.sock_recv(ours, 2)

    assert run(main) == on_asyncio(main)


def test_connect_accepted_socket_whose_factory_raises(run):
    async def main():
        ours, theirs = tcp_pair()
        async with Guard():
            loop = asyncio.get_running_loop()
            await failing(loop.connect_accepted_socket(raising, ours), Mine)
        ours.close()
        theirs.close()

    run(main)


def test_create_server_on_an_address_in_use(run):
    async def main():
        loop = asyncio.get_running_loop()
        async with listening() as port, Guard():
            with pytest.raises(OSError) as caught:
                await loop.create_server(Recorder, LOOPBACK, port)
            assert caught.value.errno == errno.EADDRINUSE
            del caught

    run(main)


def test_create_server_of_which_one_address_fails(run):
    async def main():
        loop = asyncio.get_running_loop()
        async with listening() as port, Guard():
            # The first is bound before the second fails.
            await failing(loop.create_server(Recorder, ["127.0.0.2", LOOPBACK], port), OSError)
            with socket.socket() as free:
                free.bind(("127.0.0.2", port))

    run(main)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # of asyncio's own loop
def test_create_unix_connection_whose_factory_raises(run, tmp_path):
    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(Recorder, str(tmp_path / "s"))
        before = [sock.fileno() for sock in server.sockets]
        async with Guard():
            await failing(loop.create_unix_connection(raising, str(tmp_path / "s")), Mine)
            await turns(8)
        assert before == [sock.fileno() for sock in server.sockets]
        server.close()
        await turns()

    run(main)


@pytest.mark.parametrize("path", ["missing", "not a socket"])
def test_create_unix_connection_to_nobody(run, tmp_path, path):
    (tmp_path / "not a socket").touch()

    async def main():
        loop = asyncio.get_running_loop()
        async with Guard():
            await failing(loop.create_unix_connection(Recorder, str(tmp_path / path)), OSError)

    run(main)


def test_create_unix_server_where_there_is_no_directory(run, tmp_path):
    async def main():
        loop = asyncio.get_running_loop()
        async with Guard():
            await failing(loop.create_unix_server(Recorder, str(tmp_path / "no/path")), OSError)

    run(main)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # the collector closes the socket
def test_create_datagram_endpoint_whose_factory_raises(run):
    async def main():
        loop = asyncio.get_running_loop()
        async with Guard():
            await failing(loop.create_datagram_endpoint(raising, local_addr=(LOOPBACK, 0)), Mine)

    run(main)


def test_create_datagram_endpoint_on_an_address_in_use(run):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((LOOPBACK, 0))
            async with Guard():
                await failing(
                    loop.create_datagram_endpoint(
                        asyncio.DatagramProtocol, local_addr=sock.getsockname()
                    ),
                    OSError,
                )

    run(main)


@pytest.mark.parametrize("method, end", [("connect_read_pipe", 0), ("connect_write_pipe", 1)])
@pytest.mark.parametrize("what", ["factory", "a file"])
def test_connecting_a_pipe_that_fails_leaves_the_pipe_open(run, method, end, what, tmp_path):
    async def main():
        loop = asyncio.get_running_loop()
        fds = os.pipe()
        files = [os.fdopen(fds[0], "rb", 0), os.fdopen(fds[1], "wb", 0)]
        with files[0], files[1], open(tmp_path / "file", "w+b") as regular:
            async with Guard():
                connect = getattr(loop, method)
                if what == "factory":
                    await failing(connect(raising, files[end]), Mine)
                else:
                    await failing(connect(asyncio.Protocol, regular), ValueError)
            files[1].write(b"x")
            assert files[0].read(2) == b"x"
            regular.write(b"still open")

    run(main)


@pytest.mark.parametrize("program", ["/missing/program", "/", "with a NUL\0"])
@pytest.mark.parametrize("pipes", [None, subprocess.PIPE])
def test_a_process_that_cannot_be_started(run, program, pipes):
    async def main():
        loop = asyncio.get_running_loop()
        async with Guard():
            await failing(
                loop.subprocess_exec(
                    asyncio.SubprocessProtocol, program, stdin=pipes, stdout=pipes, stderr=pipes
                ),
                OSError,
                ValueError,
            )
        assert no_child_left()

    run(main)


def test_a_process_whose_factory_raises_is_not_started(run):
    async def main():
        loop = asyncio.get_running_loop()
        async with Guard():
            await failing(loop.subprocess_exec(raising, "/bin/sleep", "1000"), Mine)
        assert no_child_left()

    run(main)


def test_start_tls_that_is_not_answered_with_tls(run, tls):
    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = tcp_pair()
        transport, _ = await loop.create_connection(Recorder, sock=ours)
        transport.pause_reading()
        theirs.send(b"this is not TLS\r\n")
        await failing(
            loop.start_tls(transport, asyncio.Protocol(), tls.client, server_hostname="localhost"),
            OSError,
        )
        await turns(8)
        assert ours.fileno() == -1
        theirs.close()

    run(main)


def test_sock_connect_that_is_refused_leaves_the_socket_open(run):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.socket() as sock:
            sock.setblocking(False)
            async with Guard():
                await failing(
                    loop.sock_connect(sock, (LOOPBACK, closed_port())), ConnectionRefusedError
                )
            assert sock.fileno() >= 0

    run(main)


def test_sendfile_to_a_peer_that_has_gone(run, tmp_path):
    (tmp_path / "file").write_bytes(bytes(1 << 20))

    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = tcp_pair()
        _, protocol = await loop.create_connection(Recorder, sock=ours)
        theirs.close()
        with open(tmp_path / "file", "rb") as file:
            async with Guard():
                try:
                    await loop.sendfile(protocol.transport, file)
                    await loop.sendfile(protocol.transport, file)
                except (OSError, RuntimeError):
                    pass
                await finish(protocol)
                assert ours.fileno() == -1
            assert not file.closed

    run(main)


# Cancelled at any step


@pytest.mark.parametrize("with_tls", [False, True], ids=["plain", "TLS"])
def test_create_connection_cancelled_at_any_turn(run, tls, with_tls, reports):
    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(HandlerCalls())  # handshakes that end half way
        server = {"ssl": tls.server} if with_tls else {}
        client = {"ssl": tls.client, "server_hostname": "localhost"} if with_tls else {}
        async with listening(**server) as port:
            for count in range(ENOUGH):
                async with Guard():
                    done = await cancelled_after(
                        count, lambda: loop.create_connection(Recorder, LOOPBACK, port, **client)
                    )
                    if done is not None:
                        done[0].abort()
                    await settled()

    run(main)
    reports.take()


async def settled():
    """Until no connection is being accepted or ended on this loop."""
    await turns(12)
    await asyncio.sleep(0.001)
    await turns(4)


def test_create_connection_by_name_cancelled_at_any_turn(run):
    async def main():
        loop = asyncio.get_running_loop()
        loop.set_default_executor(concurrent.futures.ThreadPoolExecutor(1))
        async with listening() as port:
            await loop.getaddrinfo("localhost", port)  # what the resolver opens once
            for count in range(ENOUGH // 2):
                async with Guard():
                    done = await cancelled_after(
                        count,
                        lambda: loop.create_connection(
                            Recorder, "localhost", port, family=socket.AF_INET
                        ),
                    )
                    if done is not None:
                        done[0].abort()
                    # Behind a look-up that goes on in the one thread, with files open.
                    await loop.run_in_executor(None, int)
                    await settled()

    run(main)


@pytest.mark.parametrize("with_tls", [False, True], ids=["plain", "TLS"])
def test_a_given_socket_cancelled_at_any_turn(run, tls, with_tls):
    async def main():
        loop = asyncio.get_running_loop()
        options = {"ssl": tls.client, "server_hostname": "localhost"} if with_tls else {}
        for count in range(ENOUGH if with_tls else ENOUGH // 4):
            async with Guard():
                ours, theirs = tcp_pair()
                done = await cancelled_after(
                    count, partial(loop.create_connection, Recorder, sock=ours, **options)
                )
                if done is not None:
                    done[0].abort()
                await turns(8)
                assert ours.fileno() == -1 or (done is None and count == 0)
                ours.close()
                theirs.close()

    run(main)


# Not in the one turn that asyncio waits when the server listens: there it forgets the server.
@pytest.mark.parametrize("count", [0, 5])
def test_create_server_cancelled_before_and_after(run, count):
    async def main():
        loop = asyncio.get_running_loop()
        async with Guard():
            server = await cancelled_after(count, lambda: loop.create_server(Recorder, LOOPBACK, 0))
            assert (server is None) is (count == 0)
            if server is not None:
                server.close()
                await server.wait_closed()

    run(main)


@pytest.mark.parametrize("of", ["TCP", "Unix"])
@only_pyaio  # asyncio leaves it to collectors
def test_a_factory_that_raises_leaves_nothing_to_the_collector(run, tmp_path, of):
    async def main():
        loop = asyncio.get_running_loop()
        path = str(tmp_path / "s")
        server = await loop.create_unix_server(Recorder, path)
        async with listening() as port:
            await turns()
            with pytest.raises(Mine) as caught:
                if of == "TCP":
                    await loop.create_connection(raising, LOOPBACK, port)
                else:
                    await loop.create_unix_connection(raising, path)
            sockets = [
                frame.frame.f_locals["sock"]
                for frame in caught.traceback
                if "sock" in frame.frame.f_locals
            ]
            assert [sock.fileno() for sock in sockets] == [-1] * len(sockets) != []
            del caught, sockets
            await settled()
        server.close()
        await turns()

    run(main)


def test_create_datagram_endpoint_cancelled_at_any_turn(run):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind((LOOPBACK, 0))
            for count in range(10):
                async with Guard():
                    done = await cancelled_after(
                        count,
                        lambda: loop.create_datagram_endpoint(
                            asyncio.DatagramProtocol,
                            local_addr=(LOOPBACK, 0),
                            remote_addr=peer.getsockname(),
                        ),
                    )
                    if done is not None:
                        done[0].abort()
                    await turns()

    run(main)


@pytest.mark.parametrize("method, end", [("connect_read_pipe", 0), ("connect_write_pipe", 1)])
def test_connecting_a_pipe_cancelled_at_any_turn(run, method, end):
    async def main():
        loop = asyncio.get_running_loop()
        for count in range(6):
            async with Guard():
                fds = os.pipe()
                files = [os.fdopen(fds[0], "rb", 0), os.fdopen(fds[1], "wb", 0)]
                done = await cancelled_after(
                    count, partial(getattr(loop, method), asyncio.Protocol, files[end])
                )
                if done is not None:
                    done[0].close()
                await turns()
                for file in files:
                    file.close()

    run(main)


def test_sock_connect_and_recv_cancelled_at_any_turn(run):
    async def main():
        loop = asyncio.get_running_loop()
        for count in range(5):
            async with Guard():
                ours, theirs = tcp_pair()
                await cancelled_after(count, partial(loop.sock_recv, ours, 1))
                assert loop.remove_reader(ours) is False or count < 2
                ours.close()
                theirs.close()

    run(main)


def test_a_process_cancelled_at_any_turn_is_reaped(run):
    async def main():
        loop = asyncio.get_running_loop()
        # What watches the children may open something once.
        transport, _ = await loop.subprocess_exec(asyncio.SubprocessProtocol, "/bin/true")
        await transport._wait()
        transport.close()
        for count in range(12):
            async with Guard():
                done = await cancelled_after(
                    count,
                    lambda: loop.subprocess_exec(
                        asyncio.SubprocessProtocol,
                        "/bin/sleep",
                        "1000",
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                    ),
                )
                if done is not None:
                    done[0].kill()
                    await done[0]._wait()
                    done[0].close()
                await turns(8)
            assert no_child_left()

    run(main)
