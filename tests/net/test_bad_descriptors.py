"""add_reader() and its family with what is no descriptor, or is one no more."""

import asyncio
import os
import socket
import tempfile

import pytest
from peers import ended, on_asyncio

METHODS = ["add_reader", "add_writer", "remove_reader", "remove_writer"]


class NotAnInt:
    def fileno(self):
        return object()

    def __repr__(self):
        return "<NotAnInt>"


class Raising(NotAnInt):
    def fileno(self):
        raise OSError("no number")


class Text(NotAnInt):
    def fileno(self):
        return "-3"


class Nothing:
    def __repr__(self):
        return "<Nothing>"


async def error_of(method, fileobj):
    """Return the type and the text of what *method* raises, or what it returns."""
    arguments = (fileobj, int) if method.startswith("add") else (fileobj,)
    try:
        return getattr(asyncio.get_running_loop(), method)(*arguments)
    except Exception as exc:
        return type(exc), str(exc)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "fileobj", [-1, -7, 1 << 20, 1.5, "1", None, NotAnInt(), Raising(), Text(), Nothing()], ids=repr
)
def test_what_is_no_descriptor_ends_as_on_asyncio(run, method, fileobj):
    assert run(error_of, method, fileobj) == on_asyncio(error_of, method, fileobj)


@pytest.mark.parametrize("method", METHODS)
def test_a_regular_file_ends_as_on_asyncio(run, method):
    with tempfile.TemporaryFile() as file:
        assert run(error_of, method, file) == on_asyncio(error_of, method, file)


@pytest.mark.parametrize("method", METHODS)
def test_a_closed_socket_that_was_never_added_ends_as_on_asyncio(run, method):
    with socket.socket() as sock:
        pass
    assert run(error_of, method, sock) == on_asyncio(error_of, method, sock)


@pytest.mark.parametrize("kind", ["reader", "writer"])
def test_a_socket_closed_too_early_can_still_be_removed(run, kind):
    async def main():
        loop = asyncio.get_running_loop()
        near, far = socket.socketpair()
        with near, far:
            getattr(loop, f"add_{kind}")(near, print)
            near.close()
            remove = getattr(loop, f"remove_{kind}")
            assert remove(near) is True
            with pytest.raises(ValueError, match="Invalid file"):
                remove(near)

    run(main)


def test_a_number_that_was_taken_again_belongs_to_whom_it_is_now(run):
    """Removing by a closed object does not touch who has the number now, added by itself."""

    async def main():
        loop = asyncio.get_running_loop()
        called = loop.create_future()
        near, far = socket.socketpair()
        with near, far:
            first = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            number = first.fileno()
            loop.add_reader(first, print)
            loop.remove_reader(first)
            first.close()
            os.dup2(near.fileno(), number)
            try:
                loop.add_reader(number, lambda: called.done() or called.set_result(True))
                with pytest.raises(ValueError, match="Invalid file"):
                    loop.remove_reader(first)
                far.send(b"x")
                assert await ended(called)
                assert loop.remove_reader(number)
            finally:
                os.close(number)

    run(main)
