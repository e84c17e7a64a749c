"""Work spread over processes, in which the end of one process costs one job."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection, resource_tracker
from pathlib import Path
from typing import Any

from sim.core.errors import OrreryError


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job: its value or one line of error, and its own seconds."""

    value: Any = None
    error: str | None = None
    cpu_s: float = 0.0
    wall_s: float = 0.0


class Workers:
    """Processes that wait for jobs; used in a `with`, at whose end they are gone.

    `count` None: one for each core; 0: jobs are done in this process. They end when this process
    does, even by `kill -9`, and leave Ctrl-C to it.
    """

    def __init__(self, count: int | None = None) -> None:
        self._count = cores() if count is None else count
        self._idle: list[_Worker] = []
        self._busy: dict[connection.Connection, tuple[int, _Worker]] = {}

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the processes, whatever they are at."""
        workers = [*self._idle, *(worker for _, worker in self._busy.values())]
        for worker in workers:
            worker.process.kill()
        for worker in workers:
            worker.process.join()
            worker.pipe.close()
        self._idle, self._busy = [], {}

    def each(
        self, function: Callable[..., Any], jobs: Iterable[tuple[Any, ...]]
    ) -> Iterator[tuple[int, Outcome]]:
        """Call `function(*job)` for each job; its number and outcome as it ends, in any order.

        An exception, and a process that is killed, are the outcome of that job alone. The function
        must be importable by name.
        """
        if not self._count:
            for number, job in enumerate(jobs):
                yield number, attempt(function, job)
            return
        waiting = deque(enumerate(jobs))
        while waiting or self._busy:
            while waiting and len(self._busy) < self._count:
                number, job = waiting.popleft()
                self._hand_over(number, (function, job))
            for pipe in connection.wait(list(self._busy)):
                assert isinstance(pipe, connection.Connection)
                number, worker = self._busy[pipe]
                try:
                    outcome = pipe.recv()
                except (EOFError, OSError):
                    outcome = worker.end()
                else:
                    self._idle.append(worker)
                del self._busy[pipe]
                yield number, outcome

    def _hand_over(self, number: int, work: tuple[Callable[..., Any], tuple[Any, ...]]) -> None:
        while True:
            worker = self._idle.pop() if self._idle else _Worker()
            try:
                worker.pipe.send(work)
            except OSError:  # killed while it was idle
                worker.end()
                continue
            self._busy[worker.pipe] = (number, worker)
            return


class _Worker:
    """A process and the pipe to it."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        with _no_interrupts():
            self.process.start()
        theirs.close()

    def end(self) -> Outcome:
        """How it ended, when it did so by itself."""
        self.pipe.close()
        self.process.join()
        code = self.process.exitcode or 0
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return Outcome(error=f"its process {how}")


@contextmanager
def _no_interrupts() -> Iterator[None]:
    """Processes started meanwhile never see Ctrl-C; this one sees it afterwards."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # its start would unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: connection.Connection) -> None:
    """What a worker does."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            function, job = pipe.recv()
            pipe.send(attempt(function, job))
        except (EOFError, BrokenPipeError):
            return


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def attempt(function: Callable[..., Any], job: tuple[Any, ...]) -> Outcome:
    """The outcome of `function(*job)`."""
    value, error = None, None
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        value = function(*job)
    except OrreryError as problem:
        error = f"{type(problem).__name__}: {problem}"
    except Exception as problem:
        error = f"{type(problem).__name__}: {problem}{_place(problem)}"
    if error is not None:
        error = " ".join(error.split())
    return Outcome(value, error, time.process_time() - cpu, time.perf_counter() - wall)


def _place(problem: Exception) -> str:
    """Where an error that is none of Orrery's own came up: it may be a user's code."""
    frames = traceback.extract_tb(problem.__traceback__ or sys.exc_info()[2])
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
