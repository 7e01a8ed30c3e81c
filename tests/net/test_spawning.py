"""Who starts a child: posix_spawn() what it can, Popen the rest, and nobody can tell which."""

import asyncio
import inspect
import os
import signal
import subprocess
import sys
from asyncio import unix_events
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT

import pytest
from children import within_limits
from helpers import only_pyaio, run_python
from peers import on_asyncio

from pyaio import _core

PATH = os.environ.get("PATH", os.defpath)

spawns = pytest.mark.skipif(
    not hasattr(_core, "_spawn") or not subprocess._USE_POSIX_SPAWN,
    reason="a C library whose posix_spawn() is not used",
)
multi_threaded = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded:DeprecationWarning"
)


@pytest.fixture
def spawned(monkeypatch):
    """The programs that the native half has started."""
    programs = []

    def spy(program, *rest):
        pid = spawn(program, *rest)
        if pid is not None:
            programs.append(program)
        return pid

    spawn = getattr(_core, "_spawn", None)
    if spawn is not None:
        monkeypatch.setattr(_core, "_spawn", spy)
    return programs


@pytest.fixture
def script(tmp_path):
    """`script(folder, *lines)`: a script "pyaio-test" in that folder; returns the folder."""

    def make(folder, *lines, name="pyaio-test", mode=0o755):
        path = tmp_path / folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(lines) + "\n")
        path.chmod(mode)
        return str(path.parent)

    return make


async def outcome(*args, **kwargs):
    """What a child printed and its exit code, or the error that its start raised."""
    try:
        process = await asyncio.create_subprocess_exec(*args, **{"stdout": PIPE, **kwargs})
    except Exception as error:
        return type(error), str(error), getattr(error, "filename", None), error.__context__
    out, _ = await within_limits(process.communicate())
    return out, process.returncode


# ---- which of the two ----

NATIVE = {
    "nothing redirected": {},
    "pipes": {"stdin": PIPE, "stdout": PIPE, "stderr": PIPE},
    "one pipe for both": {"stdout": PIPE, "stderr": STDOUT},
    "devnull": {"stdin": DEVNULL, "stdout": DEVNULL, "stderr": DEVNULL},
    "cwd": {"cwd": "/"},
    "cwd of bytes": {"cwd": b"/"},
    "cwd as a path": {"cwd": Path("/")},
    "env": {"env": {"A": "b", "PATH": PATH}},
    "env of bytes": {"env": {b"A": b"b", b"PATH": os.fsencode(PATH)}},
    "env without PATH": {"env": {}},
    "start_new_session": {"start_new_session": True},
    "process_group": {"process_group": 0},
    "restore_signals": {"restore_signals": False},
    "close_fds": {"close_fds": False},
    "executable": {"executable": sys.executable, "env": {}},
}


@spawns
@only_pyaio
@pytest.mark.parametrize("name", NATIVE)
def test_posix_spawn_starts_what_it_can(run, spawned, name):
    async def main():
        process = await asyncio.create_subprocess_exec("true", "-V", **NATIVE[name])
        await within_limits(process.communicate())
        return process.returncode

    assert run(main) == 0
    assert spawned == [os.fsencode(NATIVE[name].get("executable", "true"))]


@spawns
@only_pyaio
def test_posix_spawn_starts_a_shell(run, spawned):
    async def main():
        process = await asyncio.create_subprocess_shell("exit 7")
        return await within_limits(process.wait())

    assert run(main) == 7
    assert spawned == [b"/bin/sh"]


