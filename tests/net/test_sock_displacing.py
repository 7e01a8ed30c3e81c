"""Who comes for a socket that is waited for: a call, a reader, a connection; who gets the data."""

import asyncio

import pytest
from peers import PATIENCE, turns, until
from sock_calls import receive_late


@pytest.mark.parametrize("first_cancelled", [False, True])
def test_of_two_waits_on_one_socket_the_second_gets_the_data(run, pair, first_cancelled):
    async def main():
        loop = asyncio.get_running_loop()
        waits = []
        for _ in range(2):
            waits.append(asyncio.ensure_future(loop.sock_recv(pair[0], 10)))
            await turns()
        if first_cancelled:
            waits[0].cancel()
            await turns()
        pair[1].send(b"data")
        assert await asyncio.wait_for(waits[1], PATIENCE) == b"data"
        pair[1].send(b"more")
        await turns()
        assert waits[0].done() is first_cancelled
        waits[0].cancel()
        await asyncio.wait(waits)
        assert await loop.sock_recv(pair[0], 10) == b"more"

    run(main)


def test_add_reader_takes_the_place_of_a_wait(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        waiting = asyncio.ensure_future(loop.sock_recv(pair[0], 10))
        await turns()
        seen = []
        loop.add_reader(pair[0], lambda: seen.append(pair[0].recv(2)))
        pair[1].send(b"data")
        await until(lambda: b"".join(seen) == b"data")
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])
        pair[1].send(b"more")
        await until(lambda: b"".join(seen) == b"datamore")
        assert loop.remove_reader(pair[0]) is True

    run(main)


def test_a_wait_takes_the_place_of_a_reader(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        seen = []
        loop.add_reader(pair[0], seen.append, "called")
        loop.add_writer(pair[0], seen.append, "writable")
        waiting = asyncio.ensure_future(loop.sock_recv(pair[0], 10))
        await until(lambda: "writable" in seen)
        pair[1].send(b"data")
        assert await asyncio.wait_for(waiting, PATIENCE) == b"data"
        assert loop.remove_reader(pair[0]) is False
        assert loop.remove_writer(pair[0]) is True
        assert "called" not in seen
        await receive_late(pair)

    run(main)


def test_remove_reader_takes_a_wait_out(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        waiting = asyncio.ensure_future(loop.sock_recv(pair[0], 10))
        await turns()
        assert loop.remove_reader(pair[0]) is True
        assert loop.remove_reader(pair[0]) is False
        pair[1].send(b"data")
        await turns()
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])
        assert await loop.sock_recv(pair[0], 10) == b"data"

    run(main)


def test_readers_and_writers_after_waits_are_called_while_they_may(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        await receive_late(pair)
        seen = []
        loop.add_reader(pair[0], seen.append, "readable")
        pair[1].send(b"ab")
        await until(lambda: len(seen) >= 5)  # the data stays: again and again
        loop.remove_reader(pair[0])
        loop.add_writer(pair[0], seen.append, "writable")
        await until(lambda: seen.count("writable") >= 5)
        loop.remove_writer(pair[0])
        assert await loop.sock_recv(pair[0], 10) == b"ab"
        await receive_late(pair)

    run(main)


def test_a_socket_that_was_waited_for_may_become_a_connection(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        await receive_late(pair)
        reader, writer = await asyncio.open_connection(sock=pair[0])
        pair[1].send(b"data")
        assert await asyncio.wait_for(reader.readexactly(4), PATIENCE) == b"data"
        with pytest.raises(RuntimeError, match="is used by transport"):
            await loop.sock_recv(pair[0], 10)
        writer.close()
        await writer.wait_closed()

    run(main)


def test_two_loops_may_take_turns_with_a_socket(loop_factory, pair):
    with (
        asyncio.Runner(loop_factory=loop_factory) as one,
        asyncio.Runner(loop_factory=loop_factory) as other,
    ):
        for _ in range(3):
            for runner in (one, other):
                runner.run(receive_late(pair))
