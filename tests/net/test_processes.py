"""Subprocesses: pipes, ends, what a child inherits, and what is refused before it starts."""

import asyncio
import os
import signal
import sys
from subprocess import DEVNULL, PIPE, STDOUT

import pytest
from children import no_child_left, started, within_limits
from helpers import count_fds
from peers import ended, on_asyncio, turns, until


def test_input_output_and_exit_code(run):
    async def main():
        process = await started(
            "import sys; data = sys.stdin.read(); print(data.upper());"
            "print('err', file=sys.stderr); sys.exit(7)",
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
        )
        out, err = await within_limits(process.communicate(b"hello"))
        return out, err, process.returncode

    assert run(main) == (b"HELLO\n", b"err\n", 7)


def test_more_than_a_pipe_holds_each_way(run):
    async def main():
        process = await started(
            "import shutil, sys; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)",
            stdin=PIPE,
            stdout=PIPE,
        )
        payload = bytes(range(256)) * 4096
        out, _ = await within_limits(process.communicate(payload))
        assert out == payload
        assert process.returncode == 0

    run(main)


def test_a_shell(run):
    async def main():
        process = await asyncio.create_subprocess_shell("echo out; exit 3", stdout=PIPE)
        out, _ = await within_limits(process.communicate())
        return out, process.returncode

    assert run(main) == (b"out\n", 3)


@pytest.mark.parametrize(("method", "code"), [("kill", -9), ("terminate", -15)])
def test_ending_a_process_by_signal(run, method, code):
    async def main():
        process = await started(
            "print('up', flush=True); import time; time.sleep(600)", stdout=PIPE
        )
        assert await within_limits(process.stdout.readline()) == b"up\n"
        getattr(process, method)()
        assert await within_limits(process.wait()) == code
        await process.stdout.read()

    run(main)


def test_several_at_once(run):
    async def main():
        made = await asyncio.gather(
            *(started(f"raise SystemExit({n})", stdin=DEVNULL) for n in range(5))
        )
        return [await within_limits(process.wait()) for process in made]

    assert run(main) == [0, 1, 2, 3, 4]


def test_a_program_that_does_not_exist(run):
    async def main():
        with pytest.raises(FileNotFoundError):
            await asyncio.create_subprocess_exec("/nonexistent/program")

    run(main)


async def output(source, *args, **kwargs):
    """Run *source* in a child to its end; return what it prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", source, *args, stdout=PIPE, **kwargs
    )
    out, _ = await within_limits(process.communicate())
    assert process.returncode == 0
    return out.decode()


# ---- descriptors ----

LISTING = """
import os
for fd in sorted(int(name) for name in os.listdir("/proc/self/fd")):
    try:
        print(fd, os.readlink(f"/proc/self/fd/{fd}").split(":")[0])
    except FileNotFoundError:  # that of the listing itself
        pass
"""


def test_a_child_inherits_no_descriptor_but_its_standard_streams(run):
    """Beside it, the loop has a connection, a server, other children and a reader."""

    async def main():
        loop = asyncio.get_running_loop()
        other = await started("input()", stdin=PIPE, stdout=PIPE, stderr=PIPE)
        async with await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0):
            loop.add_signal_handler(signal.SIGUSR1, int)
            try:
                inherited = await output(LISTING, stdin=DEVNULL, stderr=PIPE)
            finally:
                loop.remove_signal_handler(signal.SIGUSR1)
        await within_limits(other.communicate(b"\n"))
        return inherited

    assert run(main) == "0 /dev/null\n1 pipe\n2 pipe\n"


def test_children_get_pipes_that_can_be_opened_again(run):
    async def main():
        process = await asyncio.create_subprocess_shell(
            "cat /dev/stdin > /dev/stdout; echo error > /dev/stderr",
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
        )
        return await within_limits(process.communicate(b"through"))

    assert run(main) == (b"through", b"error\n")


def test_a_sibling_does_not_hide_the_end_of_a_pipe(run):
    """The younger child lives on: it must not hold the ends of the elder's pipes."""

    async def main():
        elder = await started("print(input())", stdin=PIPE, stdout=PIPE)
        younger = await started("input()", stdin=PIPE, stdout=PIPE)
        elder.stdin.write(b"line\n")
        elder.stdin.close()
        assert await within_limits(elder.stdout.read()) == b"line\n"
        assert await within_limits(elder.wait()) == 0
        third = await started("import sys; sys.stdin.read()", stdin=PIPE)
        third.stdin.close()
        assert await within_limits(third.wait()) == 0
        assert younger.returncode is None
        await within_limits(younger.communicate(b"\n"))

    run(main)


