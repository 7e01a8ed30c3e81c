"""anyio's own asyncio backend: it reads and writes private state of tasks and streams."""

import signal
import socket
import sys

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest
from anyio.streams.tls import TLSListener, TLSStream
from helpers import PATIENCE


@pytest.fixture
def run(loop_factory, nothing_left_alive):
    """`run(main, *args)`: anyio.run() on a loop of the kind under test."""

    def run(main, *args):
        async def limited():
            with anyio.fail_after(PATIENCE):
                return await main(*args)

        options = {"loop_factory": loop_factory}
        return anyio.run(limited, backend="asyncio", backend_options=options)

    return run


def test_a_group_runs_its_tasks(run):
    async def main():
        done = []

        async def work(n):
            await anyio.sleep(0.001 * (3 - n))
            done.append(n)

        async with anyio.create_task_group() as group:
            for n in range(3):
                group.start_soon(work, n, name=f"worker {n}")
            names = {task.name for task in anyio.get_running_tasks()}
            assert {"worker 0", "worker 1", "worker 2"} <= names
        return sorted(done)

    assert run(main) == [0, 1, 2]


def test_start_waits_until_the_task_says_so(run):
    async def main():
        async def serve(*, task_status):
            await anyio.sleep(0)
            task_status.started("ready")
            await anyio.sleep_forever()

        async with anyio.create_task_group() as group:
            told = await group.start(serve)
            group.cancel_scope.cancel()
        return told

    assert run(main) == "ready"


def test_a_failing_task_cancels_its_group(run):
    async def main():
        seen = []

        async def wait():
            try:
                await anyio.sleep_forever()
            except BaseException as exc:
                seen.append(type(exc) is anyio.get_cancelled_exc_class())
                raise

        async def fail():
            await anyio.sleep(0)
            raise ZeroDivisionError

        with pytest.raises(ExceptionGroup) as info:
            async with anyio.create_task_group() as group:
                group.start_soon(wait)
                group.start_soon(fail)
        assert [type(exc) for exc in info.value.exceptions] == [ZeroDivisionError]
        return seen

    assert run(main) == [True]


def test_a_cancelled_scope_stays_cancelled(run):
    """What asyncio cancels once, anyio cancels at every wait: it looks what the task waits for."""

    async def main():
        refused = 0
        with anyio.CancelScope() as scope:
            scope.cancel()
            for _ in range(5):
                try:
                    await anyio.sleep_forever()
                except anyio.get_cancelled_exc_class():
                    refused += 1
        await anyio.sleep(0)  # outside of it, nothing is cancelled
        return refused, scope.cancelled_caught

    assert run(main) == (5, False)


def test_a_task_that_refuses_to_go_is_cancelled_again(run):
    async def main():
        refused = 0

        async def stubborn():
            nonlocal refused
            while refused < 3:
                try:
                    await anyio.sleep_forever()
                except anyio.get_cancelled_exc_class():
                    refused += 1
            await anyio.sleep_forever()

        async with anyio.create_task_group() as group:
            group.start_soon(stubborn)
            await anyio.sleep(0)
            group.cancel_scope.cancel()
        return refused

    assert run(main) == 3


def test_shields_and_nested_scopes(run):
    async def main():
        story = []
        with anyio.CancelScope() as outer:
            with anyio.CancelScope(shield=True):
                outer.cancel()
                await anyio.sleep(0.001)
                story.append("shielded")
            await anyio.sleep_forever()
        story.append(outer.cancelled_caught)
        with anyio.move_on_after(0.001) as scope:
            await anyio.sleep_forever()
        story.append(scope.cancelled_caught)
        with pytest.raises(TimeoutError), anyio.fail_after(0):
            await anyio.sleep_forever()
        return story

    assert run(main) == ["shielded", True, True]


def test_checkpoints_let_others_run_in_turn(run):
    async def main():
        order = []

        async def work(name):
            for _ in range(3):
                order.append(name)
                await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as group:
            group.start_soon(work, "a")
            group.start_soon(work, "b")
        return "".join(order)

    assert run(main) == "ababab"


def test_synchronization_and_memory_streams(run):
    async def main():
        send, receive = anyio.create_memory_object_stream[int](2)
        lock, limit, event = anyio.Lock(), anyio.Semaphore(2), anyio.Event()
        got = []

        async def consume():
            async with receive.clone() as mine:
                async for item in mine:
                    async with limit, lock:
                        got.append(item)
                        await anyio.sleep(0)
            event.set()

        async with anyio.create_task_group() as group:
            group.start_soon(consume)
            group.start_soon(consume)
            async with send:
                for n in range(50):
                    await send.send(n)
            await event.wait()
        receive.close()
        return sorted(got)

    assert run(main) == list(range(50))


async def echo(stream):
    async with stream:
        try:
            while True:
                await stream.send(await stream.receive())
        except anyio.EndOfStream:
            pass