POPENS = {
    "umask": {"umask": 0o27},
    "preexec_fn": {"preexec_fn": lambda: None},
    "pass_fds": {"pass_fds": (0,)},
    "pass_fds is None": {"pass_fds": None},
    "two of PATH": {"env": {b"PATH": b"/nonexistent", "PATH": PATH}},
    "an env of its own kind": {"env": os.environ},
    "switches that are no bools": {"start_new_session": 1, "restore_signals": 0},
    "a relative PATH and cwd": {"env": {"PATH": "bin:usr/bin"}, "cwd": "/"},
    "no such PATH": {"env": {"PATH": "/nonexistent"}},
    "no such cwd": {"cwd": "/nonexistent"},
    "a strange stdin": {"stdin": -7},
    "a stdin that is none": {"stdin": 1 << 20},
    "a stdin beyond numbers": {"stdin": 1 << 40},
    "a group beyond numbers": {"process_group": 1 << 40},
    "a NUL in env": {"env": {"PATH": PATH, "A": "\0"}},
    "an = in env": {"env": {"PATH": PATH, "A=": "b"}},
    "no text in env": {"env": {"PATH": PATH, "A": 5}},
    "no name": {"executable": 5},
}
if os.getuid() == 0:
    POPENS |= {"user": {"user": 0}, "group": {"group": 0}, "extra_groups": {"extra_groups": []}}


@multi_threaded
@pytest.mark.parametrize("name", POPENS)
def test_the_rest_is_popens(run, spawned, name):
    async def main():
        return await outcome("echo", "x", **POPENS[name])

    assert run(main) == on_asyncio(main)
    assert spawned == []


def test_streams_among_the_first_three_are_popens(run, spawned, tmp_path):
    """They may be in each other's place: here the child has them crossed."""

    async def main():
        saved = os.dup(1), os.dup(2)
        try:
            for fd, name in ((1, "one"), (2, "two")):
                target = os.open(tmp_path / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                os.dup2(target, fd)
                os.close(target)
            source = "echo to-1; echo to-2 >&2"
            process = await asyncio.create_subprocess_exec("sh", "-c", source, stdout=2, stderr=1)
            await within_limits(process.wait())
        finally:
            for fd, copy in zip((1, 2), saved, strict=True):
                os.dup2(copy, fd)
                os.close(copy)
        return [(tmp_path / name).read_text() for name in ("one", "two")]

    assert run(main) == on_asyncio(main)
    assert spawned == []


@only_pyaio
@pytest.mark.parametrize("name", ["_USE_POSIX_SPAWN", "_USE_VFORK"])
def test_who_turns_it_off_is_heard(run, spawned, monkeypatch, name):
    async def main():
        return await outcome("echo", "x")

    monkeypatch.setattr(subprocess, name, False, raising=False)
    assert run(main) == (b"x\n", 0)
    assert spawned == []


# ---- what programs replace ----


REPLACED = {
    "Popen's method": (subprocess.Popen, "_execute_child"),
    "its other method": (subprocess.Popen, "_posix_spawn"),
    "the function that forks": (subprocess, "_fork_exec"),
    "the function that spawns": (os, "posix_spawn"),
    "the transport's method": (unix_events._UnixSubprocessTransport, "_start"),
    "the loop's method": (unix_events._UnixSelectorEventLoop, "_make_subprocess_transport"),
}


@pytest.mark.parametrize("what", REPLACED)
def test_what_the_program_has_replaced_is_called(run, spawned, monkeypatch, what):
    if sys.version_info < (3, 12) and what == "the loop's method":
        pytest.skip("3.11's is not called: its watcher would be a thread")
    calls = []
    owner, name = REPLACED[what]
    original = getattr(owner, name)

    def replacement(*args, **kwargs):
        calls.append(name)
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, replacement)

    async def main():
        calls.clear()
        program = "true" if name == "_fork_exec" else Path("/bin/sh")
        kwargs = {"close_fds": False} if "posix_spawn" in name else {}
        process = await asyncio.create_subprocess_exec(program, "-c", "", **kwargs)
        return await within_limits(process.wait()), calls.copy()

    expected = on_asyncio(main)
    if subprocess._USE_POSIX_SPAWN:
        assert expected == (0, [name])
    assert run(main) == expected
    assert spawned == [] or what == "the loop's method"


