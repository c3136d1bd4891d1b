"""Run the scans of a batch so that reading the next one and finishing the last one overlap the network.

Three stages per scan: `read` (file to network input) on one thread, `compute` (the network) on the calling thread,
`finish` (labels to files and printed lines) on another thread. At any time at most three scans are in memory: one read
ahead, one computed, one finished. `finish` takes the scans in the order of the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Generic, TypeVar

Job = TypeVar("Job")
Ready = TypeVar("Ready")
Computed = TypeVar("Computed")


@dataclass(frozen=True)
class Stages(Generic[Job, Ready, Computed]):
    """What is done with each job."""

    read: Callable[[Job], Ready]
    compute: Callable[[Job, Ready], Computed]
    #: Receives the result of `compute`, or the exception that `read` or `compute` raised.
    finish: Callable[[Job, Computed | Exception], None]


def run_overlapped(jobs: Sequence[Job], stages: Stages[Job, Ready, Computed]) -> None:
    """Runs every job through the stages.

    After a MemoryError the job is tried again with no other scan in memory, and the rest of the batch runs one scan at
    a time. Raises what `finish` raises, and KeyboardInterrupt; jobs whose `finish` has begun are finished before.
    """
    with ThreadPoolExecutor(1, "read") as reader, ThreadPoolExecutor(1, "finish") as finisher:
        try:
            _run(jobs, stages, reader, finisher)
        except BaseException:
            reader.shutdown(wait=False, cancel_futures=True)
            raise


def _run(
    jobs: Sequence[Job], stages: Stages[Job, Ready, Computed], reader: ThreadPoolExecutor, finisher: ThreadPoolExecutor
) -> None:
    ahead: Future[Ready] | None = None
    finishing: Future[None] | None = None
    one_at_a_time = False
    for index, job in enumerate(jobs):
        reading = ahead or reader.submit(stages.read, job)
        wait([reading])
        is_last = index + 1 == len(jobs)
        ahead = None if is_last or one_at_a_time else reader.submit(stages.read, jobs[index + 1])
        result = _attempt(job, reading, stages)
        if isinstance(result, MemoryError) and not one_at_a_time:
            one_at_a_time = True
            # Nothing may hold the other scans' arrays, nor the error those of this scan.
            del result, reading
            ahead = None
            if finishing is not None:
                finishing.result()
            result = _attempt(job, reader.submit(stages.read, job), stages)
        if finishing is not None:
            finishing.result()
        finishing = finisher.submit(stages.finish, job, result)
        if one_at_a_time:
            finishing.result()
    if finishing is not None:
        finishing.result()


def _attempt(job: Job, reading: Future[Ready], stages: Stages[Job, Ready, Computed]) -> Computed | Exception:
    try:
        return stages.compute(job, reading.result())
    except Exception as error:
        return error
