"""The memory of futures and tasks is used again: nothing of the last owner is left in it."""

import asyncio
import contextlib
import sys
import weakref

import pytest
from helpers import drain


class Thing:
    """Something to be kept alive by what refers to it."""


def future(loop):
    made = loop.create_future()
    made.set_result(None)
    return made


def task(loop):
    return loop.create_task(asyncio.sleep(0))


each_kind = pytest.mark.parametrize("make", [future, task])


@each_kind
def test_attributes_die_with_their_owner(loop, make):
    for _ in range(3):
        owners = [make(loop) for _ in range(300)]  # more than wait to be used again
        things = [Thing() for _ in owners]
        for owner, thing in zip(owners, things, strict=True):
            assert not hasattr(owner, "extra")
            owner.extra = thing
        alive = [weakref.ref(thing) for thing in things]
        drain(loop, 2)
        assert [owner.extra for owner in owners] == things
        del owners, owner, things, thing
        assert [reference() for reference in alive] == [None] * 300


def test_what_asyncios_own_methods_have_left_dies_with_its_owner(loop):
    def count():
        drain(loop, 2)
        return sys.getrefcount(loop)

    future(loop)
    before = count()
    for _ in range(100):
        with contextlib.suppress(RuntimeError):  # since 3.15 it is done once only
            asyncio.Future.__init__(future(loop), loop=loop)
    assert count() == before


@each_kind
def test_names_and_coroutines_die_with_their_task(loop, make):
    """The collector is not needed for that, and who comes next has its own."""

    async def keep(thing):
        await asyncio.sleep(0)
        return type(thing)

    for i in range(3):
        thing = Thing()
        alive = weakref.ref(thing)
        owner = loop.create_task(keep(thing), name=f"task {i}")
        del thing
        assert owner.get_name() == f"task {i}"
        drain(loop, 3)
        assert owner.result() is Thing
        assert alive() is None
        del owner
        make(loop)
        drain(loop, 2)


def test_weak_references_to_a_task_end_before_what_it_had(loop):
    ended = []

    async def nothing():
        pass

    coroutine = nothing()
    task = loop.create_task(coroutine)
    references = [
        weakref.ref(coroutine, lambda _: ended.append("coroutine")),
        weakref.ref(task, lambda _: ended.append("task")),
    ]
    drain(loop, 2)
    del coroutine, task
    assert ended == ["task", "coroutine"]
    assert [reference() for reference in references] == [None, None]