@pytest.mark.parametrize(
    ("owner", "name"), [(subprocess, "Popen"), (unix_events, "_UnixSubprocessTransport")]
)
def test_a_class_of_the_program_is_used(run, spawned, monkeypatch, owner, name):
    own = type("Own", (getattr(owner, name),), {})
    monkeypatch.setattr(owner, name, own)

    async def main():
        process = await asyncio.create_subprocess_exec("true")
        transport = process._transport
        types = type(transport), type(transport.get_extra_info("subprocess"))
        await within_limits(process.wait())
        return types

    assert own in run(main)
    assert spawned == []


@pytest.mark.parametrize(
    "name",
    [
        "subprocess.Popen",
        "subprocess.Popen._execute_child",
        "os.posix_spawn",
        "asyncio.unix_events._UnixSelectorEventLoop._make_subprocess_transport",
    ],
)
def test_replaced_before_the_import(name):
    source = f"""
        import asyncio, asyncio.unix_events, functools, os, subprocess
        original = {name}
        {name} = functools.wraps(original)(lambda *args, **kwargs: original(*args, **kwargs))
        import pyaio

        async def main():
            return await (await asyncio.create_subprocess_exec("true")).wait()

        with asyncio.Runner(loop_factory=pyaio.new_event_loop) as runner:
            print(runner.run(main()))
    """
    done = run_python("-c", inspect.cleandoc(source))
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")


def test_types_are_asyncios(run):
    async def main():
        process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        transport = process._transport
        popen = transport.get_extra_info("subprocess")
        found = type(transport), type(popen), sorted(vars(transport)), sorted(vars(popen))
        looks = repr(popen)
        await within_limits(process.communicate(b""))
        return found, looks, popen.args, popen.returncode

    assert run(main) == on_asyncio(main)


# ---- where the program is ----


@pytest.mark.parametrize(
    "path", ["first:second", "second:first", ":second", "second:", "no:second", "slash:second", ""]
)
@pytest.mark.parametrize("how", ["of the process", "given"])
def test_a_program_is_looked_for_in_the_same_folders(run, script, monkeypatch, path, how):
    first, second = (script(name, "#!/bin/sh", 'echo "$0"') for name in ("first", "second"))
    folders = {"first": first, "second": second, "": "", "no": "/none", "slash": first + "/"}
    path = ":".join(folders[name] for name in path.split(":"))
    monkeypatch.chdir(script("here", "#!/bin/sh", 'echo "here: $0"'))
    env = {"PATH": path} if how == "given" else None
    if env is None:
        monkeypatch.setenv("PATH", path)

    async def main():
        elsewhere = await outcome("pyaio-test", cwd="/", env=env)
        return await outcome("pyaio-test", env=env), elsewhere

    assert run(main) == on_asyncio(main)


def test_relative_folders_of_path_are_sought_from_the_childs_folder(run, script, monkeypatch):
    monkeypatch.setenv("PATH", "relative:" + script("last", "#!/bin/sh", "echo last"))
    script("here", name="other")
    script("there", name="other")
    there = Path(script("there/relative", "#!/bin/sh", "echo there")).parent
    monkeypatch.chdir(there.parent / "here")

    async def main():
        return await outcome("pyaio-test"), await outcome("pyaio-test", cwd=there)

    assert run(main) == on_asyncio(main) == ((b"last\n", 0), (b"there\n", 0))


@pytest.mark.parametrize("wrong", ["not executable", "a folder", "no script", "a loop", "a file"])
def test_what_cannot_be_run_is_passed_over_or_refused_alike(
    run, script, monkeypatch, tmp_path, wrong
):
    folder = script("wrong", "", name="other")
    program = tmp_path / "wrong" / "pyaio-test"
    match wrong:
        case "not executable":
            script("wrong", "#!/bin/sh", mode=0o644)
        case "a folder":
            program.mkdir()
        case "no script":
            script("wrong", "echo no interpreter")
        case "a loop":
            program.symlink_to("pyaio-test")
        case "a file":  # in the place of a folder
            folder += "/other"
    last = script("last", "#!/bin/sh", "echo last")

    async def main():
        return await outcome("pyaio-test"), await outcome(f"{folder}/pyaio-test")

    monkeypatch.setenv("PATH", f"{folder}:{last}")
    assert run(main) == on_asyncio(main)
    monkeypatch.setenv("PATH", folder)
    assert run(main) == on_asyncio(main)


