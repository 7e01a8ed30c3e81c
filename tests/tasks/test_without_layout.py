"""Tasks where it is not known in which fields asyncio keeps them: its functions are called."""

import sys

import pytest
from helpers import run_python

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 14), reason="asyncio keeps tasks in a WeakSet"
)

PRELUDE = """
import sys, types

sys.modules["pyaio._layout"] = layout = types.ModuleType("pyaio._layout")
layout.adopt = lambda: False

import asyncio, gc, pyaio

class Sub(pyaio.Task):
    pass

loop = pyaio.new_event_loop()

async def forever():
    await loop.create_future()

def started(kind):
    task = kind(forever(), loop=loop)
    task._log_destroy_pending = False
    loop.call_soon(loop.stop)
    loop.run_forever()
    return task
"""


@pytest.mark.parametrize("kind", ["pyaio.Task", "Sub"])
def test_asyncio_forgets_a_task_that_was_collected(kind):
    source = f"""
for _ in range(20):
    task = started({kind})
    assert asyncio.all_tasks(loop) == {{task}}
    del task
    gc.collect()
    assert asyncio.all_tasks(loop) == set()
loop.close()
"""
    assert run_python("-c", PRELUDE + source).stderr == ""


@pytest.mark.parametrize("kind", ["pyaio.Task", "Sub"])
def test_a_task_may_outlive_the_module(kind):
    """The collector takes the task, its type and the module apart in one go."""
    source = f"""
task = started({kind})
task.itself = task
loop.close()
for name in [name for name in sys.modules if name.startswith("pyaio")]:
    del sys.modules[name]
del layout, loop, pyaio, forever, started, Sub, task
gc.collect()
assert asyncio.all_tasks(object()) == set()  # which goes through the list of all
"""
    done = run_python("-c", PRELUDE + source, env={"PYTHONMALLOC": "debug"})
    assert (done.returncode, done.stderr) == (0, "")
