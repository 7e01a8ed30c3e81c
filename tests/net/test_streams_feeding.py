"""How a StreamReader gets its bytes: natively while all of it is asyncio's own, through its methods
as soon as a program has replaced one, and so that nobody can tell but by counting calls."""

import asyncio
import contextlib
import gc
import os

import pytest
from peers import Recorder, stream_and_peer, tcp_pair, until
from spies import FEEDING, python_calls, replaced, spy_on

READER, PROTOCOL = asyncio.StreamReader, asyncio.StreamReaderProtocol


async def fed(reader, peer, data=b"some bytes"):
    """Send *data* from the peer and read it; return the names of the methods that fed it."""
    reading = asyncio.ensure_future(reader.readexactly(len(data)))
    await asyncio.sleep(0)
    with python_calls() as names:
        peer.send(data)
        assert await reading == data
    return FEEDING.intersection(names)


def test_an_unmodified_reader_needs_no_python_call(run, loop_kind):
    async def main():
        async with stream_and_peer() as (reader, _, peer):
            return [await fed(reader, peer) for _ in range(3)]

    assert run(main) == 3 * [set() if loop_kind == "pyaio" else FEEDING]


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (READER, "feed_data"),
        (READER, "_wakeup_waiter"),
        (PROTOCOL, "data_received"),
    ],
)
def test_a_method_replaced_on_the_class(run, owner, name):
    """Before the connection is made, while it is used, and not any more."""
    calls = []

    async def main():
        spy = spy_on(vars(owner)[name], calls)
        async with stream_and_peer() as (reader, _, peer):
            before = await fed(reader, peer)
            with replaced(owner, name, spy):
                await fed(reader, peer)
                assert len(calls) == 1
                async with stream_and_peer() as (another, _, its_peer):
                    await fed(another, its_peer)
                assert len(calls) >= 2
            seen = len(calls)
            assert await fed(reader, peer) == before
            assert len(calls) == seen

    run(main)
    assert calls[0] in (b"some bytes", None)


@pytest.mark.parametrize("base", [asyncio.Protocol, asyncio.streams.FlowControlMixin])
def test_a_method_added_to_a_base_class_changes_nothing(run, base):
    async def main():
        async with stream_and_peer() as (reader, _, peer):
            before = await fed(reader, peer)
            with replaced(base, "data_received", None):
                assert await fed(reader, peer) == before

    run(main)


@pytest.mark.parametrize("name", ["feed_data", "_wakeup_waiter", "data_received"])
def test_a_method_replaced_on_the_object(run, name):
    calls = []

    async def main():
        async with stream_and_peer() as (reader, writer, peer):
            await fed(reader, peer)
            owner = writer.transport.get_protocol() if name == "data_received" else reader
            setattr(owner, name, spy_on(getattr(owner, name), calls))
            await fed(reader, peer)
            assert len(calls) == 1
            delattr(owner, name)
            await fed(reader, peer)
            assert len(calls) == 1

    run(main)


def test_a_method_replaced_before_the_first_bytes(run):
    calls = []

    async def main():
        async with stream_and_peer() as (reader, _, peer):
            reader.feed_data = calls.append
            peer.send(b"abc")
            await until(lambda: calls)
            assert not reader._buffer

    run(main)
    assert calls == [b"abc"]
    assert type(calls[0]) is bytes


def test_the_code_of_a_method_replaced(run):
    """As tracers do it that rewrite functions in place."""
    calls = []

    def feed_data(self, data):
        self._buffer += b"<" + data + b">"
        self._wakeup_waiter()

    async def main():
        async with stream_and_peer() as (reader, _, peer):
            await fed(reader, peer)
            own = READER.feed_data.__code__
            READER.feed_data.__code__ = feed_data.__code__
            try:
                peer.send(b"data")
                assert await reader.read(100) == b"<data>"
            finally:
                READER.feed_data.__code__ = own
            await fed(reader, peer)

    run(main)
    assert calls == []