@pytest.mark.parametrize("inheritable", [False, True])
@pytest.mark.parametrize("blocking", [False, True])
def test_pass_fds_keeps_number_and_mode(run, blocking, inheritable):
    async def main():
        read_end, write_end = os.pipe()
        os.set_blocking(write_end, blocking)
        os.set_inheritable(write_end, inheritable)
        try:
            await output(
                "import os, sys; fd = int(sys.argv[1]);"
                "os.write(fd, str(os.get_blocking(fd)).encode())",
                str(write_end),
                pass_fds=(write_end,),
            )
            assert os.get_inheritable(write_end) == inheritable
            assert os.get_blocking(write_end) == blocking
            return os.read(read_end, 100).decode()
        finally:
            os.close(read_end)
            os.close(write_end)

    assert run(main) == str(blocking)


def test_a_descriptor_may_be_given_as_a_standard_stream_and_stays_the_callers(run, tmp_path):
    async def main():
        with open(tmp_path / "file", "w+b") as file:
            process = await started("print('out')", stdin=DEVNULL, stdout=file.fileno())
            assert await within_limits(process.wait()) == 0
            file.seek(0)
            assert file.read() == b"out\n"

    run(main)


def test_streams_that_are_not_given_are_those_of_the_parent(child):
    source = """
    import asyncio, sys

    async def main():
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "import sys; print(sys.stdin.read()); print('error', file=sys.stderr)",
        )
        await process.wait()

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main())
    """
    with child(source) as process:
        assert process.finish("input") == (0, "input\n", "error\n")


def test_errors_may_go_where_the_output_goes(run):
    async def main():
        return await output(
            "import sys; print('out', flush=True); print('error', file=sys.stderr)",
            stderr=STDOUT,
        )

    assert run(main) == "out\nerror\n"


# ---- what a child is started with ----


def test_an_empty_environment_is_empty(run):
    async def main():
        process = await asyncio.create_subprocess_exec("/usr/bin/env", env={}, stdout=PIPE)
        return (await within_limits(process.communicate()))[0]

    assert run(main) == b""


def test_the_environment_is_that_of_now(run, monkeypatch):
    monkeypatch.setenv("PYAIO_TEST", "now")

    async def main():
        source = "import os; print(os.environ['PYAIO_TEST'])"
        given = await output(source, env=os.environ | {"PYAIO_TEST": "given"})
        return await output(source) + given

    assert run(main) == "now\ngiven\n"


STARTS = {
    "cwd": ("import os; print(os.getcwd())", {"cwd": "/"}),
    "start_new_session": (
        "import os; print(os.getsid(0) == os.getpid())",
        {"start_new_session": True},
    ),
    "process_group": ("import os; print(os.getpgid(0) == os.getpid())", {"process_group": 0}),
    "umask": ("import os; print(os.umask(0))", {"umask": 0o27}),
    "preexec_fn": ("import os; print(os.umask(0))", {"preexec_fn": lambda: os.umask(0o37)}),
    "executable": ("print('which')", {"executable": sys.executable}),
    "restore_signals": (
        "import signal; print(signal.getsignal(signal.SIGPIPE))",
        {"restore_signals": False},
    ),
    "close_fds": ("print('fds')", {"close_fds": False}),
    "pipesize": ("print('size')", {"pipesize": 65536}),
    "extra_groups": (
        "import os; print(os.getgroups())",
        {"extra_groups": [1]} if os.getuid() == 0 else {},
    ),
}


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("name", STARTS)
def test_every_keyword_of_popen_has_its_effect(run, name):
    source, kwargs = STARTS[name]

    async def main():
        return await output(source, **kwargs)

    assert run(main) == on_asyncio(main)


REFUSED = {
    "universal_newlines": {"universal_newlines": True},
    "text": {"text": True},
    "encoding": {"encoding": "utf-8"},
    "errors": {"errors": "strict"},
    "bufsize": {"bufsize": 1},
    "shell": {"shell": True},
    "unknown": {"no_such_keyword": 1},
    "cwd": {"cwd": "/nonexistent"},
    "cwd with NUL": {"cwd": "/\0"},
    "env with NUL": {"env": {"NAME": "a\0b"}},
    "env with =": {"env": {"NA=ME": "x"}},
    "preexec_fn": {"preexec_fn": "not callable"},
    "pass_fds": {"pass_fds": (-1,)},
    "stdin": {"stdin": 1 << 20},
    "executable": {"executable": "/nonexistent"},
}


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_started_is_refused_as_on_asyncio(run, name):
    async def main():
        kwargs = {"stdin": PIPE, "stdout": PIPE, "stderr": PIPE} | REFUSED[name]
        fds = count_fds()
        with pytest.raises(Exception) as info:
            await started("", **kwargs)
        assert count_fds() <= fds + 1  # a loop may open a thing of its own for its first child
        return type(info.value), str(info.value)

    assert run(main) == on_asyncio(main)


