"""Many items, a few threads, one progress bar."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
HANDFUL = 5  # items that need no progress bar
AHEAD = 16  # items per thread that may wait: enough to keep all busy, few enough to keep memory flat


def map_in_order(
    function: Callable[[Item], Result], items: Iterable[Item], total: int, doing: str, threads: int | None = None
) -> Iterator[Result]:
    """``function`` of each item, in order, by several threads; memory does not grow with the number of items.

    Decoding photos and running models release Python's lock, so that threads are enough. A bar with the time left goes to
    stderr, where that is a terminal.
    """
    threads = threads or cores()
    waiting = iter(items)
    with ThreadPoolExecutor(threads) as pool:
        running: deque[Future[Result]] = deque(pool.submit(function, item) for item in islice(waiting, AHEAD * threads))
        try:
            for _ in track(range(total), total, doing):
                if not running:
                    return
                result = running.popleft().result()
                running.extend(pool.submit(function, item) for item in islice(waiting, 1))
                yield result
        finally:
            for future in running:
                future.cancel()


def track(items: Iterable[Item], total: int, doing: str) -> Iterator[Item]:
    """The items, with a bar on stderr that shows the time left, for more than a handful and where stderr is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(
        *columns,
        console=console,
        transient=True,
        disable=total <= HANDFUL or not console.is_terminal,
        redirect_stdout=sys.stdout.isatty(),  # rich would send what is printed meanwhile to stderr, past a pipe or a file
    ) as progress:
        yield from progress.track(items, total=total, description=doing)


def cores() -> int:
    """Processor cores that this process may use; containers and batch systems often allow fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
