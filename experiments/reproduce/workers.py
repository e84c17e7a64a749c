"""Work side by side, in processes."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TypeVar

from sim.core.errors import CapacityError, ConfigError

A = TypeVar("A")
B = TypeVar("B")

#: One thread for linear algebra in each process: no crowd on the cores, and sums in one order.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class Workers:
    """Maps functions over items in `processes` processes, which start with the first map and stay.

    `processes`: by default one for each core that this process may use; with 1 all work is done
    here. `full`: whether studies are to take more replications and longer runs. `progress`: show a
    bar on stderr, named `title`. Use as a context; an error or Ctrl-C ends all processes.
    """

    def __init__(
        self, processes: int | None = None, *, full: bool = False, progress: bool = False
    ) -> None:
        if processes is not None and processes < 1:
            raise ConfigError(f"processes: {processes} is not a whole number >= 1")
        self.processes = processes or _cores()
        self.full = full
        self.title = ""
        self._progress = progress
        self._pool: ProcessPoolExecutor | None = None
        self._others: set[Any] = set()

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop(at_once=kind is not None)

    def map(self, function: Callable[[A], B], items: Iterable[A]) -> list[B]:
        """`function` of each item, in the order of items; the first error is raised. With several
        processes the function stands at a module's top level, and items and results pickle."""
        from tqdm import tqdm

        tasks = list(items)
        with tqdm(
            total=len(tasks),
            desc=self.title or None,
            unit=" runs",
            leave=False,
            file=sys.stderr,
            disable=not self._progress,
        ) as bar:
            if self.processes == 1 or len(tasks) < 2:
                found = []
                for task in tasks:
                    found.append(function(task))
                    bar.update()
                return found
            try:
                return self._map(function, tasks, bar)
            except BrokenProcessPool:
                raise CapacityError(
                    f"one of {self.processes} processes was killed, mostly for want of memory; "
                    "fewer processes need less"
                ) from None

    def _map(self, function: Callable[[A], B], tasks: list[A], bar: Any) -> list[B]:
        try:
            with _for_children():
                pool = self._start()
                futures = [pool.submit(function, task) for task in tasks]
            for future in as_completed(futures):
                future.result()
                bar.update()
        except BaseException:
            self._stop(at_once=True)
            raise
        return [future.result() for future in futures]

    def _start(self) -> ProcessPoolExecutor:
        from multiprocessing import active_children, get_context

        if self._pool is None:
            self._others = set(active_children())
            # A forked child would inherit locks that other threads hold.
            spawn = get_context("spawn")
            self._pool = ProcessPoolExecutor(self.processes, spawn, _end_with_the_parent)
        return self._pool

    def _stop(self, *, at_once: bool) -> None:
        from multiprocessing import active_children

        if self._pool is None:
            return
        if at_once:
            for child in set(active_children()) - self._others:
                child.terminate()
        # Waits for the pool's thread, which at exit would find its pipe closed.
        self._pool.shutdown(cancel_futures=at_once)
        self._pool = None


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def _for_children() -> Iterator[None]:
    """Processes started within leave Ctrl-C to their parent and use one thread each."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
    os.environ.update(_ONE_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        if main:
            signal.signal(signal.SIGINT, handler)


def _end_with_the_parent() -> None:
    """A process whose parent was killed would wait for work for ever."""
    from multiprocessing import parent_process

    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