def test_the_property_that_finds_the_reader_replaced(run):
    async def main():
        async with stream_and_peer() as (reader, _, peer):
            await fed(reader, peer)
            another = READER()
            with replaced(PROTOCOL, "_stream_reader", property(lambda self: another)):
                peer.send(b"for another")
                assert await another.readexactly(11) == b"for another"
                assert not reader._buffer
            await fed(reader, peer)

    run(main)


def test_attributes_that_the_class_answers_for(run):
    async def main():
        async with stream_and_peer() as (reader, _, peer):
            await fed(reader, peer)
            buffers = []

            class Buffer(bytearray):
                def extend(self, data):
                    buffers.append(data)

            with replaced(READER, "_buffer", property(lambda self: Buffer())):
                peer.send(b"abc")
                await until(lambda: buffers)
            assert buffers == [b"abc"]
            with replaced(READER, "__getattribute__", spy_on(object.__getattribute__, buffers)):
                await fed(reader, peer)
            assert "_buffer" in buffers
            written = []

            def note(self, name, value):
                written.append(name)
                object.__setattr__(self, name, value)

            with replaced(READER, "__setattr__", note):
                await fed(reader, peer)
            assert "_waiter" in written
            await fed(reader, peer)

    run(main)


def subclasses():
    class Reader(READER):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.calls = []

        def feed_data(self, data):
            self.calls.append(data)
            super().feed_data(data)

    class Protocol(PROTOCOL):
        def __init__(self, reader):
            super().__init__(reader)
            self.calls = []

        def data_received(self, data):
            self.calls.append(data)
            super().data_received(data)

    return Reader, Protocol


@contextlib.asynccontextmanager
async def made_by_hand(reader_class=READER, protocol_class=PROTOCOL, **options):
    """A stream of these classes and its peer: gives (reader, protocol, transport, socket).

    It may end in any way.
    """
    ours, peer = tcp_pair()
    with peer:
        reader = reader_class(**options)
        transport, protocol = await asyncio.get_running_loop().create_connection(
            lambda: protocol_class(reader), sock=ours
        )
        try:
            yield reader, protocol, transport, peer
        finally:
            transport.abort()
            await asyncio.wait([protocol._closed])


def test_a_subclass_of_the_reader(run):
    async def main():
        async with made_by_hand(subclasses()[0]) as (reader, _, _, peer):
            await fed(reader, peer, b"one")
            await fed(reader, peer, b"two")
            assert reader.calls == [b"one", b"two"]

    run(main)


def test_a_subclass_of_the_protocol(run):
    async def main():
        async with made_by_hand(READER, subclasses()[1]) as (reader, protocol, _, peer):
            await fed(reader, peer, b"one")
            await fed(reader, peer, b"two")
            assert protocol.calls == [b"one", b"two"]

    run(main)


def test_the_class_of_an_object_changed(run):
    Reader, Protocol = subclasses()

    async def main():
        async with made_by_hand() as (reader, protocol, _, peer):
            await fed(reader, peer)
            reader.calls = protocol.calls = []
            reader.__class__ = Reader
            await fed(reader, peer, b"one")
            reader.__class__ = READER
            protocol.__class__ = Protocol
            await fed(reader, peer, b"two")
            assert reader.calls == [b"one", b"two"]

    run(main)


def test_another_protocol_and_back(run):
    async def main():
        async with stream_and_peer() as (reader, writer, peer):
            before = await fed(reader, peer)
            own = writer.transport.get_protocol()
            recorder = Recorder()
            writer.transport.set_protocol(recorder)
            peer.send(b"for the recorder")
            assert await recorder.received(16) == b"for the recorder"
            another = READER()
            writer.transport.set_protocol(PROTOCOL(another))
            assert await fed(another, peer) == before
            assert not reader._buffer
            writer.transport.set_protocol(own)
            assert await fed(reader, peer) == before
            assert not another._buffer

    run(main)


