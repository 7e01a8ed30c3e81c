"""What a loop holds goes with it."""

import gc

import pytest


@pytest.mark.parametrize("name", ["_current_handle", "_task_factory"])
def test_an_attribute_goes_with_its_loop(loop_factory, name):
    class Kept:
        pass

    loop = loop_factory()
    setattr(loop, name, Kept())
    loop.close()
    del loop
    gc.collect()
    # No weak reference: the collector clears them also of what it then fails to free.
    assert [kept for kept in gc.get_objects() if type(kept) is Kept] == []