@pytest.mark.parametrize("args", [("\0",), ("true", "a\0b"), ("true", b"a\0b")], ids=repr)
def test_a_nul_in_an_argument_is_a_value_error(run, args):
    async def main():
        with pytest.raises(ValueError, match="embedded null byte"):
            await asyncio.create_subprocess_exec(*args, stdin=PIPE, stdout=PIPE)
        with pytest.raises(ValueError, match="embedded null byte"):
            await asyncio.create_subprocess_shell("true \0", stdin=PIPE, stdout=PIPE)

    run(main)


# ---- the end ----


@pytest.mark.parametrize("after", range(6))
def test_cancelled_while_starting_leaves_no_pipe_and_no_child(run, after):
    async def main():
        task = asyncio.ensure_future(
            started("import time; time.sleep(600)", stdin=PIPE, stdout=PIPE, stderr=PIPE)
        )
        await turns(after)
        task.cancel()
        (result,) = await within_limits(asyncio.gather(task, return_exceptions=True))
        if isinstance(result, asyncio.subprocess.Process):  # before the cancellation came
            result.kill()
            await within_limits(result.communicate())
        else:
            assert isinstance(result, asyncio.CancelledError)

    run(main)
    assert no_child_left()


class Child(asyncio.SubprocessProtocol):
    def __init__(self):
        self.events = []
        self.data = {1: b"", 2: b""}
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.events.append("made")

    def pipe_data_received(self, fd, data):
        self.data[fd] += data

    def pipe_connection_lost(self, fd, exc):
        self.events.append(f"pipe {fd}")

    def process_exited(self):
        self.events.append("exited")

    def connection_lost(self, exc):
        self.events.append("lost")
        self.lost.set_result(exc)


def test_close_kills_and_reaps_the_child(run):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.subprocess_exec(
            Child, sys.executable, "-c", "import time; time.sleep(600)"
        )
        transport.close()
        transport.close()
        assert transport.is_closing()
        assert await ended(protocol.lost) is None
        assert transport.get_returncode() == -signal.SIGKILL
        assert protocol.events[0] == "made"
        assert sorted(protocol.events[1:-1]) == ["exited", "pipe 0", "pipe 1", "pipe 2"]
        assert protocol.events[-1] == "lost"
        assert isinstance(transport, asyncio.SubprocessTransport)

    run(main)
    assert no_child_left()


def test_connection_lost_comes_after_all_data_and_the_exit(run):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.subprocess_exec(
            Child,
            sys.executable,
            "-c",
            "import sys; sys.stdout.write('o' * 300_000); sys.stderr.write('e' * 300_000)",
        )
        assert transport.get_pid() > 0
        assert await ended(protocol.lost) is None
        assert protocol.data == {1: b"o" * 300_000, 2: b"e" * 300_000}
        assert protocol.events.count("lost") == 1
        assert transport.get_returncode() == 0
        transport.close()

    run(main)


def test_a_child_that_closes_its_input_does_not_fail_communicate(run):
    async def main():
        process = await started(
            "import os; os.close(0); print('closed', flush=True)", stdin=PIPE, stdout=PIPE
        )
        out, _ = await within_limits(process.communicate(b"x" * (1 << 20)))
        assert (out, process.returncode) == (b"closed\n", 0)

    run(main)


def test_writing_to_a_child_that_closed_its_input_is_told_by_drain(run):
    async def main():
        process = await started(
            "import os, time; os.close(0); print('closed', flush=True); time.sleep(600)",
            stdin=PIPE,
            stdout=PIPE,
        )
        assert await within_limits(process.stdout.readline()) == b"closed\n"
        await until(process.stdin.is_closing)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            process.stdin.write(b"x")
            await within_limits(process.stdin.drain())
        process.kill()
        assert await within_limits(process.wait()) == -signal.SIGKILL
        await process.stdout.read()

    run(main)


def test_a_grandchild_that_holds_the_pipes_does_not_hide_the_exit(run):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.subprocess_exec(
            Child,
            "/bin/sh",
            "-c",
            "sleep 600 & echo $!",
            stdin=DEVNULL,
        )
        await until(lambda: "exited" in protocol.events)
        await until(lambda: protocol.data[1])
        assert "lost" not in protocol.events
        assert transport.get_returncode() == 0
        os.kill(int(protocol.data[1]), signal.SIGKILL)
        await ended(protocol.lost)
        transport.close()

    run(main)


def test_signals_after_the_end_are_refused_as_on_asyncio(run):
    async def main():
        process = await started("pass")
        await within_limits(process.wait())
        told = []
        for call in (process.kill, process.terminate, lambda: process.send_signal(0)):
            try:
                told.append(call())
            except ProcessLookupError:
                told.append("gone")
        return told

    assert run(main) == on_asyncio(main)


