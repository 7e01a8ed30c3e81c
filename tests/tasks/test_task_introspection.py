"""Which task runs, seen from everywhere; reports of what is lost; call graphs."""

import asyncio
import io
import re
import subprocess
import sys
import threading

import helpers
import pytest

SINCE_314 = pytest.mark.skipif(sys.version_info < (3, 14), reason="asyncio has it since 3.14")


def name_of(task):
    return task and task.get_name()


def test_the_current_task_seen_from_tasks_callbacks_and_threads(run):
    seen = []

    def look(place, loop):
        seen.append((place, name_of(asyncio.current_task(loop))))

    async def body(loop, name):
        look("task", loop)
        loop.call_soon(look, "callback", loop)
        await asyncio.sleep(0)
        thread = threading.Thread(target=look, args=("thread", loop))
        thread.start()
        thread.join()

    async def main():
        loop = asyncio.get_running_loop()
        tasks = [asyncio.create_task(body(loop, name), name=name) for name in "ab"]
        for task in tasks:
            task.add_done_callback(lambda task: look("done", loop))
        await asyncio.wait(tasks)

    run(main)
    assert sorted(seen, key=str) == sorted(
        [("callback", None)] * 2
        + [("done", None)] * 2
        + [(place, name) for place in ("task", "thread") for name in "ab"],
        key=str,
    )


@pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio starts tasks eagerly since 3.12")
def test_the_current_task_around_nested_eager_starts(run):
    seen = []

    def look():
        seen.append(name_of(asyncio.current_task()))

    async def inner(turns):
        look()
        for _ in range(turns):
            await asyncio.sleep(0)
        look()

    async def outer(Task, loop):
        look()
        done = Task(inner(0), loop=loop, name="done", eager_start=True)
        look()
        goes_on = Task(inner(1), loop=loop, name="goes on", eager_start=True)
        look()
        assert done.done()
        if sys.version_info >= (3, 13):  # stock tasks of 3.12 may crash here
            assert done.get_coro() is None
        assert {name_of(task) for task in asyncio.all_tasks()} == {"main", "outer", "goes on"}
        await goes_on
        look()

    async def main():
        task = asyncio.current_task()
        task.set_name("main")
        loop, Task = asyncio.get_running_loop(), type(task)
        await Task(outer(Task, loop), loop=loop, name="outer", eager_start=True)
        look()

    run(main)
    assert seen == [
        *("outer", "done", "done", "outer", "goes on", "outer", "goes on", "outer", "main")
    ]


@pytest.mark.parametrize("debug", [False, True])
def test_reports_of_what_is_lost(loop, debug):
    calls = helpers.HandlerCalls()

    async def fail():
        raise ValueError("task")

    async def wait():
        await asyncio.get_running_loop().create_future()

    async def main():
        future = asyncio.get_running_loop().create_future()
        future.set_exception(ValueError("future"))
        del future
        failed = asyncio.create_task(fail())
        await asyncio.wait([failed])
        del failed
        helpers.collect()
        pending = asyncio.create_task(wait())
        await asyncio.sleep(0)
        assert bool(pending._source_traceback) is debug
        del pending
        helpers.collect()

    loop.set_debug(debug)
    loop.set_exception_handler(calls)
    loop.run_until_complete(main())
    assert [call["message"] for call in calls] == [
        "Future exception was never retrieved",
        "Task exception was never retrieved",
        "Task was destroyed but it is pending!",
    ]
    for call in calls:
        assert ("source_traceback" in call) is debug
        if debug:
            assert "main" in [frame.name for frame in call["source_traceback"]]
    calls.clear()


@SINCE_314
def test_the_call_graph_of_tasks(run):
    async def leaf(future):
        await future

    async def waits_for(task):
        await task

    async def main():
        future = asyncio.get_running_loop().create_future()
        first = asyncio.create_task(leaf(future), name="first")
        others = [asyncio.create_task(waits_for(first), name=f"other {i}") for i in range(2)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        graph = asyncio.capture_call_graph(first)
        assert graph.future is first
        assert [entry.frame.f_code.co_name for entry in graph.call_stack] == ["leaf"]
        assert {entry.future for entry in graph.awaited_by} == set(others)
        text = io.StringIO()
        asyncio.print_call_graph(first, file=text)
        assert "leaf()" in text.getvalue() and "other 1" in text.getvalue()
        assert [entry.future for entry in asyncio.capture_call_graph(future).awaited_by] == [first]
        future.set_result(None)
        await asyncio.wait(others)
        assert not asyncio.capture_call_graph(first).awaited_by

    run(main)


PROGRAM = """
import asyncio, sys

async def leaf():
    print("ready", flush=True)
    await asyncio.get_running_loop().create_future()

async def middle():
    await asyncio.create_task(leaf(), name="leaf")

async def main():
    asyncio.current_task().set_name("main")
    async with asyncio.TaskGroup() as group:
        group.create_task(middle(), name="middle")
        group.create_task(asyncio.sleep(1000), name="sleeps")

loop = new_event_loop()
loop.run_until_complete(main())
"""


def look_into(kind, command, tmp_path):
    """What `python -m asyncio` says of a child with a loop of *kind*, without addresses."""
    path = tmp_path / f"child_{kind}.py"
    path.write_text(helpers.CHILD_PRELUDE[kind] + PROGRAM)
    with helpers.Child([str(path)]) as child:
        child.expect("ready")
        helpers.wait_until(lambda: helpers.asleep(child.process.pid), "the child sleeps")
        # Once more where the child was caught in the middle of its step.
        for _ in range(100):
            done = subprocess.run(
                [sys.executable, "-m", "asyncio", command, str(child.process.pid)],
                capture_output=True,
                text=True,
                timeout=helpers.HANG,
            )
            if done.returncode != 0 or "sleeps" in done.stdout:
                break
    said = re.sub(
        r"\s+", " ", re.sub(r"0x[0-9a-f]+|-{9,}|[^\s]*\.py|^\d+", "", done.stdout, flags=re.M)
    )
    return done.returncode, sorted(said.split()), done.stderr


@SINCE_314
@pytest.mark.parametrize("command", ["ps", "pstree"])
def test_a_look_from_another_process(command, tmp_path):
    expected = look_into("asyncio", command, tmp_path)
    if expected[0] != 0 and "ermi" in expected[2] + " ".join(expected[1]):
        pytest.skip("this machine forbids reading another process's memory")
    assert expected[0] == 0 and {"main", "middle", "leaf", "sleeps"} <= set(expected[1])
    assert look_into("pyaio", command, tmp_path) == expected


def test_no_task_is_current_while_the_loop_polls(loop):
    seen = []
    selector = loop._selector
    select = selector.select

    def looking(timeout=None):
        seen.append(asyncio.current_task(loop))
        return select(timeout)

    selector.select = looking

    async def restless():
        for _ in range(1000):
            await asyncio.sleep(0)

    async def main():
        await asyncio.gather(restless(), restless())

    loop.run_until_complete(main())
    assert seen and not any(seen)
