"""What waits of loop.sock_*() leave watched: its cost, who gets the number next, what epoll has."""

import asyncio
import os
import select
import socket

import pytest
from helpers import cpu_while_idle, only_pyaio
from peers import PATIENCE, reset, tcp_pair, turns, unix_pair, until, watched_by_epoll
from sock_calls import fill, receive_late

# ---- who is not there any more ----


@pytest.mark.parametrize("what", ["data", "eof", "reset"])
@pytest.mark.parametrize("closed", [False, True])
def test_what_nobody_waits_for_costs_nothing(loop, what, closed):
    """Also when the socket has been closed and lives on under another number."""
    ours, theirs = tcp_pair()
    with theirs:
        loop.run_until_complete(receive_late((ours, theirs)))
        with ours.dup() as other:
            if closed:
                ours.close()
            if what == "data":
                theirs.send(b"never read")
            elif what == "eof":
                theirs.shutdown(socket.SHUT_WR)
            else:
                reset(theirs)
            assert cpu_while_idle(loop) < 0.05
            assert select.select([other], [], [], 0)[0]
        ours.close()


@only_pyaio
def test_a_file_that_lives_on_is_not_taken_for_the_next_one_of_its_number(epoll_backend, loop):
    """asyncio's loop would not watch the file any more, but cannot be asked without the CPU."""
    ours, theirs = tcp_pair()
    loop.run_until_complete(receive_late((ours, theirs)))
    with theirs, ours.dup():
        number = ours.fileno()
        ours.close()
        next_ours, next_theirs = unix_pair()
        assert number in (next_ours.fileno(), next_theirs.fileno())
        if next_ours.fileno() != number:
            next_ours, next_theirs = next_theirs, next_ours
        with next_ours, next_theirs:
            waiting = loop.create_task(loop.sock_recv(next_ours, 10))
            theirs.send(b"never read")
            assert cpu_while_idle(loop) < 0.05
            next_theirs.send(b"data")
            assert loop.run_until_complete(asyncio.wait_for(waiting, PATIENCE)) == b"data"


@pytest.mark.parametrize("kept", [False, True])
def test_a_number_that_is_used_again_belongs_to_the_new_socket(run, kept):
    """Whether or not the closed socket object is still there."""

    async def main():
        loop = asyncio.get_running_loop()
        objects = []
        numbers = set()
        for i in range(10):
            ours, theirs = tcp_pair()
            numbers.add(ours.fileno())
            with theirs:
                await receive_late((ours, theirs))
                await receive_late((ours, theirs))
                if i % 2:
                    waiting = asyncio.ensure_future(loop.sock_recv(ours, 10))
                    await turns()
                    waiting.cancel()
                    await asyncio.wait([waiting])
                ours.close()
            if kept:
                objects.append(ours)
            del ours
        assert len(numbers) < 10

    run(main)


def test_a_detached_number_belongs_to_its_new_object(run, pair):
    async def main():
        await receive_late(pair)
        with socket.socket(fileno=pair[0].detach()) as ours:
            ours.setblocking(False)
            await receive_late((ours, pair[1]))
            await receive_late((ours, pair[1]))

    run(main)


def test_another_file_may_be_put_under_the_number(run, pair):
    """By dup2(), of which the socket object knows nothing."""

    async def main():
        loop = asyncio.get_running_loop()
        await receive_late(pair)
        await turns()
        ours, theirs = unix_pair()
        with ours, theirs:
            os.dup2(ours.fileno(), pair[0].fileno(), inheritable=False)
            await receive_late((pair[0], theirs))
            fill(pair[0])
            sending = asyncio.ensure_future(loop.sock_sendall(pair[0], b"last"))
            await turns()
            theirs.setblocking(True)
            while not sending.done():
                theirs.recv(1 << 16)
                await turns()

    run(main)


# ---- what epoll is told ----


READING = select.EPOLLIN | select.EPOLLERR | select.EPOLLHUP


@only_pyaio
def test_a_watch_stays_between_waits(epoll_backend, run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        assert watched_by_epoll(pair[0].fileno()) == []
        for _ in range(3):
            await receive_late(pair)
            assert watched_by_epoll(pair[0].fileno()) == [READING]
            assert pair[0].fileno() not in loop._selector.get_map()
        number = pair[0].fileno()
        pair[0].close()
        assert watched_by_epoll(number) == []

    run(main)


@only_pyaio
def test_data_for_nobody_ends_a_watch_and_the_next_wait_begins_it(epoll_backend, run, pair):
    async def main():
        number = pair[0].fileno()
        await receive_late(pair)
        pair[1].send(b"data")
        await until(lambda: watched_by_epoll(number) == [])
        assert await asyncio.get_running_loop().sock_recv(pair[0], 10) == b"data"
        await receive_late(pair)
        assert watched_by_epoll(number) == [READING]

    run(main)


@only_pyaio
@pytest.mark.parametrize("method", ["remove_reader", "remove_writer"])
def test_a_callback_that_is_removed_ends_a_watch(epoll_backend, run, pair, method):
    """Whoever removes one may close the descriptor next, of which there may be a duplicate."""

    async def main():
        await receive_late(pair)
        assert getattr(asyncio.get_running_loop(), method)(pair[0]) is False
        assert watched_by_epoll(pair[0].fileno()) == []
        await receive_late(pair)

    run(main)
