"""What futures and tasks refuse: half-built objects, wrong types, what is done already."""

import asyncio
import inspect
import sys

import helpers
import pytest
from coroutines import turns

UNINITIALISED = "Future object is not initialized"


@pytest.fixture
def future_class(loop_kind):
    """The class of the futures that loops of the kind make."""
    return package_of(loop_kind).Future


@pytest.fixture
def task_class(loop_kind):
    """The class of the tasks that loops of the kind make."""
    return package_of(loop_kind).Task


def package_of(kind):
    if kind == "asyncio":
        return asyncio
    import pyaio

    return pyaio


async def nothing():
    """Ends at once."""


def outcome(function, *args, **kwargs):
    """What a call gives or raises, comparable between the two kinds of loops."""
    try:
        return function(*args, **kwargs)
    except BaseException as exc:
        return type(exc), str(exc)


async def awaited(awaitable):
    """The same for an await, with what caused the exception."""
    try:
        return await awaitable
    except BaseException as exc:
        return type(exc), str(exc), type(exc.__cause__)


# ---- half-built ----


@pytest.mark.parametrize("name", ["result", "exception"])
def test_a_half_built_future_has_no_outcome(future_class, name):
    future = future_class.__new__(future_class)
    with pytest.raises(asyncio.InvalidStateError, match=UNINITIALISED):
        getattr(future, name)()


@pytest.mark.parametrize("name", ["_state", "_callbacks", "_result", "_exception"])
def test_a_half_built_future_shows_no_state(future_class, name):
    future = future_class.__new__(future_class)
    with pytest.raises(RuntimeError, match=UNINITIALISED):
        getattr(future, name)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("set_result", (1,)),
        ("set_exception", (ValueError,)),
        ("add_done_callback", (print,)),
        ("remove_done_callback", (print,)),
        ("cancel", ()),
        ("get_loop", ()),
        ("__await__", ()),
        ("__iter__", ()),
        ("__repr__", ()),
    ],
)
def test_a_half_built_future_refuses_to_work(future_class, name, args):
    future = future_class.__new__(future_class)
    with pytest.raises(RuntimeError, match="nitialized"):
        getattr(future, name)(*args)
    assert (future.done(), future.cancelled(), asyncio.isfuture(future)) == (False, False, True)


def test_no_attribute_of_a_half_built_task_crashes():
    # Only ours: stock tasks crash on some, depending on the version.
    source = """
    import pyaio
    values = None, True, "x"
    for name in dir(pyaio.Task):
        for args in (), (None,), (1, 2):
            task = pyaio.Task.__new__(pyaio.Task)
            try:
                getattr(task, name)(*args)
            except Exception:
                pass
        for value in values if name != "__class__" else ():
            try:
                setattr(task, name, value)
            except Exception:
                pass
        try:
            delattr(pyaio.Task.__new__(pyaio.Task), name)
        except Exception:
            pass
    print("alive")
    """
    done = helpers.run_python("-W", "ignore", "-c", inspect.cleandoc(source))
    assert (done.returncode, done.stdout, done.stderr) == (0, "alive\n", "")


def test_a_task_whose_init_failed_is_inert(loop, task_class):
    task = task_class.__new__(task_class)
    with pytest.raises(TypeError, match="a coroutine was expected, got 3"):
        task.__init__(3, loop=loop)
    assert not task.done() and task.get_loop() is loop
    del task  # without "destroyed but it is pending"


# ---- wrong types ----


@pytest.mark.parametrize("what", [None, 1, "text", print, object, nothing, iter(())])
def test_create_task_wants_a_coroutine(run, task_class, what):
    async def main():
        loop = asyncio.get_running_loop()
        for make in (loop.create_task, task_class):
            with pytest.raises(TypeError) as raised:
                make(what)
            assert str(raised.value) == f"a coroutine was expected, got {what!r}"

    run(main)


def test_a_future_is_no_coroutine(run):
    async def main():
        future = asyncio.get_running_loop().create_future()
        with pytest.raises(TypeError, match="a coroutine was expected, got <Future pending"):
            await asyncio.create_task(future)

    run(main)


@pytest.mark.skipif(
    sys.version_info < (3, 14), reason="get_event_loop() makes a loop, or warns, before 3.14"
)
def test_a_future_outside_a_loop_needs_one(future_class, task_class):
    with pytest.raises(RuntimeError, match="no current event loop"):
        future_class()
    coro = nothing()
    with pytest.raises(RuntimeError, match="no current event loop"):
        task_class(coro)
    coro.close()