def test_the_path_that_python_knows_is_searched(run, script, monkeypatch):
    folder = script("known", "#!/bin/sh", "echo known")
    monkeypatch.setattr(os, "environ", {"PATH": folder})

    async def main():
        return await outcome("pyaio-test")

    assert run(main) == on_asyncio(main)


def test_without_path_the_usual_folders_are_searched(run, monkeypatch):
    monkeypatch.delenv("PATH")

    async def main():
        return await outcome("echo", "found"), await outcome("pyaio-test")

    assert run(main) == on_asyncio(main)


def test_a_program_is_sought_from_its_own_folder(run, script):
    folder = script("own", "#!/bin/sh", 'echo "$0"')

    async def main():
        return await outcome("./pyaio-test", cwd=folder), await outcome("./pyaio-test", cwd="/")

    assert run(main) == on_asyncio(main)


# ---- what the child finds ----


@pytest.mark.parametrize(
    "kwargs", [{}, {"restore_signals": False}, {"start_new_session": True}, {"process_group": 0}]
)
def test_signals_and_groups_are_alike(run, kwargs):
    """What /proc says of a child that changes nothing of it."""

    async def main():
        handlers = {
            signal.SIGUSR1: lambda *args: None,
            signal.SIGUSR2: signal.SIG_IGN,
            signal.SIGHUP: signal.SIG_DFL,
        }
        blocked = [signal.SIGUSR1, signal.SIGTERM]
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
        try:
            process = await asyncio.create_subprocess_exec(
                "cat", "/proc/self/status", "/proc/self/stat", stdout=PIPE, **kwargs
            )
            out, _ = await within_limits(process.communicate())
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)
            for number, handler in before.items():
                signal.signal(number, handler)
        *status, stat = out.decode().splitlines()
        masks = [line for line in status if line.startswith(("Sig", "Shd", "Umask"))]
        group, session = stat.rpartition(")")[2].split()[2:4]
        own = str(process.pid)
        return [mask for mask in masks if not mask.startswith("SigQ")], group == own, session == own

    found = run(main)
    assert found == on_asyncio(main)
    session = "start_new_session" in kwargs
    assert found[1:] == (session or "process_group" in kwargs, session)


@pytest.mark.parametrize("close_fds", [True, False])
def test_descriptors_are_alike(run, close_fds):
    async def main():
        ours = os.dup(2)
        os.set_inheritable(ours, True)
        try:
            listing = await outcome("ls", "/proc/self/fd", close_fds=close_fds)
        finally:
            os.close(ours)
        return (str(ours).encode() in listing[0].split()), listing[1]

    assert run(main) == (not close_fds, 0)


def test_environment_and_folder_are_those_of_now(run, monkeypatch, tmp_path):
    monkeypatch.setenv("PYAIO_TEST", "now")
    monkeypatch.chdir(tmp_path)

    async def main():
        given = {"PYAIO_TEST": "ä", "B": os.fsdecode(b"\xff"), "": "", "PATH": PATH}
        return [
            await outcome("sh", "-c", "echo $PYAIO_TEST; pwd"),
            await outcome("env", env=given),
            await outcome("env", env={os.fsencode(k): os.fsencode(v) for k, v in given.items()}),
        ]

    assert run(main) == on_asyncio(main)


def test_arguments_of_every_kind_arrive(run, tmp_path):
    async def main():
        arguments = ["", "ä", b"\xff", tmp_path, "x" * 100_000]
        return await outcome(b"printf", "%s\n", *arguments)

    assert run(main) == on_asyncio(main)


@pytest.mark.parametrize(
    "args",
    [("true", *(100 * ["x" * 100_000])), ("true", "\0"), ("tr\0ue",), (5,), ("true", 5), ("",)],
    ids=["too much", "NUL", "NUL in the name", "no name", "no text", "nothing"],
)
def test_what_is_refused_is_refused_alike(run, spawned, args):
    async def main():
        return await outcome(*args)

    assert run(main) == on_asyncio(main)
    assert spawned == []


