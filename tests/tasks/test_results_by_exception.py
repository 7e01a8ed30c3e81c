"""`await` takes a future's result through a StopIteration, of which programs may get hold."""

import asyncio
import gc
import weakref

import pytest


class Thing:
    """Something whose end can be seen."""


def finished(result):
    future = asyncio.get_running_loop().create_future()
    future.set_result(result)
    return future


def ended(result):
    """The StopIteration by which an iterator brings the result."""
    try:
        next(finished(result).__await__())
    except StopIteration as stop:
        return stop


def shown(stop):
    return (
        type(stop), stop.value, stop.args, hash(stop.args), stop.__dict__,
        stop.__context__, stop.__cause__, stop.__suppress_context__,
    )  # fmt: skip


async def others():
    """More results on the same way, and a collection between them."""
    for result in ("other", (1, 2), 7, None):
        assert await finished(result) == result
        gc.collect()


def test_an_exception_that_is_held_stays_as_it_was(run):
    async def main():
        held = ended("held")
        before = shown(held)
        await others()
        assert ended("again") is not held
        assert shown(held) == before
        assert held.value == "held"

    run(main)


def test_arguments_that_are_held_stay_as_they_were(run):
    async def main():
        args = ended("held").args
        await others()
        assert args == ("held",)
        assert gc.is_tracked(ended([]).args)

    run(main)


def change_value(stop):
    stop.value = "changed"


def change_args(stop):
    stop.args = (1, 2, 3)


def change_nothing(stop):
    hash(stop.args)


def raise_it(stop):
    try:
        raise stop from KeyError(1)
    except StopIteration:
        pass


def delete_value(stop):
    del stop.value


@pytest.mark.parametrize(
    "change",
    [
        change_value,
        change_args,
        change_nothing,
        raise_it,
        delete_value,
        lambda stop: stop.__setstate__({"more": 1}),
        lambda stop: stop.add_note("note"),
        lambda stop: setattr(stop, "__context__", KeyError(1)),
        lambda stop: setattr(stop, "__suppress_context__", True),
    ],
)
def test_a_later_exception_has_nothing_of_a_changed_one(on_both, change):
    async def main():
        try:
            change(ended("first"))
        except (AttributeError, TypeError) as refusal:
            assert change is delete_value, refusal
        results = []
        for result in ("second", (1,), 3):
            assert await finished(result) == result
            results.append(shown(ended(result)))
        return results

    got, expected = on_both(lambda loop: loop.run_until_complete(main()))
    assert got == expected


def test_the_context_of_the_exception_is_what_is_handled_in_the_versions_that_say_so(on_both):
    async def main():
        try:
            raise KeyError("handled")
        except KeyError:
            during = await finished(1), repr(ended(2).__context__)
        return during, ended(3).__context__

    got, expected = on_both(lambda loop: loop.run_until_complete(main()))
    assert got == expected


def test_nothing_keeps_a_result_beyond_its_await(run):
    async def main():
        for _ in range(3):
            thing = await finished(Thing())
            seen = weakref.ref(thing)
            del thing
            assert seen() is None

    run(main)


def test_a_cycle_through_the_exception_is_collected(run):
    def by_hand():
        thing = Thing()
        iterator = finished(thing).__await__()
        try:
            next(iterator)
        except StopIteration as stop:
            thing.stop = stop  # whose traceback has this frame and its iterator
        return weakref.ref(thing)

    async def main():
        await others()
        gc.freeze()  # what is kept to be used again must not count
        seen = by_hand()
        gc.collect()
        assert seen() is None
        await others()

    run(main)


def test_a_finalizer_that_awaits_while_a_result_is_dropped(run):
    results = []

    async def awaiting():
        results.append(await finished("inner"))

    class Awaits:
        def __del__(self):
            with pytest.raises(StopIteration):
                awaiting().send(None)

    async def main():
        await finished(Awaits())
        iterator = finished(Awaits()).__await__()
        with pytest.raises(StopIteration):
            next(iterator)
        del iterator
        gc.collect()
        assert results == ["inner", "inner"]
        assert await finished("outer") == "outer"

    run(main)
