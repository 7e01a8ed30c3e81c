"""What nobody refers to any more is freed: loops, transports, protocols, servers, callbacks."""

import pytest

PRELUDE = """
import asyncio, gc, socket, warnings, weakref
import measure

class Protocol(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport  # the usual cycle

def check_gone(*references):
    gc.collect()
    print([reference() is None for reference in references])
"""


def test_a_closed_loop_is_freed(measured):
    out = measured(
        PRELUDE
        + """
new_event_loop().close()  # opens what a process opens once
before = measure.descriptors()
loop = new_event_loop()
loop.run_until_complete(asyncio.sleep(0))
loop.call_later(1000, print, loop)
loop.call_soon(print, loop)
loop.close()
references = weakref.ref(loop), weakref.ref(loop.call_exception_handler.__self__)
del loop
check_gone(*references)
print(measure.descriptors() - before)
"""
    )
    assert out == ["[True, True]", "0"]


def test_a_dropped_loop_warns_and_gives_its_descriptors_back(measured):
    out = measured(
        PRELUDE
        + """
new_event_loop().close()
before = measure.descriptors()
loop = new_event_loop()
loop.run_until_complete(asyncio.sleep(0))
reference = weakref.ref(loop)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    del loop
    gc.collect()
print(any("unclosed event loop" in str(warning.message) for warning in caught))
del caught[:]  # the warning names the loop as its source
check_gone(reference)
print(measure.descriptors() - before)
"""
    )
    assert out == ["True", "[True]", "0"]


def test_a_hundred_loops_leave_nothing(measured):
    out = measured(
        PRELUDE
        + """
def round_():
    for _ in range(20):
        loop = new_event_loop()
        loop.run_until_complete(asyncio.sleep(0.0001))
        loop.call_later(1000, print)
        loop.close()

measure.check_steady(round_, things=20, rounds=5, size=4096)
print("steady")
"""
    )
    assert out == ["steady"]


ENDS = {"close": "transport.close()", "abort": "transport.abort()", "peer": "peer.close()"}


@pytest.mark.parametrize("end", ENDS)
def test_a_lost_connection_is_freed(measured, end):
    out = measured(
        PRELUDE
        + f"""
async def main():
    loop = asyncio.get_running_loop()
    ours, peer = socket.socketpair()
    transport, protocol = await loop.create_connection(Protocol, sock=ours)
    references = weakref.ref(transport), weakref.ref(protocol), weakref.ref(ours)
    transport.write(b"x")
    {ENDS[end]}
    while ours.fileno() != -1:
        await asyncio.sleep(0.001)
    peer.close()
    return references

loop = new_event_loop()
check_gone(*loop.run_until_complete(main()))
loop.close()
"""
    )
    assert out == ["[True, True, True]"]


def test_an_unclosed_connection_of_a_closed_loop_is_freed(measured):
    out = measured(
        PRELUDE
        + """
async def main():
    loop = asyncio.get_running_loop()
    ours, peer = socket.socketpair()
    with peer:
        transport, protocol = await loop.create_connection(Protocol, sock=ours)
    return weakref.ref(transport), weakref.ref(protocol), weakref.ref(ours)

loop = new_event_loop()
loop.run_until_complete(asyncio.sleep(0))
before = measure.descriptors()
warnings.simplefilter("ignore")
references = loop.run_until_complete(main())
print(measure.descriptors() - before)
loop.close()
references += (weakref.ref(loop),)
del loop
check_gone(*references)
"""
    )
    assert out == ["1", "[True, True, True, True]"]


def test_a_closed_server_is_freed(measured):
    out = measured(
        PRELUDE
        + """
async def main():
    loop = asyncio.get_running_loop()
    def factory():
        return Protocol()
    server = await loop.create_server(factory, "127.0.0.1", 0)
    transport, _ = await loop.create_connection(Protocol, *server.sockets[0].getsockname())
    await asyncio.sleep(0.01)
    transport.abort()
    server.close()
    await server.wait_closed()
    await asyncio.sleep(0.01)
    return weakref.ref(server), weakref.ref(factory), weakref.ref(transport)

loop = new_event_loop()
check_gone(*loop.run_until_complete(main()))
loop.close()
"""
    )
    assert out == ["[True, True, True]"]


def test_arguments_of_callbacks_are_freed_once_they_ran_or_were_cancelled(measured):
    out = measured(
        PRELUDE
        + """
class Thing:
    pass

def given_to(schedule):
    thing = Thing()
    handle = schedule(thing)
    return handle, weakref.ref(thing)

def nothing(thing):
    pass

loop = new_event_loop()
ran = given_to(lambda thing: loop.call_soon(nothing, thing))
cancelled = given_to(lambda thing: loop.call_soon(nothing, thing))
timer = given_to(lambda thing: loop.call_later(1000, nothing, thing))
cancelled[0].cancel()
timer[0].cancel()
loop.run_until_complete(asyncio.sleep(0))
handles = [handle for handle, _ in (cancelled, timer)]
del ran
check_gone(cancelled[1], timer[1])
loop.close()
"""
    )
    assert out == ["[True, True]"]
