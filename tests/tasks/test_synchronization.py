"""Lock, Event, Semaphore, Condition, Barrier and the queues: a sanity check of each."""

import asyncio

import pytest
from coroutines import turns


def test_a_lock_admits_one_at_a_time_in_order(run):
    async def main():
        lock = asyncio.Lock()
        inside, order = 0, []

        async def enter(name):
            nonlocal inside
            async with lock:
                inside += 1
                assert inside == 1
                await turns(3)
                order.append(name)
                inside -= 1

        await asyncio.gather(*(enter(name) for name in range(5)))
        assert not lock.locked()
        return order

    assert run(main) == list(range(5))


def test_a_cancelled_waiter_does_not_keep_the_lock(run):
    async def main():
        lock = asyncio.Lock()
        await lock.acquire()
        waiter = asyncio.create_task(lock.acquire())
        await turns(2)
        waiter.cancel()
        await turns(2)
        lock.release()
        await lock.acquire()
        lock.release()
        assert waiter.cancelled()
        with pytest.raises(RuntimeError):
            lock.release()

    run(main)


def test_an_event_wakes_everyone(run):
    async def main():
        event = asyncio.Event()
        waiters = [asyncio.create_task(event.wait()) for _ in range(5)]
        await turns(2)
        assert not any(w.done() for w in waiters)
        event.set()
        assert await asyncio.gather(*waiters) == [True] * 5
        event.clear()
        assert not event.is_set()

    run(main)


def test_a_semaphore_admits_its_number(run):
    async def main():
        semaphore = asyncio.BoundedSemaphore(3)
        inside = most = 0

        async def enter():
            nonlocal inside, most
            async with semaphore:
                inside += 1
                most = max(most, inside)
                await turns(3)
                inside -= 1

        await asyncio.gather(*(enter() for _ in range(10)))
        with pytest.raises(ValueError):
            semaphore.release()
        return most

    assert run(main) == 3


def test_a_condition_wakes_as_many_as_are_notified(run):
    async def main():
        condition = asyncio.Condition()
        woken = []

        async def wait(name):
            async with condition:
                await condition.wait()
                woken.append(name)

        tasks = [asyncio.create_task(wait(name)) for name in range(4)]
        await turns(3)
        async with condition:
            condition.notify(2)
        await turns(5)
        assert woken == [0, 1]
        async with condition:
            condition.notify_all()
        await asyncio.gather(*tasks)
        return woken

    assert run(main) == [0, 1, 2, 3]


def test_a_condition_waits_for_a_predicate(run):
    async def main():
        condition = asyncio.Condition()
        items = []

        async def consume():
            async with condition:
                await condition.wait_for(lambda: len(items) == 3)
                return list(items)

        task = asyncio.create_task(consume())
        for i in range(3):
            await turns(2)
            async with condition:
                items.append(i)
                condition.notify_all()
        return await task

    assert run(main) == [0, 1, 2]


def test_a_barrier_lets_its_parties_through_together(run):
    async def main():
        barrier = asyncio.Barrier(3)
        tasks = [asyncio.create_task(barrier.wait()) for _ in range(2)]
        await turns(3)
        assert barrier.n_waiting == 2 and not any(t.done() for t in tasks)
        tasks.append(asyncio.create_task(barrier.wait()))
        return sorted(await asyncio.gather(*tasks))

    assert run(main) == [0, 1, 2]


def test_an_aborted_barrier_breaks(run):
    async def main():
        barrier = asyncio.Barrier(2)
        task = asyncio.create_task(barrier.wait())
        await turns(2)
        await barrier.abort()
        with pytest.raises(asyncio.BrokenBarrierError):
            await task

    run(main)


@pytest.mark.parametrize("size", [0, 1, 10])
def test_a_queue_passes_everything_in_order(run, size):
    async def main():
        queue = asyncio.Queue(size)
        got = []

        async def produce():
            for i in range(200):
                await queue.put(i)

        async def consume():
            while True:
                got.append(await queue.get())
                queue.task_done()

        consumer = asyncio.create_task(consume())
        await produce()
        await queue.join()
        consumer.cancel()
        return got

    assert run(main) == list(range(200))


def test_a_full_and_an_empty_queue_refuse_without_waiting(run):
    async def main():
        queue = asyncio.Queue(1)
        with pytest.raises(asyncio.QueueEmpty):
            queue.get_nowait()
        queue.put_nowait(1)
        with pytest.raises(asyncio.QueueFull):
            queue.put_nowait(2)
        assert queue.get_nowait() == 1

    run(main)


def test_priority_and_lifo_queues_order_their_items(run):
    async def main():
        orders = []
        for kind in (asyncio.PriorityQueue, asyncio.LifoQueue):
            queue = kind()
            for i in (2, 3, 1):
                await queue.put(i)
            orders.append([await queue.get() for _ in range(3)])
        return orders

    assert run(main) == [[1, 2, 3], [1, 3, 2]]