def test_another_reader_behind_the_protocol(run):
    async def main():
        async with stream_and_peer() as (reader, writer, peer):
            await fed(reader, peer)
            own, another = writer.transport.get_protocol(), READER()
            own._stream_reader_wr = PROTOCOL(another)._stream_reader_wr
            await fed(another, peer)
            assert not reader._buffer
            own._stream_reader_wr = None
            peer.send(b"for nobody")
            await asyncio.sleep(0.01)
            assert not another._buffer
            assert not reader._buffer

    run(main)


def test_a_reader_that_is_gone(run):
    """Its protocol holds it by a weak reference: the bytes are dropped."""

    async def main():
        async with stream_and_peer() as (reader, writer, peer):
            await fed(reader, peer)
            gone = READER()
            protocol = PROTOCOL(gone)
            writer.transport.set_protocol(protocol)
            await fed(gone, peer)
            del gone
            gc.collect()
            assert protocol._stream_reader is None
            peer.send(b"dropped")
            await asyncio.sleep(0.01)
            assert writer.transport.is_reading()

    run(main)


def test_what_a_program_sees_of_the_reader(run):
    async def main():
        async with stream_and_peer(limit=1000) as (reader, _, peer):
            peer.send(b"x" * 500)
            await until(lambda: len(reader._buffer) == 500)
            shown = [repr(reader).split(" transport")[0]]
            peer.send(b"y" * 2000)
            await until(lambda: reader._paused)
            shown.append(repr(reader).split(" transport")[0])
            assert repr(reader).endswith(" paused>")
            assert bytes(reader._buffer) == b"x" * 500 + b"y" * 2000
            assert reader._waiter is None
            return shown

    assert run(main) == [
        "<StreamReader 500 bytes limit=1000",
        "<StreamReader 2500 bytes limit=1000",
    ]


def test_a_reader_whose_attributes_were_looked_at_or_added(run):
    async def main():
        async with stream_and_peer() as (reader, writer, peer):
            await fed(reader, peer)
            reader.mine = "something"
            await fed(reader, peer)
            assert vars(reader)["mine"] == "something"
            await fed(reader, peer)
            assert vars(writer.transport.get_protocol())["_closed"]
            await fed(reader, peer)
            vars(reader)["feed_data"] = (calls := []).append
            peer.send(b"abc")
            await until(lambda: calls)
            assert calls == [b"abc"]
            del vars(reader)["feed_data"], reader.mine
            await fed(reader, peer)
            for n in range(40):
                setattr(reader, f"attribute_{n}", n)
                setattr(writer.transport.get_protocol(), f"attribute_{n}", n)
            await fed(reader, peer)
            writer.transport.get_protocol().data_received = calls.append
            peer.send(b"def")
            await until(lambda: len(calls) == 2)

    run(main)


def test_an_attribute_deleted_and_another_added(run):
    async def main():
        async with stream_and_peer() as (reader, _, peer):
            own, reader.mine = reader._exception, "something"
            del reader._exception
            peer.send(b"abc")
            await until(lambda: len(reader._buffer) == 3)
            reader._exception = own
            del reader.mine
            assert await reader.read(100) == b"abc"
            await fed(reader, peer)

    run(main)


def test_another_buffer(run):
    async def main():
        async with stream_and_peer() as (reader, _, peer):
            await fed(reader, peer)
            reader._buffer = own = bytearray(b"before ")
            peer.send(b"behind")
            assert await until(lambda: len(own) == 13) is None
            assert await reader.read(100) == b"before behind"

            class Buffer(bytearray):
                def extend(self, data):
                    super().extend(bytes(data).upper())

            reader._buffer = Buffer()
            peer.send(b"upper")
            assert await reader.read(100) == b"UPPER"

    run(main)


def fatal(reports):
    """The exceptions behind what was reported."""
    return [r.exc_info[1] for r in reports.records if r.exc_info]


