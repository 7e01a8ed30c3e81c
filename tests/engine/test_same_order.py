"""Random programs of callbacks run in the same order on pyaio and on asyncio.

A program is a list of callbacks. Each is a list of actions: schedule another callback, cancel
an entry, stop the loop, raise. Timers are left out: asyncio polls once a turn, pyaio when due.
"""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

CALLBACKS = 8
FUEL = 150
ROUNDS = 6

numbers = st.integers(0, CALLBACKS - 1)
actions = st.one_of(
    st.tuples(st.sampled_from(["soon", "threadsafe", "task"]), numbers),
    st.tuples(st.just("cancel"), st.integers(0, 20)),
    st.tuples(st.sampled_from(["stop", "fail", "exit"]), st.just(0)),
)
callbacks = st.lists(actions, max_size=5)
programs = st.lists(callbacks, min_size=CALLBACKS, max_size=CALLBACKS)


class Run:
    """One run of *program* on *loop*; `trace` tells all that happened, in order."""

    def __init__(self, loop, program):
        self.loop, self.program = loop, program
        self.trace, self.entries, self.fuel = [], [], FUEL
        loop.set_exception_handler(self.report)

    def report(self, loop, context):
        self.trace.append(("report", type(context["exception"])))

    def callback(self, number):
        self.trace.append(number)
        for action, argument in self.program[number]:
            self.act(action, argument)

    async def coroutine(self, number):
        await asyncio.sleep(0)
        self.callback(number)

    def act(self, action, argument):
        if action == "stop":
            self.loop.stop()
        elif action == "fail":
            raise LookupError
        elif action == "exit":
            raise KeyboardInterrupt
        elif action == "cancel":
            if self.entries:
                self.entries[argument % len(self.entries)].cancel()
        elif self.fuel:
            self.fuel -= 1
            self.entries.append(self.schedule(action, argument))

    def schedule(self, action, argument):
        if action == "soon":
            return self.loop.call_soon(self.callback, argument)
        if action == "threadsafe":
            return self.loop.call_soon_threadsafe(self.callback, argument)
        task = self.loop.create_task(self.coroutine(argument))
        task.add_done_callback(self.task_done)
        return task

    def task_done(self, task):
        kind = "cancelled" if task.cancelled() else type(task.exception())
        self.trace.append(("task", kind))

    def run(self):
        for number in range(CALLBACKS):
            self.loop.call_soon(self.callback, number)
        for _ in range(ROUNDS):
            self.round()
        self.fuel = 0
        while any(isinstance(e, asyncio.Task) and not e.done() for e in self.entries):
            self.round()
        # What is reported from here on comes when the collector runs.
        self.loop.set_exception_handler(lambda loop, context: None)
        return self.trace

    def round(self):
        self.trace.append("round")
        self.loop.call_soon(self.loop.stop)
        try:
            self.loop.run_forever()
        except KeyboardInterrupt:
            self.trace.append("exit")


@settings(max_examples=150)
@given(programs)
def test_a_random_program_runs_in_the_order_of_asyncio(on_both, program):
    got, expected = on_both(lambda loop: Run(loop, program).run())
    assert got == expected
