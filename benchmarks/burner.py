"""A CPU-bound thread beside the loop, which counts what it gets done."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left

CHUNK = 2000  # additions between two looks at the clock, some 0.1 ms


class Burner:
    """Adds numbers in Python until it is stopped, and remembers when it had done how much."""

    def __init__(self) -> None:
        self._stopping = False
        self._thread = threading.Thread(target=self._burn, daemon=True)
        self._times: list[float] = []  # monotonic time at the end of each chunk

    def _burn(self) -> None:
        while not self._stopping:
            total = 0
            for i in range(CHUNK):
                total += i
            self._times.append(time.monotonic())

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._stopping = True
        self._thread.join()

    def speed(self, start: float, end: float) -> float:
        """Chunks a second that it did between two monotonic times."""
        chunks = bisect_left(self._times, end) - bisect_left(self._times, start)
        return chunks / (end - start)


def speed_alone(seconds: float = 0.2) -> float:
    """What a Burner does while the rest of this process sleeps."""
    burner = Burner()
    start = time.monotonic()
    burner.start()
    time.sleep(seconds)
    end = time.monotonic()
    burner.stop()
    return burner.speed(start, end)
