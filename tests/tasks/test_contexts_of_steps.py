"""Steps of tasks right behind each other: each in its own variables, and nothing in between."""

import asyncio
import contextvars
import logging

import pytest

var = contextvars.ContextVar("var", default="default")


class Finalizer:
    """Notes in a list what `look` gives where it dies."""

    def __init__(self, seen, look):
        self.seen, self.look = seen, look

    def __del__(self):
        self.seen.append(self.look())


def stepping(count, seen, value=None):
    async def steps():
        for number in range(count):
            seen.append(var.get())
            if value is not None:
                var.set((value, number))
            await asyncio.sleep(0)

    return steps()


def test_a_task_that_sets_nothing_sees_nothing_of_its_neighbours(run):
    async def main():
        setting, plain = [], []
        await asyncio.gather(
            stepping(4, setting, "a"), stepping(4, plain), stepping(4, plain), stepping(4, [], "b")
        )
        return setting, plain

    setting, plain = run(main)
    assert setting == ["default", ("a", 0), ("a", 1), ("a", 2)]
    assert plain == ["default"] * 8


def test_tasks_of_several_contexts_take_turns(run):
    async def main():
        seen = {name: [] for name in "abc"}
        tasks = []
        for name in "aabbcc":
            var.set(name)
            tasks.append(asyncio.ensure_future(stepping(3, seen[name])))
        var.set("later")
        await asyncio.gather(*tasks)
        return seen

    assert run(main) == {name: [name] * 6 for name in "abc"}


def test_a_token_is_good_in_a_later_step(run):
    async def resets():
        token = var.set("set")
        await asyncio.sleep(0)
        seen = var.get()
        await asyncio.sleep(0)
        var.reset(token)
        await asyncio.sleep(0)
        return seen, var.get()

    async def main():
        return await asyncio.gather(resets(), stepping(5, []), resets())

    first, _, second = run(main)
    assert first == second == ("set", "default")


def test_a_task_that_is_given_a_context_changes_that_one(run):
    async def main():
        context = contextvars.copy_context()
        tasks = [
            asyncio.create_task(stepping(3, [], "in"), context=context),
            asyncio.create_task(stepping(3, [])),
        ]
        await asyncio.gather(*tasks)
        return context[var], var.get()

    assert run(main) == (("in", 2), "default")


