"""Threads that begin at the same time."""

import threading
from collections.abc import Callable
from typing import Any


def at_once(tasks: list[Callable[[], Any]]) -> list[Any]:
    """The results of the tasks, each in a thread, all released at the same moment."""
    barrier = threading.Barrier(len(tasks))
    results: list[Any] = [None] * len(tasks)

    def run(index: int) -> None:
        barrier.wait()
        results[index] = tasks[index]()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(tasks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