def test_a_buffer_that_somebody_looks_into(run, reports):
    """A bytearray with a view of it cannot grow: the connection ends with that error."""

    async def main():
        async with made_by_hand() as (reader, _, _, peer):
            await fed(reader, peer)
            reader._buffer += b"abc"
            with memoryview(reader._buffer):
                peer.send(b"more")
                with pytest.raises(BufferError):
                    await reader.readexactly(100)
            assert isinstance(reader.exception(), BufferError)

    run(main)
    assert [type(exc) for exc in fatal(reports)] == [BufferError]
    assert "protocol.data_received() call failed" in reports.take()[0]


def test_bytes_after_the_end(run, reports):
    async def main():
        async with made_by_hand() as (reader, _, _, peer):
            await fed(reader, peer)
            reader.feed_eof()
            peer.send(b"more")
            await until(lambda: reader.exception() is not None)

    run(main)
    assert [str(exc) for exc in fatal(reports)] == ["feed_data after feed_eof"]
    reports.take()


@pytest.mark.parametrize("limit", [10.5, True, 1 << 80, 10])
def test_limits(run, limit):
    async def main():
        async with stream_and_peer(limit=limit) as (reader, _, peer):
            peer.send(b"x" * 21)
            await until(lambda: len(reader._buffer) == 21)
            before = reader._paused
            reader._limit = 5 if not before else 1000
            if before:
                reader._maybe_resume_transport()
            peer.send(b"x")
            await until(lambda: len(reader._buffer) == 22)
            return before, reader._paused

    expected = {10.5: (False, True), 10: (True, False), True: (True, False)}
    assert run(main) == expected.get(limit, (False, True))


def test_a_reader_without_a_transport(run):
    async def main():
        async with stream_and_peer(limit=10) as (reader, writer, peer):
            reader._transport = None
            peer.send(b"x" * 100)
            await until(lambda: len(reader._buffer) == 100)
            assert not reader._paused
            assert writer.transport.is_reading()

    run(main)


class Unpausable:
    """A transport of a reader whose pause_reading() raises."""

    def __init__(self, exc):
        self.exc = exc

    def pause_reading(self):
        raise self.exc


def test_a_transport_that_cannot_pause(run):
    async def main():
        async with stream_and_peer(limit=10) as (reader, _, peer):
            reader._transport = Unpausable(NotImplementedError())
            peer.send(b"x" * 100)
            await until(lambda: reader._transport is None)
            assert not reader._paused
            peer.send(b"x" * 100)
            assert await reader.readexactly(200) == b"x" * 200

    run(main)


def test_a_transport_that_fails_to_pause(run, reports):
    async def main():
        async with made_by_hand(limit=10) as (reader, _, _, peer):
            reader._transport = Unpausable(ZeroDivisionError("no pause"))
            peer.send(b"x" * 100)
            await until(lambda: reader.exception() is not None)
            assert len(reader._buffer) == 100

    run(main)
    assert [str(exc) for exc in fatal(reports)] == ["no pause"]
    reports.take()


def test_a_replaced_pause_reading(run):
    async def main():
        async with stream_and_peer(limit=10) as (reader, writer, peer):
            calls = []
            reader._transport = type("T", (), {"pause_reading": lambda self: calls.append(1)})()
            peer.send(b"x" * 100)
            await until(lambda: reader._paused)
            assert calls == [1]
            assert writer.transport.is_reading()

    run(main)


def test_waiters_of_other_kinds(run):
    """Whatever create_future() has made: it is asked whether it was cancelled, then woken."""

    class Waiter:
        def __init__(self, is_cancelled):
            self.is_cancelled, self.calls = is_cancelled, []

        def cancelled(self):
            self.calls.append("cancelled")
            return self.is_cancelled

        def set_result(self, result):
            self.calls.append(result)

    class Future(asyncio.Future):
        def set_result(self, result):
            self.told = result
            super().set_result(result)

    async def main():
        async with stream_and_peer() as (reader, _, peer):
            told = []
            for waiter in (Waiter(False), Waiter(True)):
                reader._waiter = waiter
                peer.send(b"x")
                await until(lambda waiter=waiter: waiter.calls and reader._waiter is None)
                told.append(waiter.calls)
            for cancel in (False, True):
                reader._waiter = future = Future()
                if cancel:
                    future.cancel()
                peer.send(b"x")
                await until(lambda: reader._waiter is None)
                told.append(getattr(future, "told", "nothing"))
            reader._waiter = future = asyncio.get_running_loop().create_future()
            future.cancel()
            peer.send(b"x")
            await until(lambda: reader._waiter is None)
            assert len(reader._buffer) == 5
            return told

    assert run(main) == [["cancelled", None], ["cancelled"], None, "nothing"]