def test_two_tasks_share_a_context_and_take_turns(run):
    async def main():
        seen = []
        context = contextvars.copy_context()
        async with asyncio.TaskGroup() as group:
            group.create_task(stepping(3, seen, "a"), context=context)
            group.create_task(stepping(3, seen, "b"), context=context)
        return seen

    assert run(main) == ["default", ("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2)]


def test_a_callback_behind_a_step_is_in_its_own_context(run):
    async def main():
        loop = asyncio.get_running_loop()
        seen = []
        outer = contextvars.copy_context()
        inner = contextvars.copy_context()
        inner.run(var.set, "inner")

        async def steps():
            var.set("task")
            for context in (inner, outer, inner):
                loop.call_soon(lambda: seen.append(var.get()), context=context)
                await asyncio.sleep(0)
                loop.call_soon(lambda: seen.append(var.get()))
                await asyncio.sleep(0)

        await asyncio.gather(steps(), stepping(6, []))
        return seen

    assert run(main) == ["inner", "task", "default", "task", "inner", "task"]


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_loop_stops_with_steps_waiting_and_leaves_no_context_behind(loop, steps):
    tasks = [loop.create_task(stepping(6, [], name)) for name in "abc"]
    for _ in range(steps):
        loop.call_soon(loop.stop)
        # Whoever has left a Context entered makes run() raise.
        contextvars.copy_context().run(loop.run_forever)
        assert var.get() == "default"
    loop.run_until_complete(asyncio.gather(*tasks))
    assert var.get() == "default"


@pytest.mark.parametrize("exception", [KeyboardInterrupt, SystemExit])
def test_a_step_that_ends_the_run_leaves_no_context_behind(loop, exception):
    async def breaks():
        var.set("broken")
        await asyncio.sleep(0)
        raise exception

    others = [loop.create_task(stepping(4, [])) for _ in range(2)]
    broken = loop.create_task(breaks())
    others.append(loop.create_task(stepping(4, [])))
    with pytest.raises(exception):
        contextvars.copy_context().run(loop.run_forever)
    assert isinstance(broken.exception(), exception)
    assert var.get() == "default"
    loop.run_until_complete(asyncio.gather(*others))


def test_turns_by_hand_inside_of_a_step_leave_its_context_alone(loop):
    """As programs do that wait in a synchronous function."""
    seen = []

    async def nests():
        var.set("nesting")
        await asyncio.sleep(0)
        for _ in range(3):
            current = asyncio.current_task(loop)
            asyncio.tasks._leave_task(loop, current)
            loop._run_once()
            asyncio.tasks._enter_task(loop, current)
            seen.append(var.get())
            await asyncio.sleep(0)

    tasks = [loop.create_task(nests())]
    tasks += [loop.create_task(stepping(6, [], name)) for name in "ab"]
    loop.run_until_complete(asyncio.gather(*tasks))
    assert seen == ["nesting"] * 3


def test_what_dies_with_a_task_dies_outside_of_its_context(loop):
    seen = []

    async def ends(finalizer):
        var.set("ending")
        await asyncio.sleep(0)
        return finalizer

    async def main():
        behind = [asyncio.ensure_future(stepping(5, [])) for _ in range(2)]
        task = asyncio.ensure_future(ends(Finalizer(seen, var.get)))
        behind += [asyncio.ensure_future(stepping(5, [])) for _ in range(2)]
        await asyncio.sleep(0)
        del task  # the loop alone holds it from here on
        await asyncio.gather(*behind)

    loop.run_until_complete(main())
    assert seen == ["default"]


def test_the_current_task_is_none_between_two_steps(loop):
    seen = []

    async def ends(finalizer):
        await asyncio.sleep(0)
        return finalizer

    async def main():
        task = asyncio.ensure_future(ends(Finalizer(seen, lambda: asyncio.current_task(loop))))
        behind = [asyncio.ensure_future(stepping(3, [])) for _ in range(2)]
        await asyncio.sleep(0)
        del task
        await asyncio.gather(*behind)

    loop.run_until_complete(main())
    assert seen == [None]


def test_what_dies_with_a_callback_that_was_a_step_sees_no_current_task(loop):
    """Of several tasks that await one future, all but one are woken by a callback of it."""
    seen = []

    async def waits(futures):
        await futures[0]
        futures.pop()
        await asyncio.sleep(0)

    async def main():
        futures = [[loop.create_future()]]
        futures += [futures[0][:] for _ in range(2)]
        tasks = [asyncio.ensure_future(waits(mine)) for mine in futures]
        await asyncio.sleep(0)
        tasks += [asyncio.ensure_future(stepping(3, [])) for _ in range(2)]
        futures[0][0].set_result(Finalizer(seen, lambda: asyncio.current_task(loop)))
        del futures
        await asyncio.gather(*tasks)

    loop.run_until_complete(main())
    assert seen == [None]


def test_debug_modes_reports_are_written_outside_of_the_step(loop, reports):
    seen = []

    def look(record):
        if record.getMessage().startswith("Executing"):
            seen.append((var.get(), asyncio.current_task(loop)))
        return True

    async def switches(debug):
        for _ in range(4):
            var.set("switching")
            loop.set_debug(debug)
            await asyncio.sleep(0)

    async def main():
        # Off in a turn that began in debug mode, with steps behind that were queued before.
        await asyncio.gather(
            switches(False), stepping(8, []), stepping(8, []), switches(True), stepping(8, [])
        )

    loop.slow_callback_duration = -1
    logger = logging.getLogger("asyncio")
    logger.addFilter(look)
    try:
        loop.run_until_complete(main())
    finally:
        logger.removeFilter(look)
    reports.take()
    assert seen
    assert set(seen) == {("default", None)}


def test_each_step_is_followed_by_one_of_an_equal_context_and_of_another(run):
    """Three tasks, of which two share what they see, in several orders."""

    async def main():
        seen = []

        async def steps(name, order):
            for turn in range(len(order)):
                if order[turn] == name:
                    seen.append((name, var.get()))
                    if name == "c":
                        var.set("c")
                await asyncio.sleep(0)

        for order in ("abcabc", "ccaabb", "acacac", "bcabca"):
            await asyncio.gather(*[steps(name, order) for name in "abc"])
        return seen

    seen = run(main)
    assert {value for name, value in seen if name != "c"} == {"default"}
    assert [value for name, value in seen if name == "c"] == ["default", "c"] * 2 + [
        "default",
        "c",
        "c",
        "default",
        "c",
    ]