@pytest.mark.parametrize("what", [None, 1, "text", object, int, ValueError.__init__])
def test_set_exception_wants_an_exception(loop, what):
    future = loop.create_future()
    with pytest.raises(TypeError, match="invalid exception object"):
        future.set_exception(what)
    assert not future.done()


def test_set_exception_calls_a_class(loop):
    class Failing(Exception):
        def __init__(self):
            raise OSError("from the constructor")

    class Ending(Exception):
        def __init__(self):
            future.set_result("by the constructor")

    class Other(Exception):
        def __new__(cls):
            return 5

    future = loop.create_future()
    with pytest.raises(OSError, match="from the constructor"):
        future.set_exception(Failing)
    with pytest.raises(TypeError, match="invalid exception object"):
        future.set_exception(Other)
    assert not future.done()
    future.set_exception(KeyError)
    assert type(future.exception()) is KeyError
    future = loop.create_future()
    outcome(future.set_exception, Ending)
    assert future.done()


@pytest.mark.parametrize("subclass", [False, True])
@pytest.mark.parametrize("make", [False, True])
def test_stop_iteration_as_an_exception(on_both, subclass, make):
    class Sub(StopIteration):
        pass

    def trial(loop):
        future = loop.create_future()
        exception = Sub if subclass else StopIteration
        said = outcome(future.set_exception, exception(3) if make else exception)
        got = future.exception() if future.done() else None
        return said, type(got), str(got), repr(got and (got.__cause__, got.__context__))

    got, expected = on_both(trial)
    assert got == expected


# ---- done already ----


def test_what_is_done_stays_as_it_is(loop):
    def done(future):
        for call in (
            lambda: future.set_result(2),
            lambda: future.set_exception(KeyError("late")),
        ):
            with pytest.raises(asyncio.InvalidStateError, match=r"^invalid state$"):
                call()
        assert future.cancel() is False

    first, second, third = (loop.create_future() for _ in range(3))
    first.set_result(1)
    done(first)
    assert first.result() == 1
    second.set_exception(ValueError("v"))
    done(second)
    assert second.exception().args == ("v",)
    third.cancel("m")
    done(third)
    for read in third.result, third.exception:
        with pytest.raises(asyncio.CancelledError, match="m"):
            read()


def test_a_task_takes_no_result_from_outside(run):
    async def main():
        task = asyncio.current_task()
        with pytest.raises(RuntimeError, match="Task does not support set_result operation"):
            task.set_result(1)
        with pytest.raises(RuntimeError, match="Task does not support set_exception operation"):
            task.set_exception(ValueError())

    run(main)


def test_a_second_init_of_a_future(on_both):
    # Anew before 3.15, refused since.
    def trial(loop):
        future = loop.create_future()
        future.add_done_callback(print)
        try:
            future.__init__(loop=loop)
        except RuntimeError as exc:
            said = str(exc).rpartition(".")[2]  # the class without its module
        else:
            said = "anew"
        return said, future._state, future._callbacks is None

    got, expected = on_both(trial)
    assert got == expected


# ---- odd awaitables ----


class Yielding:
    def __init__(self, value):
        self.value = value

    def __await__(self):
        return (yield self.value)


class Foreign:
    """Somebody's future, as wrong as the arguments make it."""

    _asyncio_future_blocking = True

    def __init__(self, loop, add=None, result=None):
        self.loop, self.add, self.give = loop, add, result

    def get_loop(self):
        return self.loop

    def add_done_callback(self, callback, *, context):
        if self.add is not None:
            raise self.add
        self.loop.call_soon(callback, self, context=context)

    def result(self):
        if isinstance(self.give, BaseException):
            raise self.give
        return self.give


def odd_things(loop):
    def variant(**namespace):
        return type("Variant", (Foreign,), namespace)(loop)

    class NoTruth:
        def __bool__(self):
            raise OSError("no truth")

    def raises(self):
        raise LookupError("raised")

    yield from (1, "text", (), True, Ellipsis, loop, Yielding, (i for i in ()))
    yield loop.create_future()  # yielded, not awaited
    yield loop.create_future
    yield Foreign(loop, result="not used")
    yield Foreign(loop, result=KeyError("foreign"))
    yield Foreign(loop, add=ValueError("add"))
    yield Foreign(None)
    yield variant(_asyncio_future_blocking=False)
    yield variant(_asyncio_future_blocking=None)
    yield variant(_asyncio_future_blocking=NoTruth())
    yield variant(_asyncio_future_blocking=property(raises))
    yield variant(get_loop=raises)
    yield variant(get_loop=property(lambda self: self.no_such))
    yield variant(get_loop=property(lambda self: self.no_such), _loop=loop)
    yield variant(add_done_callback=None)


