"""Two producers and a consumer share an asyncio.Queue: 500,000 actions, each with a turn.

The producers are pages of a shop that take orders, the consumer is the warehouse. Putting an order
into the queue is one action and taking it out is another; after each of them the task lets the
others have a turn, so that the program is busy with almost nothing but changing tasks.
"""

import asyncio
from collections import Counter

from common import options_of, stopwatch

GOODS = ("lantern", "compass", "kettle", "rope", "map")
ACTIONS = 500_000


async def take_orders(queue: asyncio.Queue, page: int, orders: int) -> None:
    """Produce: put that many orders into the queue."""
    for number in range(orders):
        await queue.put((page, GOODS[number % len(GOODS)], 1 + number % 3))
        await asyncio.sleep(0)


async def fill_orders(queue: asyncio.Queue) -> tuple[Counter, int]:
    """Consume: take orders from the queue until there are no more; return what was sent."""
    sent: Counter[str] = Counter()
    longest = 0
    while (order := await queue.get()) is not None:
        _, item, pieces = order
        sent[item] += pieces
        longest = max(longest, queue.qsize())
        await asyncio.sleep(0)
    return sent, longest


async def run_shop(actions: int) -> None:
    queue: asyncio.Queue = asyncio.Queue(maxsize=1000)
    warehouse = asyncio.create_task(fill_orders(queue))
    async with asyncio.TaskGroup() as pages:
        for page in (1, 2):
            pages.create_task(take_orders(queue, page, actions // 4))
    await queue.put(None)
    sent, longest = await warehouse

    print(f"{actions:,} actions: {actions // 2:,} orders put, {actions // 2:,} taken")
    for item, pieces in sorted(sent.items()):
        print(f"    {item:<10}{pieces:>10,}")
    print(f"the queue was never longer than {longest + 1:,}")


def main() -> None:
    options = options_of(__doc__).parse_args()
    actions = ACTIONS // 10 if options.quick else ACTIONS
    with stopwatch(f"{actions:,} actions"):
        asyncio.run(run_shop(actions))


if __name__ == "__main__":
    main()