@pytest.mark.parametrize("size", [1, 3_000_000])
@pytest.mark.parametrize("secure", [False, True])
def test_tcp_and_tls(run, contexts, secure, size):
    async def main():
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        if secure:
            listener = TLSListener(listener, contexts[0])
        async with listener, anyio.create_task_group() as group:
            group.start_soon(listener.serve, echo)
            stream = await anyio.connect_tcp("127.0.0.1", port)
            if secure:
                stream = await TLSStream.wrap(stream, hostname="localhost", ssl_context=contexts[1])
            async with stream:
                payload = bytes(range(250)) * (size // 250) or b"x"
                group.start_soon(stream.send, payload)
                got = bytearray()
                while len(got) < len(payload):
                    got += await stream.receive()
                assert got == payload
                assert stream.extra(anyio.abc.SocketAttribute.remote_port) == port
                raw = stream.extra(anyio.abc.SocketAttribute.raw_socket)
                assert raw.getpeername()[1] == port
            group.cancel_scope.cancel()

    run(main)


def test_unix_sockets(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    async def main():
        listener = await anyio.create_unix_listener("socket")
        async with listener, anyio.create_task_group() as group:
            group.start_soon(listener.serve, echo)
            async with await anyio.connect_unix("socket") as stream:
                await stream.send(b"hello")
                assert await stream.receive() == b"hello"
                await stream.send_eof()
                with pytest.raises(anyio.EndOfStream):
                    await stream.receive()
            group.cancel_scope.cancel()

    run(main)


def test_udp(run):
    async def main():
        async with (
            await anyio.create_udp_socket(local_host="127.0.0.1") as server,
            await anyio.create_connected_udp_socket(
                "127.0.0.1", server.extra(anyio.abc.SocketAttribute.local_port)
            ) as client,
        ):
            await client.send(b"question")
            data, address = await server.receive()
            await server.sendto(data[::-1], *address)
            return await client.receive()

    assert run(main) == b"noitseuq"


def test_a_cancelled_receive_loses_no_data(run):
    async def main():
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with listener, anyio.create_task_group() as group:
            group.start_soon(listener.serve, echo)
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                with anyio.move_on_after(0.005):
                    await stream.receive()
                await stream.send(b"kept")
                assert await stream.receive() == b"kept"
                with anyio.CancelScope() as scope:
                    scope.cancel()
                    await stream.receive()
                assert scope.cancelled_caught
            group.cancel_scope.cancel()

    run(main)


def test_threads(run):
    async def main():
        def work():
            anyio.from_thread.check_cancelled()
            return anyio.from_thread.run(double, 21)

        async def double(n):
            await anyio.sleep(0)
            return n * 2

        return await anyio.to_thread.run_sync(work)

    assert run(main) == 42


def test_a_portal_runs_a_loop_in_another_thread(loop_factory):
    async def double(n):
        await anyio.sleep(0.001)
        return n * 2

    options = {"loop_factory": loop_factory}
    with anyio.from_thread.start_blocking_portal("asyncio", options) as portal:
        assert portal.call(double, 21) == 42
        futures = [portal.start_task_soon(double, n) for n in range(20)]
        assert [future.result(PATIENCE) for future in futures] == [2 * n for n in range(20)]


def test_processes(run):
    async def main():
        source = "import sys; print(sys.stdin.read().upper()); sys.exit(3)"
        done = await anyio.run_process([sys.executable, "-c", source], input=b"hello", check=False)
        assert (done.stdout, done.returncode) == (b"HELLO\n", 3)
        async with await anyio.open_process([sys.executable, "-c", "input()"]) as process:
            process.terminate()
            assert await process.wait() == -signal.SIGTERM

    run(main)


def test_signals(run):
    async def main():
        with anyio.open_signal_receiver(signal.SIGUSR1, signal.SIGUSR2) as received:
            signal.raise_signal(signal.SIGUSR1)
            signal.raise_signal(signal.SIGUSR2)
            return {await received.__anext__(), await received.__anext__()}

    assert run(main) == {signal.SIGUSR1, signal.SIGUSR2}


def test_waiting_for_plain_sockets(run):
    async def main():
        ours, peer = socket.socketpair()
        with ours, peer:
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.wait_readable, ours)
                await anyio.wait_writable(peer)
                peer.send(b"x")
            with anyio.move_on_after(0.001) as scope:
                ours.recv(1)
                await anyio.wait_readable(ours)
            return scope.cancelled_caught

    assert run(main) is True


def test_files(run, tmp_path):
    async def main():
        path = anyio.Path(tmp_path / "file")
        async with await anyio.open_file(path, "w") as file:
            await file.write("one\ntwo\n")
        async with await anyio.open_file(path) as file:
            return [line async for line in file]

    assert run(main) == ["one\n", "two\n"]
