"""After os.fork(): the child may close, drop or replace the loop; the parent does not notice.

The forking process is a child of the test run, so that it has one thread only.
"""

import pytest
from helpers import only_pyaio

PARENT = """
import asyncio, gc, os, signal, sys, threading

def end_child(function):
    '''Run *function* in the forked child and leave it at once; tell of any failure.'''
    code = 1
    try:
        signal.alarm(60)
        function()
        code = 0
    except BaseException:
        import traceback
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)

def reap(pid):
    _, status = os.waitpid(pid, 0)
    print("child", os.waitstatus_to_exitcode(status), flush=True)

async def answer():
    await asyncio.sleep(0.001)
    return 42

r, w = os.pipe()
got = []
loop = new_event_loop()

def on_read():
    got.append(os.read(r, 10))
    loop.stop()

def parent_goes_on():
    loop.add_reader(r, on_read)
    os.write(w, b"hello")
    loop.run_forever()
    loop.remove_reader(r)
    print("parent", got[-1], loop.run_until_complete(answer()), flush=True)

def fresh_loop():
    new = new_event_loop()
    assert new.run_until_complete(answer()) == 42
    new.close()

def close():
    loop.close()
    assert loop.is_closed()

def drop():
    global loop
    loop.__class__.__del__ = lambda self: None  # no ResourceWarning wanted
    del loop
    gc.collect()

def close_and_new():
    close()
    fresh_loop()
"""


def run_forking(child, body):
    with child(PARENT + body) as process:
        return process.finish()


@pytest.mark.parametrize("action", ["close", "fresh_loop", "close_and_new"])
def test_the_parent_goes_on_whatever_the_child_does(child, action):
    body = f"""
loop.run_until_complete(answer())
loop.add_reader(r, on_read)
pid = os.fork()
if pid == 0:
    end_child({action})
reap(pid)
parent_goes_on()
loop.close()
"""
    code, out, err = run_forking(child, body)
    assert (code, out, err) == (0, "child 0\nparent b'hello' 42\n", "")


def test_the_child_may_drop_the_loop(child):
    body = """
loop.run_until_complete(answer())
pid = os.fork()
if pid == 0:
    import warnings
    warnings.simplefilter("ignore")
    def drop():
        global loop
        del loop
        gc.collect()
        fresh_loop()
    end_child(drop)
reap(pid)
parent_goes_on()
loop.close()
"""
    code, out, err = run_forking(child, body)
    assert (code, out, err) == (0, "child 0\nparent b'hello' 42\n", "")


# asyncio's child takes what it closes out of the epoll set of both.
@only_pyaio
def test_closing_the_loop_frees_as_much_in_the_child_as_in_the_parent(child):
    body = """
import tracemalloc

def close_and_tell():
    loop.close()
    gc.collect()
    traces = tracemalloc.take_snapshot().filter_traces([in_add_reader]).traces
    print(sum(trace.size for trace in traces), flush=True)

in_add_reader = tracemalloc.Filter(True, asyncio.selector_events.__file__)
copies = [os.dup(r) for _ in range(100)]
tracemalloc.start()
for copy in copies:
    loop.add_reader(copy, print)
pid = os.fork()
if pid == 0:
    end_child(close_and_tell)
reap(pid)
close_and_tell()
"""
    code, out, errors = run_forking(child, body)
    in_child, status, in_parent = out.splitlines()
    assert (code, status, errors) == (0, "child 0", "")
    assert int(in_child) < int(in_parent) + 5000


def test_a_child_forked_in_a_callback_may_run_a_new_loop(child):
    body = """
def fork():
    global pid
    pid = os.fork()
    if pid == 0:
        end_child(fresh_loop)
    loop.stop()

loop.call_soon(fork)
loop.run_forever()
reap(pid)
parent_goes_on()
loop.close()
"""
    code, out, err = run_forking(child, body)
    assert (code, out, err) == (0, "child 0\nparent b'hello' 42\n", "")


def test_a_child_forked_in_a_task_may_run_a_new_loop_by_asyncio_runner(child):
    body = """
def use_runner():
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        assert runner.run(answer()) == 42

async def main():
    pid = os.fork()
    if pid == 0:
        end_child(use_runner)
    reap(pid)

loop.run_until_complete(main())
parent_goes_on()
loop.close()
"""
    code, out, err = run_forking(child, body)
    assert (code, out, err) == (0, "child 0\nparent b'hello' 42\n", "")


def test_what_a_callback_has_written_before_it_forks_is_sent_once(child):
    body = """
import asyncio
import socket

near, far = socket.socketpair()
made = loop.create_connection(asyncio.Protocol, sock=near)
transport, _ = loop.run_until_complete(made)

def write_and_fork():
    for data in b"a", b"b":
        transport.write(data)
    pid = os.fork()
    if pid == 0:
        sys.exit(0)
    reap(pid)
    loop.stop()

loop.call_soon(write_and_fork)
parent = os.getpid()
try:
    loop.run_forever()
except SystemExit:
    assert os.getpid() != parent
    sys.stdout.flush()
    os._exit(0)
transport.close()
loop.call_soon(loop.stop)
loop.run_forever()
print(b"".join(iter(lambda: far.recv(10), b"")))
far.close()
loop.close()
"""
    assert run_forking(child, body) == (0, "child 0\nb'ab'\n", "")


