"""A server or a loop whose process has no descriptor left: it reports, waits, and goes on."""

from helpers import only_pyaio

PRELUDE = """
import asyncio, contextlib, os, resource, socket, sys, time

class Answering(asyncio.Protocol):
    def connection_made(self, transport):
        transport.write(b"hello")
        transport.close()

reports = []
loop = new_event_loop()
loop.set_exception_handler(lambda loop, context: reports.append(context))
# A backlog of one: asyncio reports once for each accept() that it tries in a row.
server = loop.run_until_complete(loop.create_server(Answering, "127.0.0.1", 0, backlog=1))
resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80))
client = socket.socket()
taken = []

def exhaust():
    with contextlib.suppress(OSError):
        while True:
            taken.append(os.dup(0))

def release():
    while taken:
        os.close(taken.pop())

def until(condition):
    async def wait():
        async with asyncio.timeout(30):
            while not condition():
                await asyncio.sleep(0.01)
    loop.run_until_complete(wait())

def answered():
    try:
        return client.recv(10) == b"hello"
    except BlockingIOError:
        return False

exhaust()
client.connect(server.sockets[0].getsockname())
client.setblocking(False)
until(lambda: reports)
"""

FINISH = """
client.close()
loop.run_until_complete(asyncio.sleep(0.05))
loop.close()
"""


def test_it_is_reported_and_the_connection_is_served_later(measured):
    out = measured(
        PRELUDE
        + """
print(reports[0]["message"], type(reports[0]["exception"]).__name__, sorted(reports[0]))
print(type(reports[0]["socket"]).__name__)
release()
until(answered)
print("served")
server.close()
"""
        + FINISH
    )
    assert out == [
        "socket.accept() out of system resource OSError ['exception', 'message', 'socket']",
        "TransportSocket",
        "served",
    ]


def test_it_does_not_spin(measured):
    out = measured(
        PRELUDE
        + """
before = time.process_time()
loop.run_until_complete(asyncio.sleep(0.5))
used = time.process_time() - before  # all of it, if the loop spins
print(used < 0.25, len(reports) < 5)
release()
until(answered)
server.close()
"""
        + FINISH
    )
    assert out == ["True True"]


def test_a_second_time_in_a_row(measured):
    out = measured(
        PRELUDE
        + """
until(lambda: len(reports) > 1)
release()
until(answered)
print("served")
server.close()
"""
        + FINISH
    )
    assert out == ["served"]


def test_a_server_closed_meanwhile(measured, loop_kind):
    """The timer of the back-off finds no server any more and must leave things alone.

    asyncio's says that it finds none, which is no report about a socket.
    """
    out = measured(
        PRELUDE
        + """
server.close()
release()
number = os.dup(0)  # takes the number that the listener had
del reports[:]
loop.run_until_complete(asyncio.sleep(1.2))
os.fstat(number)
os.close(number)
print(len([report for report in reports if sys.argv[1] == "pyaio" or "socket" in report]))
"""
        + FINISH,
        args=[loop_kind],
    )
    assert out == ["0"]


def test_a_loop_closed_meanwhile(measured):
    out = measured(
        PRELUDE
        + """
server.close()
loop.run_until_complete(asyncio.sleep(0))
loop.close()
release()
client.close()
again = new_event_loop()
print(again.run_until_complete(asyncio.sleep(1.1, "fine")))
again.close()
"""
    )
    assert out == ["fine"]


MAKING = """
import os, resource

new_event_loop().close()  # what a process opens only once
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
highest = max(int(name) for name in os.listdir("/proc/self/fd"))
failures = 0
for spare in range(12):
    before = len(os.listdir("/proc/self/fd"))
    fillers = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 20, hard))
    try:
        while True:
            fillers.append(os.dup(0))
    except OSError:
        pass
    for _ in range(spare):
        os.close(fillers.pop())
    try:
        loop = new_event_loop()
        loop.call_soon(loop.stop)
        try:
            loop.run_forever()
        finally:
            loop.close()
        del loop
    except OSError:
        failures += 1
    for fd in fillers:
        os.close(fd)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    loop = None
    assert len(os.listdir("/proc/self/fd")) == before
assert 0 < failures < 12, failures
loop = new_event_loop()
loop.call_later(0.001, loop.stop)
loop.run_forever()
loop.close()
print("done")
"""


# What asyncio has made by then is closed by finalizers, which complain.
@only_pyaio
def test_a_loop_that_cannot_be_made_is_an_oserror_and_leaves_nothing(child):
    with child(MAKING) as process:
        assert process.finish() == (0, "done\n", "")


WAITING = """
import asyncio, contextlib, os, resource, signal, threading

loop = new_event_loop()
resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80))
taken = []
with contextlib.suppress(OSError):
    while True:
        taken.append(os.dup(0))

def run(ends):
    guard = loop.call_later(20, print, "not ended by", ends)
    loop.run_forever()
    guard.cancel()
    print("ended by", ends)

loop.call_later(0.001, loop.stop)
run("a timer")
threading.Timer(0.005, loop.call_soon_threadsafe, (loop.stop,)).start()
run("a thread")
signal.signal(signal.SIGALRM, lambda *_: loop.call_soon_threadsafe(loop.stop))
for _ in range(20):
    signal.setitimer(signal.ITIMER_REAL, 0.0001)
    loop.run_forever()
print("ended by signals")
while taken:
    os.close(taken.pop())
threading.Timer(0.005, loop.call_soon_threadsafe, (loop.stop,)).start()
run("a thread")
loop.close()
"""


@only_pyaio
def test_a_loop_that_finds_no_descriptor_left_for_its_first_wait_goes_on(measured):
    # pyaio only: asyncio opens what it needs when the loop is made, and so does libuv.
    ends = ["a timer", "a thread", "signals", "a thread"]
    assert measured(WAITING) == [f"ended by {what}" for what in ends]
