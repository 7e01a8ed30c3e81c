"""Random programs of tasks and futures give the same trace of events on both kinds of loops."""

import asyncio
import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

SLOTS = 5
slots = st.integers(0, SLOTS - 1)

#: What the body of a task does in one of its steps, on future or task number `slot`.
STEPS = st.tuples(
    st.sampled_from(
        [
            "yield", "await future", "await task", "shield", "timeout", "gather", "cancel task",
            "cancel itself", "uncancel", "set result", "set exception", "cancel future",
            "callback", "task callback", "remove callback", "raise", "swallow", "return", "wait",
        ]
    ),
    slots,
)  # fmt: skip
PROGRAMS = st.lists(st.lists(STEPS, min_size=1, max_size=5), min_size=1, max_size=SLOTS)


class Program:
    def __init__(self, loop, bodies):
        self.loop, self.bodies, self.trace = loop, bodies, []
        self.futures = [loop.create_future() for _ in range(SLOTS)]
        self.callbacks = [self.callback(number) for number in range(SLOTS)]
        self.tasks = []

    def callback(self, number):
        def callback(future):
            name = self.tasks.index(future) if future in self.tasks else "future"
            self.note("callback", number, name, asyncio.current_task(self.loop), future._state)

        return callback

    def note(self, *what):
        self.trace.append(what)

    def task(self, slot):
        return self.tasks[slot % len(self.tasks)]

    async def step(self, name, slot):
        future, task, me = self.futures[slot], self.task(slot), asyncio.current_task()
        if name == "yield":
            await asyncio.sleep(0)
        elif name == "await future":
            return await future
        elif name == "await task":
            if task.get_name() > me.get_name():  # no circles: they would wait for ever
                return await task
        elif name == "shield":
            return await asyncio.shield(future)
        elif name == "timeout":
            async with asyncio.timeout(0):
                await future
        elif name == "gather":
            return await asyncio.gather(future, asyncio.sleep(0), return_exceptions=slot % 2 == 0)
        elif name == "wait":
            done, pending = await asyncio.wait([future, *self.futures[:1]], timeout=0)
            return len(done), len(pending)
        elif name == "cancel task":
            return task.cancel(f"by {me.get_name()}"), task.cancelling()
        elif name == "cancel itself":
            return me.cancel("itself"), me._must_cancel
        elif name == "uncancel":
            return me.uncancel(), me._must_cancel
        elif name == "set result":
            return future.set_result(slot)
        elif name == "set exception":
            future.set_exception(KeyError(slot))
        elif name == "cancel future":
            return future.cancel(f"future {slot}")
        elif name == "callback":
            future.add_done_callback(self.callbacks[slot])
        elif name == "task callback":
            task.add_done_callback(self.callbacks[slot])
        elif name == "remove callback":
            return future.remove_done_callback(self.callbacks[slot])
        elif name == "raise":
            raise ValueError(slot)
        elif name == "swallow":
            with contextlib.suppress(asyncio.CancelledError):
                await future
        return None

    async def body(self, number, steps):
        for name, slot in steps:
            if name == "return":
                return number
            self.note(number, name, slot)
            try:
                got = await self.step(name, slot)
            except (KeyError, TimeoutError, asyncio.InvalidStateError) as exc:
                self.note(number, repr(exc))
            except BaseException as exc:
                self.note(number, "ends", repr(exc), asyncio.current_task().cancelling())
                raise
            else:
                self.note(number, "goes on", repr(got))
        return number

    async def main(self):
        for number, steps in enumerate(self.bodies):
            task = asyncio.create_task(self.body(number, steps), name=f"task {number}")
            self.tasks.append(task)
        for _ in range(12):
            await asyncio.sleep(0)
        self.note("states", [task._state for task in self.tasks])
        self.note(
            "known",
            sorted(task.get_name() for task in asyncio.all_tasks() - {asyncio.current_task()}),
        )
        for future in self.futures:
            future.cancel("end")
        results = await asyncio.gather(*self.tasks, return_exceptions=True)
        self.note("results", [repr(result) for result in results])
        self.note("futures", [future._state for future in self.futures])
        for future in self.futures:
            if not future.cancelled():
                future.exception()


def trace_of(loop, bodies):
    program = Program(loop, bodies)
    loop.set_exception_handler(lambda loop, context: program.note(context["message"]))
    loop.run_until_complete(loop.create_task(program.main(), name="main"))
    return program.trace


@settings(max_examples=300)
@given(PROGRAMS)
def test_random_programs_give_the_same_trace(on_both, bodies):
    got, expected = on_both(lambda loop: trace_of(loop, bodies))
    assert got == expected
