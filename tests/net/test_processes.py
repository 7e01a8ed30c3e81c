"""Subprocesses: that they work at all."""

import asyncio
import sys
from subprocess import DEVNULL, PIPE

import pytest
from peers import PATIENCE


async def started(source, **kwargs):
    return await asyncio.create_subprocess_exec(sys.executable, "-c", source, **kwargs)


async def within_limits(awaitable):
    async with asyncio.timeout(PATIENCE):
        return await awaitable


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
