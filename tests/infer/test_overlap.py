"""Reading ahead and finishing behind the network: order, errors, memory, Ctrl-C."""

from __future__ import annotations

import threading
import time

import pytest

from meshnet.infer.overlap import Stages, run_overlapped


class Recorder:
    """Stages that write down what happens, with the thread it happens on."""

    def __init__(self) -> None:
        self.events: list[tuple[str, int]] = []
        self.finished: list[tuple[int, object]] = []
        self.threads: dict[str, set[int]] = {"read": set(), "compute": set(), "finish": set()}
        self.in_memory = self.most_in_memory = 0
        self.fail_at: dict[tuple[str, int], BaseException] = {}
        self._lock = threading.Lock()

    def stages(self) -> Stages[int, int, int]:
        return Stages(self._read, self._compute, self._finish)

    def _note(self, stage: str, job: int) -> None:
        with self._lock:
            self.events.append((stage, job))
            self.threads[stage].add(threading.get_ident())
            if stage == "read":
                self.in_memory += 1
                self.most_in_memory = max(self.most_in_memory, self.in_memory)
        if (error := self.fail_at.pop((stage, job), None)) is not None:
            with self._lock:
                self.in_memory -= stage != "finish"
            raise error

    def _read(self, job: int) -> int:
        self._note("read", job)
        return job * 10

    def _compute(self, job: int, ready: int) -> int:
        time.sleep(0.02)
        self._note("compute", job)
        return ready + 1

    def _finish(self, job: int, result: int | Exception) -> None:
        time.sleep(0.01)
        self._note("finish", job)
        self.finished.append((job, result))
        with self._lock:
            self.in_memory -= not isinstance(result, Exception)


def test_every_job_is_finished_in_order_on_one_thread_and_computed_on_the_callers() -> None:
    seen = Recorder()
    run_overlapped(range(7), seen.stages())
    assert seen.finished == [(job, job * 10 + 1) for job in range(7)]
    assert seen.threads["compute"] == {threading.get_ident()}
    assert len(seen.threads["read"]) == len(seen.threads["finish"]) == 1
    assert len({*seen.threads["read"], *seen.threads["finish"], threading.get_ident()}) == 3


def test_the_next_scan_is_read_while_one_is_computed_and_the_last_is_finished() -> None:
    seen, both = Recorder(), threading.Barrier(3, timeout=10)
    stages = seen.stages()

    # Jobs 2, 1 and 0 wait for one another, each in its stage: without overlap the barrier breaks.
    def read(job: int) -> int:
        if job == 2:
            both.wait()
        return stages.read(job)

    def compute(job: int, ready: int) -> int:
        if job == 1:
            both.wait()
        return stages.compute(job, ready)

    def finish(job: int, result: int | Exception) -> None:
        if job == 0:
            both.wait()
        stages.finish(job, result)

    run_overlapped(range(3), Stages(read, compute, finish))
    assert [job for job, _ in seen.finished] == [0, 1, 2]


def test_at_most_three_scans_are_in_memory() -> None:
    seen = Recorder()
    run_overlapped(range(12), seen.stages())
    assert seen.most_in_memory <= 3
    assert seen.in_memory == 0


@pytest.mark.parametrize("stage", ["read", "compute"])
def test_an_error_is_its_own_jobs_and_comes_in_its_turn(stage: str) -> None:
    seen, error = Recorder(), ValueError("no scan")
    seen.fail_at[stage, 1] = error
    run_overlapped(range(4), seen.stages())
    assert seen.finished == [(0, 1), (1, error), (2, 21), (3, 31)]


@pytest.mark.parametrize("stage", ["read", "compute"])
def test_after_too_little_memory_the_job_is_tried_alone_and_the_rest_one_at_a_time(stage: str) -> None:
    seen = Recorder()
    seen.fail_at[stage, 1] = MemoryError()
    run_overlapped(range(5), seen.stages())
    assert seen.finished == [(job, job * 10 + 1) for job in range(5)]
    after = seen.events[seen.events.index(("finish", 1)) + 1 :]
    assert after == [(stage, job) for job in (2, 3, 4) for stage in ("read", "compute", "finish")]


def test_too_little_memory_for_one_scan_alone_is_its_error() -> None:
    seen, tries = Recorder(), []
    stages = seen.stages()

    def compute(job: int, ready: int) -> int:
        if job == 1:
            tries.append(job)
            raise MemoryError
        return stages.compute(job, ready)

    run_overlapped(range(3), Stages(stages.read, compute, stages.finish))
    assert tries == [1, 1]
    assert isinstance(seen.finished[1][1], MemoryError)
    assert seen.finished[2] == (2, 21)


@pytest.mark.parametrize("stage", ["read", "compute"])
def test_ctrl_c_ends_the_batch_once_what_is_computed_is_finished(stage: str) -> None:
    seen = Recorder()
    seen.fail_at[stage, 2] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run_overlapped(range(9), seen.stages())
    assert [job for job, _ in seen.finished] == [0, 1]
    assert ("read", 4) not in seen.events
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith(("read_", "finish_"))]


def test_an_error_of_finish_ends_the_batch() -> None:
    seen = Recorder()
    seen.fail_at["finish", 1] = OSError("disk full")
    with pytest.raises(OSError, match="disk full"):
        run_overlapped(range(9), seen.stages())
    assert [job for job, _ in seen.finished] == [0]


def test_no_jobs_are_no_error() -> None:
    run_overlapped([], Recorder().stages())