def test_a_waiter_that_is_done_already(run, reports):
    async def main():
        async with made_by_hand() as (reader, _, _, peer):
            reader._waiter = waiter = asyncio.get_running_loop().create_future()
            waiter.set_result(None)
            peer.send(b"x")
            await until(lambda: reader.exception() is not None)
            assert reader._waiter is None
            assert bytes(reader._buffer) == b"x"

    run(main)
    assert [type(exc) for exc in fatal(reports)] == [asyncio.InvalidStateError]
    reports.take()


def test_a_cancelled_read_loses_nothing(run):
    async def main():
        async with stream_and_peer() as (reader, _, peer):
            for n in range(5):
                reading = asyncio.ensure_future(reader.readexactly(1))
                await asyncio.sleep(0)
                peer.send(b"%d" % n)
                if n % 2:
                    await until(lambda n=n: len(reader._buffer) > n // 2)
                reading.cancel()
                await asyncio.wait([reading])
                if not reading.cancelled():
                    reader._buffer[:0] = reading.result()
            await until(lambda: len(reader._buffer) == 5)
            return bytes(reader._buffer)

    assert run(main) == b"01234"


def test_a_stream_that_becomes_tls(run, tls):
    async def main():
        served = asyncio.get_running_loop().create_future()

        async def serve(reader, writer):
            try:
                assert await reader.readline() == b"STARTTLS\n"
                writer.write(b"go\n")
                await writer.start_tls(tls.server)
                writer.write((await reader.readline()).upper())
                await writer.drain()
                await reader.read()
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
            finally:
                served.set_result(None)

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"STARTTLS\n")
        assert await reader.readline() == b"go\n"
        await writer.start_tls(tls.client, server_hostname="localhost")
        writer.write(b"secret\n")
        assert await reader.readline() == b"SECRET\n"
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        await served
        server.close()
        await server.wait_closed()

    run(main)


def test_a_pipe_with_a_reader(run):
    async def main():
        loop = asyncio.get_running_loop()
        end, other = os.pipe()
        reader = READER(limit=1000)
        transport, _ = await loop.connect_read_pipe(
            lambda: PROTOCOL(reader), os.fdopen(end, "rb", 0)
        )
        with os.fdopen(other, "wb", 0) as writing:
            writing.write(b"a line\nand 4000 more" + b"." * 4000)
            assert await reader.readline() == b"a line\n"
            assert len(await reader.readexactly(4013)) == 4013
        assert await reader.read() == b""
        transport.close()
        await asyncio.sleep(0)

    run(main)


def test_debug_mode(run):
    """The reader then has an attribute more: where it was made."""

    async def main():
        async with stream_and_peer(limit=100) as (reader, _, peer):
            await fed(reader, peer)
            peer.send(b"x" * 300)
            assert await reader.readexactly(300) == b"x" * 300

    run(main, debug=True)


def test_a_replaced_call_soon_sees_the_reader_woken(loop_class):
    seen = []

    class Loop(loop_class):
        def call_soon(self, callback, *args, context=None):
            seen.append(callback)
            return super().call_soon(callback, *args, context=context)

    async def main():
        async with stream_and_peer() as (reader, _, peer):
            reading = asyncio.ensure_future(reader.read(10))
            await asyncio.sleep(0)
            before = len(seen)
            peer.send(b"x")
            assert await reading == b"x"
            return [getattr(c, "__self__", None) is reading for c in seen[before:]]

    with asyncio.Runner(loop_factory=Loop) as runner:
        assert True in runner.run(main())
