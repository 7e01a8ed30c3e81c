"""Who is called: the Python functions that run meanwhile; attributes replaced for a while.

Imported by name: ``from spies import python_calls, replaced``.
"""

import contextlib
import sys

#: The Python functions that feed a StreamReader, and that the native way does without.
FEEDING = {"data_received", "_stream_reader", "feed_data", "_wakeup_waiter"}


@contextlib.contextmanager
def python_calls():
    """Collect the names of the Python functions that are called."""
    names = []
    sys.setprofile(
        lambda frame, event, arg: names.append(frame.f_code.co_name) if event == "call" else None
    )
    try:
        yield names
    finally:
        sys.setprofile(None)


@contextlib.contextmanager
def replaced(owner, name, value):
    """Set owner.name to *value* for a while."""
    own = vars(owner).get(name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if own is None:
            delattr(owner, name)
        else:
            setattr(owner, name, own)


def spy_on(function, calls):
    """A function that notes its last argument in *calls*, then calls *function*."""

    def spy(*args):
        calls.append(args[-1] if len(args) > 1 else None)
        return function(*args)

    return spy
