"""What the transports are made of cannot be misused, and what a program replaces is called."""

import asyncio

import pytest
from helpers import only_pyaio
from peers import LOOPBACK, Recorder, connection, ended, until, with_peer


def test_the_types_of_transports_cannot_be_called(run, loop_kind):
    if loop_kind == "asyncio":
        pytest.skip("what asyncio half makes complains in its finalizer on some versions")

    async def main():
        async with with_peer() as (protocol, _):
            kind = type(protocol.transport)
            with pytest.raises(TypeError):
                kind()

    run(main)


def test_half_built_transports_cannot_be_made(run, loop_kind):
    if loop_kind == "asyncio":
        pytest.skip("asyncio's transports are Python classes, of which __new__ is harmless")

    async def main():
        async with with_peer() as (protocol, _):
            kind = type(protocol.transport)
            for make in (kind.__new__, asyncio.Transport.__new__, object.__new__):
                with pytest.raises(TypeError):
                    make(kind)
            with pytest.raises(TypeError):
                type("Sub", (kind,), {})

    run(main)


def test_a_replaced_call_soon_sees_connection_made_and_connection_lost(loop_class):
    """Tracers replace it to carry their state along."""
    seen = []

    class Traced(loop_class):
        def call_soon(self, callback, *args, context=None):
            seen.append(getattr(callback, "__name__", ""))
            return super().call_soon(callback, *args, context=context)

    async def main():
        async with connection() as (near, far):
            near.transport.close()
            await ended(near.lost)
            await ended(far.lost)

    with asyncio.Runner(loop_factory=Traced) as runner:
        runner.run(main())
    assert seen.count("connection_made") == 2
    assert sum(name.endswith("_connection_lost") for name in seen) == 2


def test_a_replaced_exception_handler_method_sees_the_failures_of_protocols(loop_class):
    seen = []

    class Reporting(loop_class):
        def call_exception_handler(self, context):
            seen.append(context["message"])

    class Failing(Recorder):
        def data_received(self, data):
            raise ZeroDivisionError

    async def main():
        async with with_peer(Failing) as (protocol, peer):
            peer.send(b"x")
            assert isinstance(await ended(protocol.lost), ZeroDivisionError)

    with asyncio.Runner(loop_factory=Reporting) as runner:
        runner.run(main())
    assert seen == ["Fatal error: protocol.data_received() call failed."]


def test_a_replaced_getaddrinfo_is_asked_for_names(loop_class):
    asked = []

    class Resolving(loop_class):
        async def getaddrinfo(self, host, port, **kwargs):
            asked.append(host)
            return await super().getaddrinfo(LOOPBACK, port, **kwargs)

    async def main():
        loop = asyncio.get_running_loop()
        async with await loop.create_server(asyncio.Protocol, LOOPBACK, 0) as server:
            port = server.sockets[0].getsockname()[1]
            _, near = await loop.create_connection(Recorder, "some.name", port)
            near.transport.close()
            await ended(near.lost)
            await asyncio.sleep(0.01)

    with asyncio.Runner(loop_factory=Resolving) as runner:
        runner.run(main())
    assert asked == ["some.name"]


@pytest.mark.parametrize("name", ["connection_made", "data_received", "connection_lost"])
def test_a_callback_replaced_on_the_instance_is_called(run, name):
    async def main():
        seen = []

        class Plain(Recorder):
            def __init__(self):
                super().__init__()
                original = getattr(self, name)

                def replaced(*args):
                    seen.append(name)
                    original(*args)

                setattr(self, name, replaced)

        async with with_peer(Plain) as (protocol, peer):
            peer.send(b"x")
            await protocol.received(1)
            peer.close()
            await ended(protocol.lost)
        return seen

    assert run(main) == [name]


@pytest.mark.parametrize("on", ["instance", "class"])
def test_data_received_replaced_in_mid_connection_is_called(run, on):
    class Plain(Recorder):
        pass

    async def main():
        async with with_peer(Plain) as (protocol, peer):
            peer.send(b"1")
            await protocol.received(1)
            late = []
            if on == "instance":
                protocol.data_received = late.append
            else:
                Plain.data_received = lambda self, data: late.append(data)
            peer.send(b"2")
            await until(lambda: late)
            return bytes(protocol.data), late

    assert run(main) == (b"1", [b"2"])


def test_internal_types_cannot_be_made(loop_factories):
    from pyaio import _core

    public = {"Loop", "Future", "Task"}
    beneath = {"SSLProtocol", "SSLTransport"}  # of classes in pyaio/_tls.py
    types = {name: value for name, value in vars(_core).items() if isinstance(value, type)}
    assert {"Handle", "TimerHandle", "Listener", "Poller"} <= set(types)
    assert {"SocketTransport", "DatagramTransport"} <= set(types)
    for name in set(types) - public:
        kind = types[name]
        with pytest.raises(TypeError):
            kind()
        for base in kind.__mro__:
            with pytest.raises(TypeError):
                base.__new__(kind)
        if name not in beneath:
            with pytest.raises(TypeError):
                type("Sub", (kind,), {})


@only_pyaio
@pytest.mark.parametrize("state", ["half-built", "closed"])
def test_no_method_of_a_loop_that_is_not_open_crashes(child, state):
    """Each method of the native half, called with anything: it raises or returns."""
    source = """
    import asyncio, contextlib, socket, sys, warnings
    import pyaio
    from pyaio import _core

    warnings.simplefilter("ignore")
    sys.unraisablehook = print

    def make():
        if sys.argv[1] == "closed":
            loop = pyaio.Loop()
            loop.close()
            return loop
        return pyaio.Loop.__new__(pyaio.Loop)

    ours, peer = socket.socketpair()
    things = [0, -1, 1.5, 1 << 70, print, None, "", b"", ours, asyncio.Protocol(), object()]
    skip = {"__class__", "__reduce__", "__reduce_ex__", "__init_subclass__", "__subclasshook__"}
    calls = 0
    for name in dir(_core.Loop):
        if name in skip:
            continue
        for count in range(5):
            for thing in things:
                loop = make()
                if name in ("run_forever", "_run", "_run_once", "_select"):
                    # It would run: with nothing to do, for ever.
                    with contextlib.suppress(Exception):
                        loop.stop()
                        loop._write_to_self()
                with contextlib.suppress(Exception):
                    getattr(loop, name)(*[thing] * count)
                calls += 1
                with contextlib.suppress(Exception):
                    loop.close()
    ours.close()
    peer.close()
    print("done")
    """
    with child(source, args=(state,)) as process:
        code, out, errors = process.finish()
    assert (code, out.splitlines()[-1:]) == (0, ["done"]), errors