def test_odd_things_that_a_coroutine_yields(on_both):
    def trial(loop):
        trace = []

        def handler(loop, context):
            trace.append((type(context["exception"]), str(context["exception"])))

        async def body(thing):
            return await Yielding(thing)

        async def main():
            for thing in odd_things(loop):
                task = asyncio.create_task(body(thing), name="body")
                await turns(10)
                got = await awaited(task) if task.done() else "waits for ever"
                shown = repr(thing).partition(" object at ")[0].partition(" at 0x")[0]
                got = tuple(strip(part) for part in got) if isinstance(got, tuple) else got
                trace.append((shown.partition("<")[0], got))
                task._log_destroy_pending = False

        loop.set_exception_handler(handler)
        loop.run_until_complete(main())
        return trace

    got, expected = on_both(trial)
    assert got == expected


def strip(part):
    """Without what differs from run to run: addresses, and the classes of the loops."""
    return part.partition("<")[0] if isinstance(part, str) else part


# ---- callbacks ----


def test_callbacks_that_raise_are_reported_and_the_rest_runs(on_both):
    def trial(loop):
        trace = []
        loop.set_exception_handler(lambda loop, c: trace.append(repr(c["exception"])))
        future = loop.create_future()
        future.add_done_callback(lambda future: 1 / 0)
        future.add_done_callback(lambda: trace.append("takes no argument"))
        future.add_done_callback(lambda future: trace.append("the last"))
        future.set_result(None)
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(asyncio.sleep(0))
        return trace

    got, expected = on_both(trial)
    assert got == expected and len(expected) == 3


def test_callbacks_whose_comparison_raises_or_changes_the_future(on_both):
    def trial(loop):
        trace = []

        class Callback:
            def __init__(self, action):
                self.action = action

            __hash__ = None

            def __eq__(self, other):
                self.action()
                return True

            def __call__(self, future):
                trace.append("called")

        def fail():
            raise RuntimeError("comparison")

        def end():
            if not future.done():
                future.set_result(None)

        def add():
            if len(added) < 3:
                added.append(1)
                future.add_done_callback(lambda future: trace.append("added"))

        for action in fail, end, add:
            for count in 1, 2, 3:
                added = []
                future = loop.create_future()
                for _ in range(count):
                    future.add_done_callback(Callback(action))
                trace.append(outcome(future.remove_done_callback, print))
                trace.append(len(future._callbacks or ()))
                end()
                loop.run_until_complete(asyncio.sleep(0))
        return trace

    got, expected = on_both(trial)
    assert got == expected


# ---- the iterator ----

STEPS = {
    "next": lambda it: next(it) and "the future",
    "send": lambda it: it.send(None) and "the future",
    "close": lambda it: it.close(),
    "throw a class": lambda it: it.throw(KeyError),
    "throw an object": lambda it: it.throw(KeyError("thrown")),
    "throw no exception": lambda it: it.throw(3),
}


@pytest.mark.parametrize("end", ["pending", "result", "exception", "cancelled"])
def test_the_iterator_behind_await(on_both, end):
    programs = [[step] for step in STEPS]
    programs += [["next", step] for step in STEPS if step != "send"]
    programs += [["close", "close", "throw a class"], ["throw a class", "throw a class"]]

    def trial(loop):
        trace = []
        for program in programs:
            future = loop.create_future()
            if end == "result":
                future.set_result((1, 2))
            elif end == "exception":
                future.set_exception(ValueError("v"))
                future.exception()
            elif end == "cancelled":
                future.cancel("m")
            iterator = future.__await__()
            trace.extend(outcome(STEPS[step], iterator) for step in program)
            trace.append(future._asyncio_future_blocking)
        return trace

    if end != "pending":  # stock iterators crash or raise SystemError once they are exhausted
        programs = [program for program in programs if program[0] not in ("next", "send")]
    got, expected = on_both(trial)
    assert got == expected


def test_the_iterator_of_ours_may_be_used_when_exhausted():
    import pyaio

    loop = pyaio.new_event_loop()
    future = loop.create_future()
    future.set_result(1)
    iterator = future.__await__()
    with pytest.raises(StopIteration):
        next(iterator)
    for step in (lambda: next(iterator), lambda: iterator.send(None)):
        with pytest.raises(StopIteration) as raised:
            step()
        assert raised.value.value is None
    with pytest.raises(TypeError):
        type(iterator)()
    loop.close()