# ---- who is told ----

AUDITED = """
    import asyncio, os, sys
    heard = []

    def hook(event, args):
        if event in ("subprocess.Popen", "os.posix_spawn"):
            heard.append((event, *args[:-1]))

    async def main():
        for program in ("true", "/bin/sh", "pyaio-no-such-program", "/no/such"):
            try:
                process = await asyncio.create_subprocess_exec(program, "-c", "", cwd=CWD)
                await process.wait()
            except OSError as error:
                heard.append(str(error))

    sys.addaudithook(hook)
    CWD = None
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main())
        CWD = "/"
        runner.run(main())
    ours = heard.copy()
    heard.clear()
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        CWD = None
        runner.run(main())
        CWD = "/"
        runner.run(main())
    assert ours == heard, (ours, heard)
    assert len(ours) >= 8
"""


def test_audit_hooks_hear_the_same(child):
    with child(AUDITED) as process:
        assert process.finish() == (0, "", "")


@pytest.mark.parametrize("event", ["subprocess.Popen", "os.posix_spawn"])
def test_an_audit_hook_may_refuse_it(child, event):
    source = f"""
        import asyncio, sys

        def refuse(event, args):
            if event == {event!r}:
                print("asked", flush=True)
                raise PermissionError("not here")

        sys.addaudithook(refuse)
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            try:
                runner.run(asyncio.create_subprocess_exec("/bin/true", close_fds=False))
            except PermissionError as error:
                print(error)
    """
    with child(source) as process:
        assert process.finish() == (0, "asked\nnot here\n", "")


def test_a_handler_that_raises_is_not_swallowed(child):
    """Its TimeoutError is an OSError, as those are that Popen is asked after."""
    source = """
        import asyncio, os, signal, sys

        def late(*args):
            raise TimeoutError("late")

        def hook(event, args):
            if event == "subprocess.Popen":
                os.kill(os.getpid(), signal.SIGALRM)

        signal.signal(signal.SIGALRM, late)
        sys.addaudithook(hook)
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            try:
                runner.run(asyncio.create_subprocess_exec("true"))
            except TimeoutError as error:
                print(error)
    """
    with child(source) as process:
        assert process.finish() == (0, "late\n", "")


# ---- the native half ----

GOOD = (b"true", [b"true"], None, b"/bin:/usr/bin", None, (-1, -1, -1), True, True, False, -1)


@spawns
@pytest.mark.parametrize(
    ("index", "value"),
    [
        (0, "true"),
        (0, b"tr\0ue"),
        (0, b"pyaio-no-such-program"),
        (0, b"/nonexistent"),
        (1, (b"true",)),
        (1, ["true"]),
        (1, [b"\0"]),
        (2, {"A": 5}),
        (2, {5: "A"}),
        (2, {"A": "\0"}),
        (2, {"A=": ""}),
        (2, {"PATH": "/nonexistent"}),
        (2, {"PATH": "/bin", b"PATH": b"/bin"}),
        (2, [b"A=b"]),
        (3, None),
        (3, b"/nonexistent"),
        (3, b""),
        (4, "/"),
        (4, b"\0"),
        (4, b"/nonexistent"),
        (5, (-1, -1)),
        (5, (-2, -1, -1)),
        (5, (2, -1, -1)),
        (5, (1 << 20, -1, -1)),
        (5, (1 << 40, -1, -1)),
        (9, "x"),
        (9, 1 << 40),
        (9, (1 << 31) - 1),
    ],
)
def test_the_native_half_says_none_to_what_it_cannot_start(index, value):
    assert _core._spawn(*GOOD[:index], value, *GOOD[index + 1 :]) is None


@spawns
def test_the_native_half_starts_what_is_good():
    _, status = os.waitpid(_core._spawn(*GOOD), 0)
    assert status == 0
