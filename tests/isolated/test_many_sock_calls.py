"""loop.sock_*() by the thousand leave nothing behind, nor does a fork with sockets waited for."""

import pytest

PRELUDE = """
import asyncio, gc, os, signal, socket, sys, warnings
import measure

def pair():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs

async def echo(sock, count):
    loop = asyncio.get_running_loop()
    for _ in range(count):
        data = await loop.sock_recv(sock, 100)
        await loop.sock_sendall(sock, data)

async def ask(sock, count):
    loop = asyncio.get_running_loop()
    buffer = bytearray(100)
    for _ in range(count):
        await loop.sock_sendall(sock, b"message")
        assert await loop.sock_recv_into(sock, buffer) == 7

def steady(main, things, **kwargs):
    loop = new_event_loop()
    measure.wait_once(loop)
    measure.check_steady(lambda: loop.run_until_complete(main()), things=things, **kwargs)
    loop.close()
"""

ROUNDS = {
    "messages": """
ours, theirs = pair()

async def main():
    await asyncio.gather(echo(ours, 1000), ask(theirs, 1000))
""",
    "sockets": """
async def one():
    ours, theirs = pair()
    with ours, theirs:
        await asyncio.gather(echo(ours, 2), ask(theirs, 2))

async def main():
    for _ in range(100):
        await asyncio.gather(*(one() for _ in range(10)))
""",
    "cancelled": """
ours, theirs = pair()

async def main():
    loop = asyncio.get_running_loop()
    for _ in range(1000):
        task = loop.create_task(loop.sock_recv(ours, 10))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
""",
    "refused": """
ours, theirs = pair()

async def main():
    loop = asyncio.get_running_loop()
    for _ in range(200):
        for size in (0, -1, "x", 1 << 70):
            try:
                await loop.sock_recv(ours, size)
            except (ValueError, TypeError, OverflowError):
                pass
        try:
            await loop.sock_accept(ours)
        except OSError:
            pass
""",
    "never awaited": """
warnings.simplefilter("ignore", RuntimeWarning)
ours, theirs = pair()

async def main():
    loop = asyncio.get_running_loop()
    for _ in range(500):
        loop.sock_recv(ours, 10)
        cycle = [loop.sock_sendall(ours, b"x")]
        cycle.append(cycle)
""",
    "accepted": """
listener = socket.create_server(("127.0.0.1", 0))
listener.setblocking(False)

async def main():
    loop = asyncio.get_running_loop()
    for _ in range(300):
        with socket.socket() as client:
            client.setblocking(False)
            accepting = asyncio.ensure_future(loop.sock_accept(listener))
            await loop.sock_connect(client, listener.getsockname())
            (await accepting)[0].close()
""",
}


@pytest.mark.parametrize("what", ROUNDS)
def test_rounds_leave_nothing_behind(measured, what):
    assert measured(PRELUDE + ROUNDS[what] + "\nsteady(main, 1000)\n") == []


def test_loops_closed_with_waits_leave_nothing_behind(measured):
    source = """
warnings.simplefilter("ignore", ResourceWarning)

def main():
    for _ in range(20):
        loop = new_event_loop()
        for _ in range(5):
            ours, theirs = pair()
            loop.run_until_complete(both(ours, theirs))
            loop.sock_recv(ours, 10).send(None)
            loop.sock_recv(theirs, 10).send(None)
        loop.close()

# What a closed loop leaves to the collector is freed in one go, so it takes some rounds until
# the interpreter's free lists are full: 700 blocks.
measure.check_steady(main, things=100, warm=12)
"""
    out = measured(PRELUDE + GATHERED + source)
    assert out == []


#: asyncio.gather() wants a running loop.
GATHERED = """
async def both(ours, theirs):
    await asyncio.gather(echo(ours, 1), ask(theirs, 1))
"""

FORK = """
loop = new_event_loop()
ours, theirs = pair()
closed, closed_peer = pair()

async def main():
    await asyncio.gather(echo(ours, 3), ask(theirs, 3))

async def other():
    await asyncio.gather(echo(closed, 3), ask(closed_peer, 3))

loop.run_until_complete(main())
loop.run_until_complete(other())
closed.close()  # the loop has watched it and is not told
closed_peer.close()
pid = os.fork()
if not pid:
    code = 1
    try:
        signal.alarm(60)
        loop.run_until_complete(asyncio.sleep(0.001))
        ours, theirs = pair()
        loop.run_until_complete(main())
        loop.close()
        code = 0
    finally:
        os._exit(code)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
loop.run_until_complete(main())
loop.close()
for sock in (ours, theirs):
    sock.close()
"""


def test_a_child_may_go_on_with_the_loop(measured, loop_kind):
    if loop_kind == "asyncio":
        pytest.skip("asyncio's child shares the parent's epoll set")
    assert measured(PRELUDE + FORK) == ["0"]