def test_an_exit_code_may_be_waited_for_by_several(run):
    async def main():
        process = await started("input()", stdin=PIPE)
        waits = [asyncio.ensure_future(process.wait()) for _ in range(3)]
        await turns()
        waits[0].cancel()
        await turns()
        process.stdin.write(b"\n")
        process.stdin.close()
        assert await within_limits(asyncio.gather(*waits[1:])) == [0, 0]
        assert waits[0].cancelled()
        assert await process.wait() == 0

    run(main)


# ---- many, large, and at the limit ----


def test_a_hundred_at_once(run):
    async def through(n):
        process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        out, _ = await within_limits(process.communicate(b"%d" % n))
        return int(out), process.returncode

    async def main():
        return await asyncio.gather(*map(through, range(100)))

    assert run(main) == [(n, 0) for n in range(100)]
    assert no_child_left()


BOTH = """
import os, threading

def shovel(fd):
    data = b"%d" % fd * (1 << 20)
    while data:
        data = data[os.write(fd, data):]

threads = [threading.Thread(target=shovel, args=(fd,)) for fd in (1, 2)]
for thread in threads:
    thread.start()
size = 0
while chunk := os.read(0, 1 << 16):
    size += len(chunk)
for thread in threads:
    thread.join()
os.write(1, b" %d" % size)
"""


def test_much_on_all_three_pipes_at_once(run):
    async def main():
        process = await started(BOTH, stdin=PIPE, stdout=PIPE, stderr=PIPE)
        out, err = await within_limits(process.communicate(b"0" * (3 << 20)))
        return out == b"1" * (1 << 20) + b" %d" % (3 << 20), err == b"2" * (1 << 20)

    assert run(main) == (True, True)


def test_a_child_that_is_killed_in_the_middle_of_its_output(run):
    async def main():
        process = await started(
            "import os\nwhile True: os.write(1, b'x' * 100_000)", stdin=PIPE, stdout=PIPE
        )
        assert await within_limits(process.stdout.readexactly(300_000)) == b"x" * 300_000
        process.stdin.write(b"y" * 300_000)
        process.kill()
        rest = await within_limits(process.stdout.read())
        with pytest.raises(ConnectionError):
            await within_limits(process.stdin.drain())
        return set(rest) <= {ord("x")}, await within_limits(process.wait())

    assert run(main) == (True, -signal.SIGKILL)


def test_a_child_that_closes_its_input_and_writes_on(run):
    async def main(reads, writes):
        process = await started(
            "import os, sys; os.close(0); os.write(1, b'closed ');"
            "os.read(int(sys.argv[1]), 1); os.write(1, b'end')",
            str(reads),
            stdin=PIPE,
            stdout=PIPE,
            pass_fds=(reads,),
        )
        assert await within_limits(process.stdout.readexactly(7)) == b"closed "
        await until(process.stdin.is_closing)
        for _ in range(3):
            process.stdin.write(b"for nobody")
        os.write(writes, b"x")
        assert await within_limits(process.stdout.read()) == b"end"
        return await within_limits(process.wait())

    ends = os.pipe()
    try:
        assert run(main, *ends) == 0
    finally:
        for fd in ends:
            os.close(fd)


LIMITED = """
import asyncio, gc, os, resource, warnings
from asyncio.subprocess import PIPE

warnings.simplefilter("ignore")

def open_fds():
    gc.collect()
    return sorted(set(os.listdir("/proc/self/fd")), key=int)

async def main():
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: None)
    pipes = dict(stdin=PIPE, stdout=PIPE, stderr=PIPE)
    process = await asyncio.create_subprocess_exec("cat", **pipes)
    await process.communicate(b"x")
    process = None
    for _ in range(4):
        await asyncio.sleep(0.01)  # the first that is a wait opens what wakes the loop
    before = open_fds()
    highest = max(map(int, before))
    told = []
    for free in range(14):
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + free, 4096))
        try:
            process = await asyncio.create_subprocess_exec("cat", **pipes)
            told.append((await process.communicate(b"data"))[0])
        except OSError as exc:
            told.append(exc.errno)
        process = exc = None
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
        for _ in range(5):
            await asyncio.sleep(0.001)
        assert open_fds() == before, (free, before, open_fds())
    failed = told.index(b"data")
    assert 0 < failed and set(told[:failed]) == {24} and set(told[failed:]) == {b"data"}, told

loop = new_event_loop()
loop.run_until_complete(main())
loop.close()
print("done")
"""


def test_without_descriptors_a_process_is_refused_and_leaves_none(child):
    """At each step of its start: with none left, with one, and so on until there are enough."""
    with child(LIMITED) as process:
        code, out, errors = process.finish()
    assert (code, out) == (0, "done\n"), errors