def test_no_loop_is_running_in_a_child_forked_in_a_callback(child):
    body = """
def fork():
    global pid
    pid = os.fork()
    if pid == 0:
        def check():
            assert asyncio._get_running_loop() is None
        end_child(check)
    loop.stop()

loop.call_soon(fork)
loop.run_forever()
reap(pid)
loop.close()
"""
    assert run_forking(child, body) == (0, "child 0\n", "")


@only_pyaio
def test_the_parent_is_still_woken_by_threads_after_the_child_closed_its_loop(child):
    # pyaio only: asyncio's close() takes the wake-up pipe out of the epoll set that both share.
    body = """
loop.run_until_complete(answer())
pid = os.fork()
if pid == 0:
    end_child(close)
reap(pid)
thread = threading.Timer(0.01, loop.call_soon_threadsafe, (loop.stop,))
thread.start()
loop.run_forever()
thread.join()
print("woken")
loop.close()
"""
    assert run_forking(child, body) == (0, "child 0\nwoken\n", "")


@only_pyaio
def test_the_parents_watchers_survive_the_child_closing_its_loop(child):
    # pyaio only, for the same reason: here the child removes what it has inherited.
    body = """
loop.add_reader(r, on_read)
loop.call_soon(loop.stop)
loop.run_forever()
pid = os.fork()
if pid == 0:
    def remove_and_close():
        loop.remove_reader(r)
        loop.close()
    end_child(remove_and_close)
reap(pid)
os.write(w, b"hello")
loop.run_forever()
print(got)
loop.remove_reader(r)
loop.close()
"""
    assert run_forking(child, body) == (0, "child 0\n[b'hello']\n", "")


def test_a_signal_in_the_child_does_not_reach_the_parents_loop(child):
    body = """
hits = []
loop.add_signal_handler(signal.SIGUSR1, lambda: (hits.append(1), loop.stop()))
loop.call_soon(loop.stop)
loop.run_forever()
pid = os.fork()
if pid == 0:
    def check():
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGUSR1, lambda *_: None)
        os.kill(os.getpid(), signal.SIGUSR1)
    end_child(check)
reap(pid)
loop.call_later(0.005, loop.stop)
loop.run_forever()
print(hits)
os.kill(os.getpid(), signal.SIGUSR1)
loop.run_forever()
print(hits)
loop.close()
"""
    assert run_forking(child, body) == (0, "child 0\n[]\n[1]\n", "")


# asyncio's child reads from the parent's pipe, and takes what it closes out of its epoll set.
@only_pyaio
def test_the_child_may_go_on_with_the_loop(child):
    body = """
def ended(what):
    guard = loop.call_later(30, sys.exit, what)
    loop.run_forever()
    guard.cancel()

loop.run_until_complete(answer())
loop.add_reader(r, on_read)
loop.add_signal_handler(signal.SIGUSR1, lambda: (got.append("signal"), loop.stop()))
loop.call_soon(loop.stop)
loop.run_forever()
pid = os.fork()
if pid == 0:
    def go_on():
        assert loop.run_until_complete(answer()) == 42
        os.write(w, b"child")
        ended("no reader")
        thread = threading.Timer(0.005, loop.call_soon_threadsafe, (loop.stop,))
        thread.start()
        ended("not woken")
        thread.join()
        loop.add_signal_handler(signal.SIGUSR1, lambda: (got.append("child's"), loop.stop()))
        loop.call_later(0.005, os.kill, os.getpid(), signal.SIGUSR1)
        ended("no signal")
        assert got == [b"child", "child's"], got
        loop.close()
    end_child(go_on)
reap(pid)
loop.call_later(0.005, loop.stop)
loop.run_forever()
print(got)
os.kill(os.getpid(), signal.SIGUSR1)
loop.run_forever()
os.write(w, b"hello")
loop.run_forever()
print(got)
thread = threading.Timer(0.005, loop.call_soon_threadsafe, (loop.stop,))
thread.start()
loop.run_forever()
thread.join()
loop.close()
"""
    out = "child 0\n[]\n['signal', b'hello']\n"
    assert run_forking(child, body) == (0, out, "")


def test_multiprocessing_by_fork_runs_a_loop_in_the_child(child):
    body = """
import multiprocessing
def work(queue):
    new = new_event_loop()
    queue.put(new.run_until_complete(answer()))
    new.close()

async def main():
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    process = context.Process(target=work, args=(queue,))
    process.start()
    result = queue.get()
    process.join()
    queue.close()
    return result

print(loop.run_until_complete(main()))
parent_goes_on()
loop.close()
"""
    assert run_forking(child, body) == (0, "42\nparent b'hello' 42\n", "")
