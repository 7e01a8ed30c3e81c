"""What the tests of loop.sock_*() share: arguments that wait, what fills, what ends at once.

Imported by name: ``from sock_calls import CALLS, call``; the pairs of sockets are fixtures.
"""

import asyncio

import pytest
from peers import LOOPBACK, turns

#: (method, arguments behind the socket), each of which waits on a quiet connection.
RECEIVING = {
    "sock_recv": lambda: (10,),
    "sock_recv_into": lambda: (bytearray(10),),
    "sock_recvfrom": lambda: (10,),
    "sock_recvfrom_into": lambda: (bytearray(10),),
}
CALLS = RECEIVING | {
    "sock_sendall": lambda: (b"x",),
    "sock_sendto": lambda: (b"x", (LOOPBACK, 9)),
    "sock_connect": lambda: ((LOOPBACK, 9),),
    "sock_accept": lambda: (),
}


def call(loop, name, sock):
    """The call *name* of CALLS for *sock*, not awaited yet."""
    return getattr(loop, name)(sock, *CALLS[name]())


def at_once(coro):
    """Return what the coroutine returns in its first step."""
    with pytest.raises(StopIteration) as stop:
        coro.send(None)
    return stop.value.value


async def receive_late(pair):
    """Receive what is sent only when the receiver waits."""
    loop = asyncio.get_running_loop()
    waiting = asyncio.ensure_future(loop.sock_recv(pair[0], 10))
    await turns()
    pair[1].send(b"data")
    assert await waiting == b"data"


def fill(sock):
    """Send until the socket takes no more; return how many bytes that were."""
    sent = 0
    while True:
        try:
            sent += sock.send(bytes(1 << 16))
        except BlockingIOError:
            return sent
